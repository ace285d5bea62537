"""The values inside an ONNX file: the outputs of its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from zoo_exporters.onnx_run import runtime

CHUNK_BYTES = 2**28  # of values that are held at a time


class FileError(Exception):
    """The file does not load or does not run; a sentence."""


def values(
    model: onnx.ModelProto, path: Path, images: np.ndarray, wanted: list[tuple[str, int]], threads: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the named values of a file in that order, with few in memory at a time.

    Args:
        images: the file's input.
        wanted: names, and about how many bytes each takes.

    Raises:
        FileError: the file does not load or does not run.
    """
    session = _session(model, path, [name for name, _ in wanted], threads)
    chunk: list[str] = []
    size = 0
    for index, (name, nbytes) in enumerate(wanted):
        chunk.append(name)
        size += nbytes
        if size >= CHUNK_BYTES or index == len(wanted) - 1:
            try:
                arrays = session.run(chunk, {"image": images})
            except Exception as error:  # onnxruntime's exceptions share no base class of their own
                raise FileError(f"onnxruntime cannot run the file: {str(error).splitlines()[0]}") from None
            arrays.reverse()
            for one in chunk:
                yield one, arrays.pop()
            chunk, size = [], 0


def _session(model: onnx.ModelProto, path: Path, names: list[str], threads: int) -> Any:
    """The file in onnxruntime as it is written, with more of its values as outputs."""
    onnxruntime = runtime()
    declared = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in declared)
    own = onnxruntime.SessionOptions()
    own.log_severity_level = 4
    own.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    own.intra_op_num_threads = threads
    own.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), own, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise FileError(f"onnxruntime cannot load the file: {str(error).splitlines()[0]}") from None
