"""Loads pretrained weights into a network, and reports what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import WeightsError
from zoo.models.state_dict import load_state
from zoo.models.weights_files import is_state_dict, named, read_state_dict, reason_in, without_prefix
from zoo.registry import backbones_with_weights
from zoo.registry.factories import calling, wrong_result
from zoo.specs import BackboneSpec, PreprocessSpec, WeightsSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


SHOWN = 10  # classes in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsReport:
    """The weights that a network starts from.

    Attributes:
        name: of the weights (`IMAGENET1K_V1`), of the file, or `none`.
        pretrained: False where the network keeps the random weights of `BackboneSpec.build`.
        note: a message for the user, empty where the request was met.
        licence: one line, empty where it is unknown.
        spec: has the mean, std and size for the network. None where it is not pretrained.
        head: a sentence about the head, where it starts from the file too. Empty where it starts anew.
    """

    name: str
    pretrained: bool
    note: str = ""
    licence: str = ""
    spec: WeightsSpec | None = None
    head: str = ""


def load_weights(
    network: nn.Module,
    spec: BackboneSpec,
    policy: str,
    seen: PreprocessSpec | None = None,
    *,
    classes: Sequence[str] = (),
    recorded: Sequence[str] = (),
) -> WeightsReport:
    """Loads weights into `network` in place.

    Args:
        network: what `spec.build` returned.
        policy: `auto` (pretrained weights if available, otherwise random weights), `pretrained`, `none`, or the path
            of a file as `zoo.models.weights_files.read_state_dict` takes it.
        seen: the preprocessing of the training of that file, where it is known.
        classes: the K names, in the order of the network's logits.
        recorded: the classes of that file, where they are known. Their order and number may differ.

    Raises:
        WeightsError: the policy is `pretrained` and the weights are missing, a file cannot be read, or entries outside
            the head do not fit.
    """
    if policy == "none":
        return WeightsReport(name="none", pretrained=False)
    if policy not in ("auto", "pretrained"):
        return _load_file(network, spec, Path(policy).expanduser(), seen=seen, classes=classes, recorded=recorded)
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
        cause = f"The weights {weights.name} of {spec.name} could not be loaded: {reason_in(error)}."
        raise _UnavailableError(cause, "", code="weights-unavailable") from error
    if not is_state_dict(state):
        raise wrong_result(owner, "weights.load", state, "a state dict: a mapping from names to tensors")
    _fit(network, spec, state, source=f"the weights {weights.name}", keep_head=False)
    return WeightsReport(name=weights.name, pretrained=True, licence=weights.licence, spec=weights)


def _load_file(
    network: nn.Module,
    spec: BackboneSpec,
    path: Path,
    *,
    seen: PreprocessSpec | None,
    classes: Sequence[str],
    recorded: Sequence[str],
) -> WeightsReport:
    state = without_prefix(read_state_dict(path), network.state_dict())
    found = len(classes)
    if recorded and classes:
        state, found = _by_class(state, f"{spec.head}.", recorded, classes)
    kept = found > 0 or not classes
    kept = _fit(network, spec, state, source=f"the file '{path}'", keep_head=kept)
    why = "has no head of this shape" if found or not recorded else "knows none of these classes"
    note = "" if kept else f"The head starts from random weights, because '{path.name}' {why}."
    head = ""
    if kept and classes:
        known = f"{found} of {len(classes)} classes"
        order = ", ".join(classes[:SHOWN]) + (", …" if len(classes) > SHOWN else "")
        unknown = f"its classes are not recorded, so they must be these in this order: {order}"
        head = f"The head starts from '{path.name}': {known if recorded else unknown}."
    own = _own(path, seen) if seen else spec.weights
    return WeightsReport(name=path.name, pretrained=True, note=note, spec=own, head=head)


def load_all(network: nn.Module, spec: BackboneSpec, path: Path, num_classes: int) -> None:
    """Loads a whole network from a file, with its head, in place.

    Args:
        network: what `spec.build(num_classes)` returned.
        path: of a file as `zoo.models.weights_files.read_state_dict` takes it.

    Raises:
        WeightsError: the file cannot be read, its head is for another number of classes, or an entry does not fit.
    """
    own = network.state_dict()
    state = without_prefix(read_state_dict(path), own)
    weight = next(key for key in own if key.startswith(f"{spec.head}.") and key.endswith("weight"))
    if weight in state and state[weight].ndim and len(state[weight]) != num_classes:
        raise WeightsError(
            f"The head in '{path}' is for {len(state[weight]):,} classes, and {num_classes:,} are named.",
            "Name the classes of its training with --classes, in their order.",
            code="other-number-of-classes",
        )
    _fit(network, spec, state, source=f"the file '{path}'", keep_head=True, needs_head=True)


def _by_class(
    state: Mapping[str, Tensor], inside: str, recorded: Sequence[str], classes: Sequence[str]
) -> tuple[Mapping[str, Tensor], int]:
    """The state dict with the rows of its head in the order of `classes`, and how many of them it knows.

    Rows of other classes are zero: the head prefers none of them.
    """
    heads = [key for key in state if key.startswith(inside)]
    if list(recorded) == list(classes) or any(len(state[key]) != len(recorded) for key in heads if state[key].ndim):
        return state, len(classes)
    rows = {name: row for row, name in enumerate(recorded)}
    chosen = [rows.get(name, -1) for name in classes]
    changed = {}
    for key in (key for key in heads if state[key].ndim):
        changed[key] = state[key].new_zeros(len(classes), *state[key].shape[1:])
        for row, source in enumerate(chosen):
            if source >= 0:
                changed[key][row] = state[key][source]
    return {**state, **changed}, sum(source >= 0 for source in chosen)


def _own(path: Path, seen: PreprocessSpec) -> WeightsSpec:
    return WeightsSpec(
        name=path.name,
        load=lambda: read_state_dict(path),
        image_size=seen.image_size,
        mean=seen.mean,
        std=seen.std,
        crop_fraction=seen.crop_fraction,
        resize=seen.resize,
        interpolation=seen.interpolation,
    )


def _fit(
    network: nn.Module,
    spec: BackboneSpec,
    state: Mapping[str, Tensor],
    *,
    source: str,
    keep_head: bool,
    needs_head: bool = False,
) -> bool:
    """Copies `state` into `network`. All entries outside the head must fit. Returns whether the head was filled too.

    Args:
        needs_head: whether the entries of the head must fit, too.
    """
    own = network.state_dict()
    inside = f"{spec.head}."
    ignored = spec.weights.ignore if spec.weights else ()
    head = {key: value for key, value in own.items() if key.startswith(inside)}
    fits = all(key in state and state[key].shape == value.shape for key, value in head.items())
    kept = needs_head or (keep_head and fits)
    chosen = {
        key: value
        for key, value in state.items()
        if not key.startswith(ignored) and (kept or not key.startswith(inside))
    }
    shapes = [key for key, value in chosen.items() if key in own and own[key].shape != value.shape]
    if shapes:
        raise _misfit(source, spec, "weights-of-another-shape", f"these entries have another shape ({named(shapes)})")
    missing, unexpected = load_state(network, chosen, strict=False, origin=state)
    missing = [key for key in missing if kept or key not in head]
    if not missing and not unexpected:
        return kept
    faults = [f"these entries are missing ({named(missing)})"] if missing else []
    faults += [f"the network does not have these entries ({named(unexpected)})"] if unexpected else []
    raise _misfit(source, spec, "missing-weights" if missing else "unknown-weights", ", and ".join(faults))


def _misfit(source: str, spec: BackboneSpec, code: str, fault: str) -> WeightsError:
    return WeightsError(
        f"{spec.name} cannot use {source}: {fault}.", f"Give a state dict that was saved from {spec.name}.", code=code
    )
