"""ONNX files in onnxruntime, without torch."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from zoo.errors import ArtifactError, MissingExtraError
from zoo.specs import LoadOptions
from zoo_exporters.onnx_file import AGAIN, holds_its_weights, read_card, refuse_foreign_weights

if TYPE_CHECKING:
    import numpy as np

    from zoo.specs import Runtime

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MAX_SECOND_BYTES = 2**29  # of a file that is opened twice


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`; imports onnxruntime and no torch."""
    onnxruntime = runtime()
    provider = {"cpu": CPU, "cuda": CUDA}.get(options.device)
    if provider is None or provider not in onnxruntime.get_available_providers():
        raise ArtifactError(
            f"onnxruntime cannot run on '{options.device}' here.",
            "Use --device cpu, or install visionzoo[onnx-gpu] instead of visionzoo[onnx].",
            code="device-missing",
        )
    refuse_foreign_weights(path)
    if provider == CUDA:
        _preload_cuda()
    try:
        session = _opened(str(path), options, provider)
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"onnxruntime cannot load '{path}': {reason}", AGAIN, code="runtime-refuses") from None
    if session.get_providers()[0] != provider:
        cause = f"onnxruntime could not start on '{options.device}'."
        raise ArtifactError(cause, "Use --device cpu.", code="device-missing")
    return _Session(session, path, partial(_opened, options=options, provider=provider))


def _preload_cuda() -> None:
    """Loads CUDA from the packages of `visionzoo[onnx-gpu]`, which are not on the system's search path.

    https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#preload-dlls
    """
    # It prints missing libraries; a session that cannot start raises its own error.
    with redirect_stdout(io.StringIO()):
        runtime().preload_dlls()


def _opened(model: str | bytes, options: LoadOptions, provider: str) -> Any:
    onnxruntime = runtime()
    own = onnxruntime.SessionOptions()
    own.log_severity_level = 4  # it also raises what it would log
    if options.threads:
        own.intra_op_num_threads = options.threads
    if not options.optimised:
        own.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not options.spinning:
        own.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, own, providers=[provider])


def runtime() -> Any:
    """The package onnxruntime. Raises `MissingExtraError`."""
    # From 1.29 on, onnxruntime reports its use to its maker: https://github.com/microsoft/onnxruntime/pull/27379
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("Reading ONNX files", "onnx") from None
    return onnxruntime


class _Session:
    """A `zoo.specs.EnterableRuntime` and `MappedRuntime`."""

    def __init__(self, session: Any, path: Path, opened: Callable[[bytes], Any]) -> None:
        self._session = session
        self._path = path
        self._opened = opened
        self._behind: tuple[Any, str] | None = None
        self._sought = False
        self._lock = Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._session.run(["logits"], {"image": images}, self._run_options(images))[0]
        return logits

    def maps(self, images: np.ndarray) -> np.ndarray:
        """See `zoo.specs.MappedRuntime`."""
        maps: np.ndarray = self._session.run(["heatmap"], {"image": images}, self._run_options(images))[0]
        return maps

    def from_resized(self, values: np.ndarray) -> np.ndarray | None:
        """See `zoo.specs.EnterableRuntime`. The first call opens a second session, with the weights once more."""
        with self._lock:
            if not self._sought:
                self._sought = True
                # The file may be gone or replaced. Then the first session does everything.
                with suppress(Exception):
                    self._behind = self._second()
        if self._behind is None:
            return None
        session, name = self._behind
        logits: np.ndarray = session.run(["logits"], {name: values})[0]
        return logits

    def _second(self) -> tuple[Any, str] | None:
        """A session of the model behind the resize, and the name of its input."""
        from zoo.artifacts.card import Card
        from zoo.processes.memory import give_back_freed_memory
        from zoo_exporters.onnx_behind_resize import behind_resize

        text = read_card(self._path) if self._path.stat().st_size <= MAX_SECOND_BYTES else None
        card = None if text is None else Card.parse(text)
        if card is None or card.input != "pixels":
            return None
        content = self._path.read_bytes()
        found = behind_resize(content, card.preprocess) if holds_its_weights(self._path, content) else None
        if found is None:
            return None
        model, name = found
        del content, found
        session = self._opened(model)
        del model
        give_back_freed_memory()  # the copies of the weights that opening made
        return session, name

    def _run_options(self, images: np.ndarray) -> Any:
        """Makes onnxruntime return the memory of large pictures, which it would keep for the next ones."""
        from zoo.transforms.preprocess_numpy import LARGE_PIXELS

        if self._session.get_providers()[0] != CPU or images.shape[1] * images.shape[2] <= LARGE_PIXELS:
            return None
        options = runtime().RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options
