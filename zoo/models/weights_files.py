"""Reads the state dict in a weights file, in the layouts that people have, without running code from the file."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

NAMED = 3  # how many entries of a file an error names

# Averaged weights first: they are what timm and torchvision's reference training evaluate and report.
WRAPPERS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model")
_PREFIX = re.compile(r"(?:(?:module|model|backbone|net|_orig_mod)\.)+")

# What frameworks save beside the weights. Each is read as a `_StandIn`, so no code of its library runs.
_BESIDE_WEIGHTS = (
    *("argparse.Namespace", "types.SimpleNamespace", "numpy.dtype", "numpy.ndarray"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "Bool")),
    *(
        f"{module}.{kind}Path"
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "Windows", "PurePosix", "PureWindows")
    ),
)
# Of Lightning's hyperparameters. The unpickler fills plain dictionaries only.
_MAPPINGS = (
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


class _StandIn:
    """Takes the place of a named harmless object of a pickle, and forgets what it is made of."""

    def __init__(self, *_: object) -> None:
        pass

    def __new__(cls, *_: object) -> _StandIn:
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


class _Dictionary:
    """Takes the place of a named kind of dictionary."""

    def __new__(cls, *_: object) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Reads a state dict without running code from the file.

    The file is safetensors, or a pickle of tensors: the state dict itself, or a checkpoint that holds one under a key
    of `WRAPPERS`, such as one of Lightning or the `last.ckpt` of a run. Raises `WeightsError`.
    """
    if not path.is_file():
        raise WeightsError(
            f"The weights file '{path}' does not exist.",
            "Give auto, pretrained, none, or the path of a .safetensors, .pt or .pth file.",
            code="missing-weights-file",
        )
    _refuse_programs(path)
    state = _unwrapped(_read(path), path)
    if not is_state_dict(state):
        raise WeightsError(
            f"The file '{path}' does not contain a state dict.",
            "Save one with torch.save(network.state_dict(), path).",
            code="file-without-state-dict",
        )
    entries: Mapping[str, Tensor] = state
    return entries


def without_prefix(entries: Mapping[str, Tensor], own: Iterable[str]) -> Mapping[str, Tensor]:
    """The entries by the names of a network, where all of these stand behind one prefix, such as `module.`.

    Args:
        own: the names of the network's entries. Other entries keep their prefix.
    """
    names = set(own)
    if any(name in names for name in entries):
        return entries
    prefixes = Counter(
        match[0] for name in entries for match in _prefixes(name) if name.removeprefix(match[0]) in names
    )
    if not prefixes:
        return entries
    prefix = prefixes.most_common(1)[0][0]
    # Of `torch.optim.swa_utils.AveragedModel`, beside its `module.`.
    kept = {name: value for name, value in entries.items() if name != "n_averaged"}
    return {_without(name, prefix, names): value for name, value in kept.items()}


def _prefixes(name: str) -> Iterable[re.Match[str]]:
    """The longest prefix of known parts, then shorter ones: a network's own entries may begin with `model.`."""
    match = _PREFIX.match(name)
    while match:
        yield match
        match = _PREFIX.fullmatch(name, 0, name.rfind(".", 0, match.end() - 1) + 1)


def _without(name: str, prefix: str, own: set[str]) -> str:
    short = name.removeprefix(prefix)
    return short if short in own or name.startswith(prefix) else name


def _refuse_programs(path: Path) -> None:
    """Raises `WeightsError` for an exported program: its weights have other names, and BatchNorm may be folded in."""
    with path.open("rb") as file:
        head = file.read(16)
    kind = "a Keras or HDF5 file" if head.startswith(b"\x89HDF") else ""
    # A protobuf whose first field is `ir_version`, and whose second is the name or the version of its producer.
    if path.suffix.lower() == ".onnx" or re.match(rb"\x08[\x01-\x20][\x12\x1a]", head):
        kind = "an ONNX file"
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in names):
            kind = "a TorchScript file"
        elif any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names):
            kind = "a program of torch.export"
    if kind:
        raise WeightsError(
            f"The file '{path}' is {kind}: an exported program, not the weights of a network.",
            "Give the file that torch.save(network.state_dict(), path) wrote in the training.",
            code="program-not-weights",
        )


def _read(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        harmless: list[Any] = [(_StandIn, name) for name in _BESIDE_WEIGHTS] + [
            (_Dictionary, name) for name in _MAPPINGS
        ]
        with torch.serialization.safe_globals(harmless):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise anything, KeyError included
        found = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", str(error))
        if found:
            raise WeightsError(
                f"The file '{path}' holds Python objects ({found[1]}), and reading them would run code of the file.",
                "In the program that made it, save the weights alone, and give that file:\n"
                "    state = network.state_dict()\n"
                '    torch.save(state, "weights.pt")',
                code="pickled-network",
            ) from None
        raise WeightsError(
            f"The file '{path}' cannot be read as a state dict: {reason_in(error)}.",
            "Give a .safetensors file, or a file that torch.save(network.state_dict(), path) wrote.",
            code="unreadable-weights-file",
        ) from error


def _unwrapped(state: Any, path: Path) -> Any:
    """The state dict inside a checkpoint, which may be wrapped more than once."""
    while isinstance(state, Mapping):
        if isinstance(state.get("network"), Mapping) and "progress" in state:
            state = _of_run(state, path)
        inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping) and state[key]), None)
        if inner is None:
            break
        state = inner
    return state


def _of_run(state: Mapping[str, Any], path: Path) -> Any:
    """The network in our own `last.ckpt`."""
    if state.get("phase_best") is not None:
        raise WeightsError(
            f"The checkpoint '{path}' was saved while the head trained apart from its network.",
            f"Give {path.with_name('best.safetensors')}, or finish the run: zoo train --resume {path.parent}",
            code="checkpoint-without-head",
        )
    return state["network"]


def is_state_dict(state: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether it maps names to tensors."""
    from torch import Tensor

    return (
        isinstance(state, Mapping)
        and len(state) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())
    )


def named(keys: Iterable[str]) -> str:
    """The first few entries of a file, for a sentence."""
    names = list(keys)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def reason_in(error: Exception) -> str:
    """The first line of a library's message, without its full stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
