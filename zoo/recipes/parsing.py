"""Which values the options of a recipe may have, alone and together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError, nearest
from zoo.recipes.place import as_files
from zoo.recipes.values import as_text, flag, impossible

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


def read_options(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """The options in a TOML file: `known` names, values not yet validated. Raises `UsageError`.

    Plugin files are relative to the folder of the TOML file.
    """
    import tomllib

    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")  # paths may be any bytes
        options = tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(
            f"The recipe {path} was not found.", "Each run holds one: RUN_FOLDER/recipe.toml.", code="recipe-missing"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"The recipe {path} cannot be read: {error}.", "Fix the file.", code="recipe-unreadable"
        ) from None
    check_lines(path, text, options, known)
    if isinstance(files := as_files(options.get("plugins")), tuple):
        options["plugins"] = [str(path.absolute().parent / Path(file).expanduser()) for file in files]
    return options


def check_names(options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises `UsageError` for an unknown option."""
    for name in options:
        if name not in known:
            raise UsageError(f"Unknown option '{name}'.", _suggestion(name, known), code="unknown-option")


def check_lines(path: Path, text: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """As `check_names`, with the line of the file."""
    for name in options:
        if name not in known:
            pattern = re.compile(rf"^\s*\[*\s*[\"']?{re.escape(name)}\b")
            lines = [number for number, line in enumerate(text.splitlines(), start=1) if pattern.match(line)]
            where = f", line {lines[0]}" if lines else ""
            raise UsageError(
                f"{path}{where}: unknown option '{name}'.", _suggestion(name, known), code="unknown-option"
            )


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
            code="option-without-effect",
        )


def validate(kind: type[Recipe], options: Mapping[str, Any]) -> Recipe:
    """Makes a recipe of options. Raises `UsageError` for an impossible value."""
    from pydantic import TypeAdapter, ValidationError

    written = kind.written()
    values = {
        name: written[name].parse(name, as_text(value)) if name in written and value is not None else value
        for name, value in options.items()
    }
    if "plugins" in values:
        values["plugins"] = () if values["plugins"] is None else as_files(values["plugins"])
    try:
        recipe = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise UsageError(
                f"A training needs a {name}.", "Write: zoo train BACKBONE DATASET", code="missing-option"
            ) from None
        raise UsageError(
            f"The option {name} cannot be {first['input']!r}: {first['msg'].lower()}.",
            f"See `zoo train --help-all` for {flag(name)}.",
            code="impossible-option",
        ) from None
    for name, (low, high, words) in RANGES.items():
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise impossible(name, value, f"Give {flag(name)} a value {words}.")
    _check_together(recipe)
    return recipe


def _check_together(recipe: Recipe) -> None:
    """Raises `UsageError` for options that contradict each other."""
    if recipe.crop and (recipe.zoom is not None or recipe.translate is not None):
        raise UsageError(
            "--crop sets the size and the place of what the network sees, as --zoom and --translate do.",
            "Leave out --crop, or --zoom and --translate.",
            code="options-together",
        )
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d{1,3})?", recipe.device):
        raise impossible("device", recipe.device, "Give --device auto, cpu, cuda, cuda:1, mps, xpu or xpu:1.")
    if recipe.schedule == "multistep" and not recipe.milestones:
        raise UsageError(
            "The schedule multistep needs epochs to step at.", "For example: --milestones 10,15", code="missing-option"
        )
    _refuse_without_effect(recipe)
