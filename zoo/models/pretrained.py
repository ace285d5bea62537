"""Loads pretrained weights into a network, and reports what it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from zoo.errors import WeightsError
from zoo.models.state_dict import load_state
from zoo.registry import backbones_with_weights
from zoo.registry.factories import calling, wrong_result
from zoo.specs import BackboneSpec, PreprocessSpec, WeightsSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMED = 3  # how many wrong entries of a file an error names


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsReport:
    """The weights that a network starts from.

    Attributes:
        name: of the weights (`IMAGENET1K_V1`), of the file, or `none`.
        pretrained: False where the network keeps the random weights of `BackboneSpec.build`.
        note: a message for the user, empty where the request was met.
        licence: one line, empty where it is unknown.
        spec: has the mean, std and size for the network. None where it is not pretrained.
    """

    name: str
    pretrained: bool
    note: str = ""
    licence: str = ""
    spec: WeightsSpec | None = None


def load_weights(
    network: nn.Module, spec: BackboneSpec, policy: str, seen: PreprocessSpec | None = None
) -> WeightsReport:
    """Loads weights into `network` in place.

    Args:
        network: what `spec.build` returned.
        policy: `auto` (pretrained weights if available, otherwise random weights), `pretrained`, `none`, or the path
            of a state dict: `.safetensors`, or a pickle of tensors alone (`.pt`, `.pth`).
        seen: the preprocessing of the training of that file, where it is known.

    Raises:
        WeightsError: the policy is `pretrained` and the weights are missing, a file cannot be read, or entries outside
            the head do not fit.
    """
    if policy == "none":
        return WeightsReport(name="none", pretrained=False)
    if policy not in ("auto", "pretrained"):
        return _load_file(network, spec, Path(policy).expanduser(), seen)
    try:
        return _load_published(network, spec)
    except _UnavailableError as error:
        if policy == "pretrained":
            remedy = "Use --weights none to start from random weights, or --weights PATH for your own file."
            if installed := backbones_with_weights():
                remedy += f" Backbones whose weights are installed: {', '.join(installed)}."
            raise WeightsError(error.cause, remedy, code=error.code) from error
        note = f"{error.cause} The network starts from random weights."
        return WeightsReport(name="none", pretrained=False, note=note)


class _UnavailableError(WeightsError):
    """There are no published weights, or they could not be loaded."""


def _load_published(network: nn.Module, spec: BackboneSpec) -> WeightsReport:
    weights = spec.weights
    if weights is None:
        raise _UnavailableError(f"{spec.name} has no pretrained weights.", "", code="no-pretrained-weights")
    owner = f"The backbone '{spec.name}'"
    try:
        with calling(owner, "weights.load", OSError):
            state: object = weights.load()
    except OSError as error:
        cause = f"The weights {weights.name} of {spec.name} could not be loaded: {_reason(error)}."
        raise _UnavailableError(cause, "", code="weights-unavailable") from error
    if not _is_state_dict(state):
        raise wrong_result(owner, "weights.load", state, "a state dict: a mapping from names to tensors")
    _fit(network, spec, state, source=f"the weights {weights.name}", keep_head=False)
    return WeightsReport(name=weights.name, pretrained=True, licence=weights.licence, spec=weights)


def _load_file(network: nn.Module, spec: BackboneSpec, path: Path, seen: PreprocessSpec | None) -> WeightsReport:
    state = read_state_dict(path)
    kept = _fit(network, spec, state, source=f"the file '{path}'", keep_head=True)
    note = "" if kept else f"The head starts from random weights, because '{path.name}' has no head of this shape."
    return WeightsReport(name=path.name, pretrained=True, note=note, spec=_own(path, seen) if seen else spec.weights)


def _own(path: Path, seen: PreprocessSpec) -> WeightsSpec:
    return WeightsSpec(
        name=path.name,
        load=lambda: read_state_dict(path),
        image_size=seen.image_size,
        mean=seen.mean,
        std=seen.std,
        crop_fraction=seen.crop_fraction,
    )


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Reads a state dict without running code from the file.

    Wrappers (`model`, `state_dict`) and the prefix `module.` of data-parallel training are removed.
    Raises `WeightsError`.
    """
    if not path.is_file():
        raise WeightsError(
            f"The weights file '{path}' does not exist.",
            "Give auto, pretrained, none, or the path of a .safetensors, .pt or .pth file.",
            code="missing-weights-file",
        )
    state = _read(path)
    while isinstance(state, Mapping):
        inner = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), Mapping)), None)
        if inner is None:
            break
        state = inner
    if not _is_state_dict(state):
        raise WeightsError(
            f"The file '{path}' does not contain a state dict.",
            "Save one with torch.save(network.state_dict(), path).",
            code="file-without-state-dict",
        )
    entries: Mapping[str, Tensor] = state
    if all(key.startswith("module.") for key in entries):
        entries = {key.removeprefix("module."): value for key, value in entries.items()}
    return entries


def _read(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise anything, KeyError included
        raise WeightsError(
            f"The file '{path}' cannot be read as a state dict: {_reason(error)}.",
            "Give a .safetensors file, or a file that torch.save(network.state_dict(), path) wrote.",
            code="unreadable-weights-file",
        ) from error


def _is_state_dict(state: object) -> TypeGuard[Mapping[str, Tensor]]:
    from torch import Tensor

    return (
        isinstance(state, Mapping)
        and len(state) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())
    )


def _fit(network: nn.Module, spec: BackboneSpec, state: Mapping[str, Tensor], *, source: str, keep_head: bool) -> bool:
    """Copies `state` into `network`. All entries outside the head must fit. Returns whether the head was filled too."""
    own = network.state_dict()
    inside = f"{spec.head}."
    ignored = spec.weights.ignore if spec.weights else ()
    head = {key: value for key, value in own.items() if key.startswith(inside)}
    kept = keep_head and all(key in state and state[key].shape == value.shape for key, value in head.items())
    chosen = {
        key: value
        for key, value in state.items()
        if not key.startswith(ignored) and (kept or not key.startswith(inside))
    }
    shapes = [key for key, value in chosen.items() if key in own and own[key].shape != value.shape]
    if shapes:
        raise _misfit(source, spec, "weights-of-another-shape", "these entries have another shape", shapes)
    missing, unexpected = load_state(network, chosen, strict=False, origin=state)
    missing = [key for key in missing if key not in head]
    if missing:
        raise _misfit(source, spec, "missing-weights", "these entries are missing", missing)
    if unexpected:
        raise _misfit(source, spec, "unknown-weights", "the network does not have these entries", unexpected)
    return kept


def _misfit(source: str, spec: BackboneSpec, code: str, fault: str, keys: Iterable[str]) -> WeightsError:
    names = list(keys)
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return WeightsError(
        f"{spec.name} cannot use {source}: {fault} ({shown}).",
        f"Give a state dict that was saved from {spec.name}.",
        code=code,
    )


def _reason(error: Exception) -> str:
    """The first line of a library's message, without its full stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
