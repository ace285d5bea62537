"""Which values the options of a recipe may have, and what their texts mean."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError, nearest

if TYPE_CHECKING:
    from zoo.recipes.recipe import Recipe

RANGES: dict[str, tuple[float, float, str]] = {
    "epochs": (1, 100_000, "from 1 to 100,000"),
    "batch_size": (2, 65_536, "from 2 to 65,536"),
    "accumulate": (1, 65_536, "from 1 to 65,536"),
    "head_epochs": (1, 100_000, "from 1 to 100,000"),
    "head_learning_rate": (1e-12, 1e3, "above 0"),
    "image_size": (1, 4_096, "from 1 to 4,096"),
    "learning_rate": (1e-12, 1e3, "above 0"),
    "layer_decay": (1e-3, 1, "above 0, to 1"),
    "momentum": (0, 0.9999, "from 0 to below 1"),
    "weight_decay": (0, 10, "from 0 to 10"),
    "warmup_epochs": (0, 100_000, "from 0"),
    "step_epochs": (1, 100_000, "from 1"),
    "gamma": (1e-6, 1, "above 0, to 1"),
    "patience": (0, 100_000, "from 0"),
    "label_smoothing": (0, 0.999, "from 0 to below 1"),
    "dropout": (0, 0.999, "from 0 to below 1"),
    "clip_norm": (1e-12, 1e12, "above 0"),
    "ema": (0, 0.999999, "from 0 to below 1"),
    "early_stopping": (1, 100_000, "from 1 to 100,000"),
    "limit": (2, 10**9, "from 2"),
    "log_every": (1, 10**9, "from 1"),
    "rotate": (0, 180, "from 0 to 180"),
    "translate": (0, 1, "from 0 to 1"),
    "shear": (0, 60, "from 0 to 60"),
    "jitter": (0, 1, "from 0 to 1"),
    "hue": (0, 0.5, "from 0 to 0.5"),
    "grey": (0, 1, "from 0 to 1"),
    "erase": (0, 1, "from 0 to 1"),
    "mixup": (0, 100, "from 0"),
    "cutmix": (0, 100, "from 0"),
    "views": (1, 1_000, "from 1 to 1,000"),
    "devices": (1, 4_096, "from 1 to 4,096"),
    "nodes": (1, 4_096, "from 1 to 4,096"),
    "checkpoint_minutes": (0, 1e6, "from 0"),
    "max_unreadable": (0, 1, "from 0 to 1"),
    "seed": (0, 2**32 - 1, "from 0 to 4294967295"),
}
# Options that another one decides over: without one of these values of it they change nothing.
NEEDS: dict[str, tuple[str, tuple[str | None, ...]]] = {
    "milestones": ("schedule", ("multistep",)),
    "step_epochs": ("schedule", ("step",)),
    "gamma": ("schedule", ("step", "multistep", "plateau")),
    "patience": ("schedule", ("plateau",)),
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
    "unfreeze_at": ("strategy", ("gradual",)),
    "freeze_until": ("strategy", ("finetune", "gradual", "full", None)),
    "head_epochs": ("strategy", ("finetune", None)),
    "head_learning_rate": ("strategy", ("finetune", "gradual", None)),
    "layer_decay": ("strategy", ("finetune", "gradual", "full", None)),
}
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def check_names(options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises `UsageError` for a name that is no option."""
    for name in options:
        if name not in known:
            raise UsageError(f"A recipe has no option '{name}'.", _suggestion(name, known))


def check_lines(path: Path, text: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """As `check_names`, with the line of the file."""
    for name in options:
        if name not in known:
            pattern = re.compile(rf"^\s*\[*\s*[\"']?{re.escape(name)}\b")
            lines = [number for number, line in enumerate(text.splitlines(), start=1) if pattern.match(line)]
            where = f", line {lines[0]}" if lines else ""
            raise UsageError(f"{path}{where}: a recipe has no option '{name}'.", _suggestion(name, known))


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    return f"Did you mean {' or '.join(near)}?" if near else f"The options are: {', '.join(known)}."


def without_effect(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """The names of options that differ from their defaults and change nothing beside the others."""
    found = []
    for name, (other, values) in NEEDS.items():
        given = options.get(name, defaults[name]) != defaults[name]
        if given and options.get(other, defaults[other]) not in values:
            found.append(name)
    return found


def _refuse_without_effect(recipe: Recipe) -> None:
    for name in without_effect(dataclasses.asdict(recipe), recipe.defaults()):
        other, values = NEEDS[name]
        needed = " or ".join(str(value) for value in values if value)
        beside = getattr(recipe, other)
        raise UsageError(
            f"The option {name} has no effect "
            + (f"with {flag(other)} {beside}." if beside else f"without {flag(other)} {needed}."),
            f"Leave out {flag(name)}, or give {flag(other)} {needed}.",
        )


def validate(kind: type[Recipe], options: Mapping[str, Any]) -> Recipe:
    """Makes a recipe of options. Raises `UsageError` for an impossible value."""
    from pydantic import TypeAdapter, ValidationError

    listed = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in options.items()}
    try:
        recipe = TypeAdapter(kind).validate_python(listed)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise UsageError(f"A training needs a {name}.", "Write: zoo train BACKBONE DATASET") from None
        raise UsageError(
            f"The option {name} cannot be {first['input']!r}: {first['msg'].lower()}.",
            f"See `zoo train --help-all` for {flag(name)}.",
        ) from None
    for name, (low, high, words) in RANGES.items():
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"The option {name} cannot be {value}.", f"Give {flag(name)} a value {words}.")
    _check_texts(recipe)
    return recipe


