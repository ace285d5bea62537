"""What the code in a TorchScript file may say.

TorchScript has no access to Python, and yet two of its operators open files: any program may call `torch.save` and
`torch.from_file`. Its text parses as Python, which is how it is read here before PyTorch sees it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from zoo_exporters.archive import REFUSED_FUNCTIONS, REFUSED_METHODS

MAX_PROGRAM_BYTES = 3 * 2**20  # torchvision's longest has 1 MB; reading it as Python takes a thousand times the memory

TEXTS = r"code/.*|[^/]*\.pkl"
NAMES = (
    r"(data|constants|traced_inputs)(\.pkl|/[0-9]+)|code(/\w+)+\.py|version|byteorder|\.data/(version|serialization_id)"
)
# What PyTorch never writes, and where two readers may see different code: for PyTorch, a comment ends at a line feed,
# for Python at a carriage return.
_AMBIGUOUS = re.compile(rb"[^\n\x20-\x7e]|[#\\]|\"{3}|'{3}")
_LIBRARIES = frozenset({"aten", "prim", "torchvision"})


def check(texts: Mapping[str, bytes]) -> None:
    """Says what in a file is none of zoo's.

    Args:
        texts: the bytes of its entries `TEXTS`.

    Raises:
        ValueError: with the reason.
    """
    for name, text in texts.items():
        # Classes of libraries may run anything; in a pickle, the parts of a name stand on lines of their own.
        own = re.search(rb"torch[.\n]classes[.\n]", text) if name.endswith(".pkl") else _AMBIGUOUS.search(text)
        if own or not (name.endswith(".pkl") or _is_known(text)):
            raise ValueError(f"'{name}' holds code of its own")


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
                # Nowhere by itself: a variable could take its place.
                if node not in bases:
                    return False
            case ast.Call(ast.Name("getattr"), [_, ast.Constant(str(attribute))]):
                if re.fullmatch(REFUSED_METHODS, attribute) or not re.fullmatch(r"[\w-]+", attribute):
                    return False
            case ast.Call(ast.Name("getattr" | "print")):  # what is printed could steer the terminal
                return False
    return True


def _is_refused(owner: ast.expr, attribute: str) -> bool:
    if re.fullmatch(REFUSED_METHODS, attribute):
        return True
    if attribute == "classes":
        return ast.unparse(owner) == "__torch__.torch"
    # Elsewhere it is the name of a module.
    return bool(re.fullmatch(REFUSED_FUNCTIONS, attribute)) and ast.unparse(owner).split(".")[0] in ("torch", "ops")
