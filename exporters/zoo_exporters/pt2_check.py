"""Checks the content of a pt2 file before PyTorch loads it.

`torch.export.load` executes content of the file. It unpickles sample inputs, objects and marked tensors. It loads
native libraries, evaluates the sizes of tensors as Python, and makes source code from names and guards. So a file is
read here first. Only what `zoo export` writes reaches PyTorch.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from zoo_exporters.archive import REFUSED_FUNCTIONS, REFUSED_METHODS, ForeignError

MAX_PROGRAM_BYTES = 64 * 2**20
MAX_EXPRESSION = 10_000  # characters
MAX_EXPONENT = 8
MAX_POWERS = 2  # nested
KEPT_METADATA = frozenset({"nn_module_stack", "torch_fn"})  # no stack traces, which name the maker's folders
CPU = {"type": "cpu", "index": None}

PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"
TEXTS = f"{re.escape(PROGRAM)}|{re.escape(WEIGHTS)}|{re.escape(CONSTANTS)}"
NAMES = (
    rf"{TEXTS}|{re.escape(SAMPLES)}|data/weights/weight_[0-9]+|data/constants/tensor_[0-9]+"
    r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
)
_TARGET = re.compile(
    rf"torch\.ops\.aten\.(?!({REFUSED_METHODS}|{REFUSED_FUNCTIONS})\.)(__(and|or|xor|lshift|rshift)__|(?!__)\w+)\.(?!_)\w+"
    r"|torch\.sym_(min|max|not|sum|ite|int|float)"
    r"|_operator\.(add|sub|mul|floordiv|mod|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|getitem)",
    re.ASCII,
)
_NAME = re.compile(r"\w+", re.ASCII)
_PATH = re.compile(r"[\w.-]*", re.ASCII)
_SYMBOL = re.compile(r"[su][0-9]+", re.ASCII)
_FUNCTION = re.compile("Symbol|Integer|Add|Mul|Min|Max|FloorDiv|Mod|PythonMod|CleanDiv|Eq|Ne|Lt|Le|Gt|Ge|Not|And|Or")
# Functions, objects of classes, and what changes a program's state.
_REFUSED = re.compile("as_(graph|custom_obj|operator)|custom_obj|token|loss_output|gradient_to_.*|.*_mutation")
# How one tensor goes in, and two or three come out: `torch.utils._pytree.treespec_dumps`.
_LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
_TREES: dict[str, list[Any]] = {
    "in_spec": [
        {
            "type": "builtins.tuple",
            "context": "null",
            "children_spec": [
                {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF]},
                {"type": "builtins.dict", "context": "[]", "children_spec": []},
            ],
        }
    ],
    "out_spec": [{"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF] * count} for count in (2, 3)],
}


def check(texts: Mapping[str, bytes], sizes: Mapping[str, int]) -> None:
    """Refuses content that zoo never writes.

    Args:
        texts: the bytes of its entries `TEXTS`.
        sizes: of all its entries, in bytes.

    Raises:
        ForeignError: with the reason.
    """
    if texts.keys() != {PROGRAM, WEIGHTS, CONSTANTS}:
        raise ForeignError("a part of it is missing", code="missing-part")
    if sizes.get(SAMPLES):
        raise ForeignError("it has sample inputs, which PyTorch would unpickle", code="foreign-samples")
    _check_tensors(_parsed(texts[WEIGHTS]), "data/weights", sizes)
    _check_tensors(_parsed(texts[CONSTANTS]), "data/constants", sizes)
    _parsed(texts[PROGRAM])


def _parsed(text: bytes) -> Any:
    try:
        value = whole = json.loads(text)
    except (ValueError, RecursionError):
        raise ForeignError("its JSON is damaged", code="damaged-json") from None
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str) and not _PATH.fullmatch(value):
            raise ForeignError(f"it has the name {value[:100]!a}", code="foreign-name")
        if isinstance(value, dict):
            left += value
            for key, inner in value.items():
                if _REFUSED.fullmatch(key) or (key in _RULES and not _RULES[key](inner)):
                    raise ForeignError(f"it has a foreign value of '{key}'", code="foreign-value")
            left += [inner for key, inner in value.items() if key not in _RULES]
        elif isinstance(value, list):
            left += value
    return whole


def _is_tree(value: Any, key: str) -> bool:
    try:
        return json.loads(value)[1] in _TREES[key]
    except (TypeError, ValueError, LookupError, RecursionError):
        return False


def _is_expression(value: Any) -> bool:
    """Whether it is an `srepr` of sympy with only symbols, integers and arithmetic."""
    if not isinstance(value, str) or len(value) > MAX_EXPRESSION:
        return False
    try:
        tree = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    left = [(tree, 0)]
    while left:
        node, powers = left.pop()
        match node:
            case ast.Call(ast.Name("Symbol"), [ast.Constant(str(name))], keywords):
                facts = [isinstance(k.value, ast.Constant) and isinstance(k.value.value, bool) for k in keywords]
                known = bool(_SYMBOL.fullmatch(name)) and all(facts)
            case ast.Call(
                ast.Name("Pow"), [base, ast.Call(ast.Name("Integer"), [ast.Constant(int(exponent))], [])], []
            ):
                # Powers of powers can have more digits than fit in memory.
                known = exponent <= MAX_EXPONENT and powers < MAX_POWERS
                left.append((base, powers + 1))
            case ast.Call(ast.Name(function), arguments, []):
                known = bool(_FUNCTION.fullmatch(function))
                left += [(argument, powers) for argument in arguments]
            case ast.UnaryOp(ast.USub(), ast.Constant(int(number))) | ast.Constant(int(number)):
                known = number < 2**63
            case ast.Name(name):
                known = name in ("true", "false")
            case _:
                known = False
        if not known:
            return False
    return True


def _check_tensors(config: Any, folder: str, sizes: Mapping[str, int]) -> None:
    """Checks that each tensor is in an entry of its kind and not larger than it."""
    try:
        fits = all(
            _fits(entry["path_name"], entry["tensor_meta"], folder, sizes) for entry in config["config"].values()
        )
    except (TypeError, AttributeError, LookupError, ValueError):
        fits = False
    if not fits:
        raise ForeignError("a tensor does not match its list of tensors", code="foreign-tensor")


def _fits(name: str, meta: Any, folder: str, sizes: Mapping[str, int]) -> bool:
    strides = [_whole(stride) for stride in (*meta["strides"], meta["storage_offset"])]
    number = math.prod(_whole(size) for size in meta["sizes"])
    return len(strides) == len(meta["sizes"]) + 1 and number <= sizes[f"{folder}/{name}"]


def _whole(value: Any) -> int:
    if not isinstance(value["as_int"], int) or not 0 <= value["as_int"] < 2**48:
        raise ValueError
    return int(value["as_int"])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or value in ("Infinity", "-Infinity", "NaN")


# By key, rules for values other than names, numbers, and lists and tables of those.
_RULES: dict[str, Callable[[Any], bool]] = {
    "target": lambda value: isinstance(value, str) and bool(_TARGET.fullmatch(value)),
    "name": lambda value: value is None or (isinstance(value, str) and bool(_NAME.fullmatch(value))),
    "as_name": lambda value: isinstance(value, str) and bool(_NAME.fullmatch(value)),
    "expr_str": _is_expression,
    "in_spec": lambda value: _is_tree(value, "in_spec"),
    "out_spec": lambda value: _is_tree(value, "out_spec"),
    "forward_arg_names": lambda value: value == ["image"],
    "metadata": lambda value: isinstance(value, dict) and value.keys() <= KEPT_METADATA,
    "guards_code": lambda value: value == [],
    "treespec_namedtuple_fields": lambda value: value == {},
    "custom_obj_values": lambda value: value == {},
    "device": lambda value: value == CPU,
    "as_device": lambda value: value == CPU,
    "use_pickle": lambda value: value is False,
    "torch_version": lambda value: isinstance(value, str),
    "as_string": lambda value: isinstance(value, str),
    "as_float": _is_number,
}
