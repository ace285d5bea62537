"""What the code in a TorchScript file may say.

TorchScript has no access to Python, and yet two of its operators open files: any program may call `torch.save` and
`torch.from_file`. Its text parses as Python, which is how it is read here before PyTorch sees it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

MAX_PROGRAM_BYTES = 64 * 2**20

TEXTS = r"code/.*|[^/]*\.pkl"
NAMES = (
    r"(data|constants|traced_inputs)(\.pkl|/[0-9]+)|code(/\w+)+\.py|version|byteorder|\.data/(version|serialization_id)"
)
_REFUSED = frozenset({"save", "from_file"})
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
        known = not re.search(rb"torch[.\n]classes[.\n]", text) if name.endswith(".pkl") else _is_known(text)
        if not known:
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
                if attribute in _REFUSED or (attribute == "classes" and ast.unparse(value) == "__torch__.torch"):
                    return False
                if isinstance(value, ast.Name) and (value.id != "ops" or attribute in _LIBRARIES):
                    bases.add(value)
            case ast.Name("torch" | "ops" | "__torch__"):
                # Nowhere by itself: a variable could take its place.
                if node not in bases:
                    return False
            case ast.Call(ast.Name("getattr"), [_, ast.Constant(str(attribute))]):
                if attribute in _REFUSED or not re.fullmatch(r"[\w-]+", attribute):
                    return False
            case ast.Call(ast.Name("getattr")):
                return False
    return True
