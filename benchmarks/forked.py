"""Shared code of the benchmarks: runs a function on one network after the other, each in a process of its own.

What all of them import is imported once, before the processes fork. That is half of their time.
"""

from __future__ import annotations

import json
import multiprocessing
import time
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any


def warm_up() -> None:
    """Imports what each process needs, and lets onnxscript parse its functions once."""
    import onnxscript.values

    import visionzoo_timm.backbones
    import visionzoo_timm.configs
    import zoo.exporting.pipeline
    import zoo.testing.backbones  # noqa: F401

    visionzoo_timm.configs.known()
    kind = onnxscript.values.TracedOnnxFunction
    if isinstance(kind.function_ir, property):
        kind.function_ir = cached_property(kind.function_ir.fget)
        kind.function_ir.__set_name__(kind, "function_ir")


def _answer(function: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], answers: Any) -> None:
    warnings.simplefilter("ignore")
    answers.send(function(*arguments))


def answer_of(function: Callable[..., dict[str, Any]], *arguments: Any, limit: float) -> dict[str, Any]:
    """The function's record and its `seconds`, or `ended`: why there is none.

    Args:
        limit: in seconds. The process is ended after that.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(function, arguments, sending))
    begun = time.monotonic()
    process.start()
    sending.close()
    found: dict[str, Any] = {"ended": f"It took more than {limit:g} seconds."}
    try:
        if receiving.poll(limit):
            found = receiving.recv()
    except EOFError:
        process.join()
        found = {"ended": f"Its process ended with {process.exitcode}; -9 means that memory ran out."}
    process.kill()
    process.join()
    return {**found, "seconds": round(time.monotonic() - begun)}


def write(path: Path, content: str | dict[str, Any]) -> None:
    """Writes text or JSON completely or not at all."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