def _check_texts(recipe: Recipe) -> None:
    for name in ("mean", "std"):
        channels(recipe, name)
    zoom_range(recipe)
    if crop_range(recipe) and (recipe.zoom is not None or recipe.translate is not None):
        raise UsageError(
            "A crop chooses the size and the place of what is seen itself.",
            "Leave out --crop, or --zoom and --translate.",
        )
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d{1,3})?", recipe.device):
        raise UsageError(
            f"The option device cannot be '{recipe.device}'.",
            "Give --device auto, cpu, cuda, cuda:1, mps, xpu or xpu:1.",
        )
    seconds(recipe.time_budget)
    for name in ("cache_budget", "disk_budget"):
        budget_bytes(recipe, name)
    epochs_of("unfreeze_at", recipe.unfreeze_at)
    epochs_of("milestones", recipe.milestones)
    if recipe.schedule == "multistep" and not recipe.milestones:
        raise UsageError("The schedule multistep needs its epochs.", "Give them, for example: --milestones 10,15")
    _refuse_without_effect(recipe)


def channels(recipe: Recipe, name: str) -> tuple[float, float, float] | None:
    """The option mean or std as red, green, blue."""
    text = getattr(recipe, name)
    if text is None:
        return None
    values = _numbers(name, text)
    if len(values) not in (1, 3) or (name == "std" and min(values) <= 0):
        raise UsageError(
            f"The option {name} cannot be '{text}'.", f"Give {flag(name)} one number, or three: 0.5,0.4,0.4"
        )
    red, green, blue = values * 3 if len(values) == 1 else values
    return red, green, blue


def zoom_range(recipe: Recipe) -> tuple[float, float] | None:
    """The option zoom as its smallest and largest factor."""
    return _range("zoom", recipe.zoom, math.inf, "0.9,1.1")


def crop_range(recipe: Recipe) -> tuple[float, float] | None:
    """The option crop as the smallest and largest share of the area."""
    return _range("crop", recipe.crop, 1, "0.35,1")


def _range(name: str, text: str | None, most: float, example: str) -> tuple[float, float] | None:
    if text is None:
        return None
    values = _numbers(name, text)
    if len(values) != 2 or not 0 < values[0] <= values[1] <= most:  # noqa: PLR2004
        within = "" if most == math.inf else f" of numbers up to {most:g}"
        raise UsageError(
            f"The option {name} cannot be '{text}'.", f"Give {flag(name)} a range{within}, for example: {example}"
        )
    return values[0], values[1]


def seconds(text: str | None) -> float | None:
    """A time such as 90s, 10m or 1.5h in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"The option time_budget cannot be '{text}'.", "Give --time-budget a time: 90s, 10m or 1.5h.")
    return float(match[1]) * SECONDS[match[2]]


def budget_bytes(recipe: Recipe, name: str) -> int:
    """The option cache_budget or disk_budget, a size such as 500MB or 4GiB, in bytes."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    text = getattr(recipe, name)
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except (ValidationError, OverflowError):
        size = None
    if size is None or size < 0:
        raise UsageError(f"The option {name} cannot be '{text}'.", f"Give {flag(name)} a size: 500MB, 4GiB or 0.")
    return int(size)


def epochs_of(name: str, text: str | None) -> tuple[int, ...]:
    """A rising list of epochs, each from 1."""
    if text is None:
        return ()
    values = _numbers(name, text)
    whole = tuple(int(value) for value in values)
    if whole != tuple(values) or whole[0] < 1 or list(whole) != sorted(set(whole)):
        raise UsageError(
            f"The option {name} cannot be '{text}'.", f"Give {flag(name)} rising epochs, for example: 3,5,7"
        )
    return whole


def class_weights(text: str | None, counts: Mapping[str, int]) -> list[float] | None:
    """The loss's weight for each class.

    Args:
        text: `balanced`, or pairs such as `cat=2,dog=0.5`; classes that are not named have the weight 1.
        counts: training pictures by class.
    """
    if text is None:
        return None
    absent = [name for name, count in counts.items() if not count]
    if text == "balanced":
        if absent:
            raise UsageError(
                f"The class '{absent[0]}' has no training picture that could balance it.",
                "Add pictures, or remove the class.",
            )
        total = sum(counts.values())
        return [total / (len(counts) * count) for count in counts.values()]
    weights = dict.fromkeys(counts, 1.0)
    for pair in text.split(","):
        name, _, value = (part.strip() for part in pair.rpartition("="))
        if name not in weights:
            raise UsageError(f"There is no class '{name or pair}' to weigh.", f"The classes are: {_some(counts)}.")
        if name in absent:
            raise UsageError(f"The class '{name}' has a weight, but no training picture.", "Leave out its weight.")
        weights[name] = _numbers("class_weights", value)[0]
        if weights[name] < 0:
            raise UsageError(f"The weight of '{name}' is below 0.", "Give it a weight from 0.")
    if not any(weights.values()):
        raise UsageError("All classes have the weight 0.", "Give at least one class a weight above 0.")
    return list(weights.values())


def _some(names: Collection[str], most: int = 20) -> str:
    shown = ", ".join(list(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _numbers(name: str, text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or any(value - value != 0 for value in values):  # infinite or undefined
        raise UsageError(f"The option {name} cannot be '{text}'.", f"See `zoo train --help-all` for {flag(name)}.")
    return values


def flag(name: str) -> str:
    """How the command line writes an option."""
    return "--" + name.replace("_", "-")
