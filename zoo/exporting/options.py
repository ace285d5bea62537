"""What an export may be asked for: all that can be said before any work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from zoo.errors import UsageError
from zoo.exporting.files import names_folder
from zoo.processes.children import check_time_limit
from zoo.recipes.values import flag
from zoo.registry import registry
from zoo.specs import CalibrationMethod, Depth, ExporterSpec, Input, Precision, WriteOptions

Rule = tuple[str, Callable[[Any], bool]]


def _one_of(names: object, *, optional: bool = False) -> Rule:
    known = get_args(names)
    return f"one of {', '.join(known)}", lambda value: value in known or (optional and value is None)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)


RULES: dict[str, Rule] = {
    "input": _one_of(Input),
    "precision": _one_of(Precision),
    "opset": ("a whole number", lambda value: value is None or _whole(value)),
    "external_data": ("True or False", lambda value: isinstance(value, bool)),
    "parity": _one_of(Depth),
    "calibration_pictures": ("a whole number from 1", lambda value: value is None or (_whole(value) and value > 0)),
    "calibration_method": _one_of(CalibrationMethod, optional=True),
    "accuracy_budget": (
        "a number of points from 0 to 100",
        lambda value: value is None or (_number(value) and 0 <= value <= 100),  # noqa: PLR2004
    ),
}


def checked(exporter: str, **asked: Any) -> tuple[ExporterSpec, WriteOptions]:
    """The format, and what it is to write.

    Args:
        asked: all options of `RULES`, as `zoo.exporting.pipeline.export` takes them.

    Raises:
        UsageError: the format is unknown or lacks what is asked for, or an option has no such value or no meaning.
    """
    if not isinstance(exporter, str):
        raise UsageError(f"{exporter!r} is no name of a format.", "Give one of `zoo list exporters`.")
    spec = registry().exporter(exporter).spec
    for name in RULES:
        check_option(name, asked[name])
    check_time_limit(asked["time_limit"])
    calibrates = asked["calibration_pictures"] is not None or asked["calibration_method"] is not None
    if asked["precision"] != "int8" and calibrates:
        raise UsageError("--calibration-pictures and --calibration-method belong to int8.", "Add --precision int8.")
    if asked["precision"] == "fp32" and asked["accuracy_budget"] is not None:
        raise UsageError("fp32 loses no accuracy, so that it has no --accuracy-budget.", "Leave it out.")
    options = WriteOptions(**{name: asked[name] for name in ("input", "precision", "opset", "external_data")})
    _check_format(spec, options)
    return spec, options


def _check_format(spec: ExporterSpec, options: WriteOptions) -> None:
    if options.input not in spec.inputs:
        raise UsageError(
            f"The format {spec.name} does not take {options.input} as input.",
            f"Leave out --input, or choose another: {', '.join(spec.inputs)}.",
        )
    if options.precision not in spec.precisions:
        raise UsageError(
            f"The format {spec.name} is not written in {options.precision}.",
            f"Its precisions are {', '.join(spec.precisions)}; see `zoo list exporters`.",
        )
    for name, given in (("opset", options.opset is not None), ("external_data", options.external_data)):
        if given and name not in spec.options:
            raise UsageError(f"The format {spec.name} has no {flag(name)}.", f"Leave out {flag(name)}.")
    spec.check(options)


def check_output(spec: ExporterSpec, output: Path | str) -> None:
    """Raises `UsageError` where it is no path, or the name of a file in another format."""
    path = check_path("output", output)
    name = path.name.lower()
    if names_folder(output) or not path.suffix or name.endswith(spec.suffix):
        return
    for entry in registry().exporters():
        suffix = entry.spec.suffix
        if name.endswith(suffix):
            raise UsageError(
                f"'{path}' names a file in the format {entry.name}, and {spec.name} is asked for.",
                f"Leave out the suffix: --output {path.with_name(path.name[: -len(suffix)])}",
            )


def check_option(name: str, value: Any) -> None:
    """Raises `UsageError` where it is no value of that option of `RULES`."""
    words, holds = RULES[name]
    if not holds(value):
        raise UsageError(f"The option {name} cannot be {value!r}.", f"It takes {words}.")


def check_path(name: str, value: Path | str) -> Path:
    """The value of an option. Raises `UsageError` where it is no path."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"The option {name} cannot be {value!r}.", "It takes a path.")
    return Path(value)
