"""ONNX files in onnxruntime, without torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ArtifactError, MissingExtraError
from zoo.specs import LoadOptions
from zoo_exporters.onnx_file import AGAIN, refuse_foreign_weights

if TYPE_CHECKING:
    import numpy as np

    from zoo.specs import Runtime


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`; imports onnxruntime and no torch."""
    onnxruntime = runtime()
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(options.device)
    if provider not in onnxruntime.get_available_providers():
        raise ArtifactError(
            f"onnxruntime cannot run on '{options.device}' here.",
            "Use --device cpu, or install visionzoo[onnx-gpu] in place of visionzoo[onnx].",
        )
    refuse_foreign_weights(path)
    own = onnxruntime.SessionOptions()
    own.log_severity_level = 4  # what it would log it also raises
    if options.threads:
        own.intra_op_num_threads = options.threads
    if not options.optimised:
        own.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not options.spinning:
        own.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), own, providers=[provider])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"onnxruntime cannot load '{path}': {reason}", AGAIN) from None
    if session.get_providers()[0] != provider:
        raise ArtifactError(f"onnxruntime could not start on '{options.device}'.", "Use --device cpu.")
    return _Session(session)


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
    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, images: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._session.run(["logits"], {"image": images})[0]
        return logits
