"""Finds the line of a network's own code that a format could not take."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zoo.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

# What PyTorch's exporters say about where an operation comes from
PLACE = re.compile(r'^\s*File "(.+)", line (\d+)', re.MULTILINE)
NOT_OWN = ("torch", "zoo")


def with_place(error: ExportError, network: nn.Module) -> ExportError:
    """The error with the line of the network's own code in its cause, if its traceback or its text names one.

    Of several lines it is the innermost. Code of PyTorch and of visionzoo does not count as the network's own.
    """
    own = _files(network)
    for cause in _causes(error):
        places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(cause.__traceback__)]
        said = "\n".join([str(cause), *getattr(cause, "__notes__", ())])
        places += [(name, int(line)) for name, line in PLACE.findall(said)]
        for name, line in reversed(places):
            if name in own:
                code = linecache.getline(name, line).strip()
                where = f"Line {line} of {name}" + (f" has: {code}" if code else ".")
                found = ExportError(f"{error.cause.rstrip('. ')}. {where}", error.remedy, code=error.code)
                found.__cause__ = error.__cause__
                return found
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What led to an error, outermost first."""
    seen: BaseException | None = error.__cause__ or error.__context__
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _files(network: nn.Module) -> set[str]:
    """The files whose code is the network's own: those of the classes of its modules."""
    kinds = {type(module) for module in network.modules()}
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] not in NOT_OWN]
    codes = [getattr(inspect.unwrap(kind.forward), "__code__", None) for kind in own]
    return {code.co_filename for code in codes if code}
