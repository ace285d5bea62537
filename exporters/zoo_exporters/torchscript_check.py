"""Checks the code in a TorchScript file before PyTorch loads it.

TorchScript has no access to Python, but two of its operators open files: any program may call `torch.save` and
`torch.from_file`. The code parses as Python, so it is read as Python here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from zoo_exporters.archive import REFUSED_FUNCTIONS, REFUSED_METHODS, ForeignError

MAX_PROGRAM_BYTES = 3 * 2**20  # torchvision's longest has 1 MB; parsing it as Python takes a thousand times the memory

TEXTS = r"code/.*|[^/]*\.pkl"
NAMES = (
    r"(data|constants|traced_inputs)(\.pkl|/[0-9]+)|code(/\w+)+\.py|version|byteorder|\.data/(version|serialization_id)"
)
# Characters that PyTorch never writes, and that two readers may read differently: PyTorch ends a comment at a line
# feed, Python at a carriage return.
_AMBIGUOUS = re.compile(rb"[^\n\x20-\x7e]|[#\\]|\"{3}|'{3}")
_LIBRARIES = frozenset({"aten", "prim", "torchvision"})


def check(texts: Mapping[str, bytes]) -> None:
    """Refuses code that zoo never writes.

    Args:
        texts: the bytes of its entries `TEXTS`.

    Raises:
        ForeignError: with the reason.
    """
    for name, text in texts.items():
        # Classes of libraries may run anything. In a pickle, each part of a name is on its own line.
        own = re.search(rb"torch[.\n]classes[.\n]", text) if name.endswith(".pkl") else _AMBIGUOUS.search(text)
        if own or not (name.endswith(".pkl") or _is_known(text)):
            raise ForeignError(f"'{name}' has foreign code", code="foreign-code")


def _is_known(text: bytes) -> bool:
    try:
        tree = ast.parse(text.decode("ascii"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    bases: set[ast.Name] = set()
    for node in ast.walk(tree):  # parents first
        match node:
            case ast.Attribute(value, attribute):
                if _is_refused(value, attribute):
                    return False
                if isinstance(value, ast.Name) and (value.id != "ops" or attribute in _LIBRARIES):
                    bases.add(value)
            case ast.Name("torch" | "ops" | "__torch__"):
                # Never alone: a variable could hold it.
                if node not in bases:
                    return False
            case ast.Call(ast.Name("getattr"), [_, ast.Constant(str(attribute))]):
                if re.fullmatch(REFUSED_METHODS, attribute) or not re.fullmatch(r"[\w-]+", attribute):
                    return False
            case ast.Call(ast.Name("getattr" | "print")):  # printed text could steer the terminal
                return False
    return True


def _is_refused(owner: ast.expr, attribute: str) -> bool:
    if re.fullmatch(REFUSED_METHODS, attribute):
        return True
    if attribute == "classes":
        return ast.unparse(owner) == "__torch__.torch"
    # Otherwise it is the name of a module.
    return bool(re.fullmatch(REFUSED_FUNCTIONS, attribute)) and ast.unparse(owner).split(".")[0] in ("torch", "ops")
