"""Checks the options of an export before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from zoo.artifacts.examples import MAX_EXAMPLES
from zoo.errors import ExportError, PluginError, UsageError
from zoo.exporting.files import names_folder
from zoo.parity.refusal import RefusedError
from zoo.processes.children import check_time_limit
from zoo.recipes.values import flag
from zoo.registry import registry
from zoo.registry.formats import guarded, remedy
from zoo.registry.loading import a_thing
from zoo.specs import CalibrationMethod, Depth, ExporterSpec, Input, Precision, WriteOptions, Written

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
    "heatmap": ("True or False", lambda value: isinstance(value, bool)),
    "parity": _one_of(Depth),
    "calibration_pictures": ("a whole number from 1", lambda value: value is None or (_whole(value) and value > 0)),
    "calibration_method": _one_of(CalibrationMethod, optional=True),
    "accuracy_budget": (
        "a number of points from 0 to 100",
        lambda value: value is None or (_number(value) and 0 <= value <= 100),  # noqa: PLR2004
    ),
    "examples": (
        f"a whole number of pictures from 0 to {MAX_EXAMPLES}",
        lambda value: _whole(value) and 0 <= value <= MAX_EXAMPLES,
    ),
}

_WRITTEN = ("input", "precision", "opset", "external_data", "heatmap", "parity")


def named(exporter: Any, output: Path | str | None) -> tuple[Any, Path | str | None]:
    """The name of the format, and the file to write.

    Args:
        exporter: a name, or a file whose suffix names the format.
        output: None if `exporter` is a file.

    Raises:
        UsageError: the suffix of the file belongs to no format, or there are two files.
    """
    if not isinstance(exporter, os.PathLike) and not _is_file_name(exporter):
        return exporter, output
    name = registry().exporter_for(exporter).name
    if output is not None:
        cause = f"There are two files to write: {os.fspath(exporter)!r} and {os.fspath(output)!r}."
        raise UsageError(cause, "Leave out one of them.", code="two-outputs")
    return name, exporter


def _is_file_name(exporter: Any) -> bool:
    if not isinstance(exporter, str) or not any(mark in exporter for mark in {".", "/", os.sep}):
        return False
    return exporter not in {entry.name for entry in registry().exporters()}


def checked(exporter: Any, **asked: Any) -> tuple[ExporterSpec, WriteOptions]:
    """The format and its options.

    Args:
        asked: all options of `RULES`, as `zoo.exporting.pipeline.export` takes them.

    Raises:
        UsageError: the format is unknown or does not support an option, or an option has a wrong value or no effect.
    """
    if not isinstance(exporter, str):
        cause = f"{exporter!r} is not the name of a format."
        raise UsageError(cause, "Choose one from `zoo list exporters`.", code="impossible-option")
    spec = guarded(registry().exporter(exporter), ExportError)
    for name in RULES:
        check_option(name, asked[name])
    check_time_limit(asked["time_limit"])
    calibrates = asked["calibration_pictures"] is not None or asked["calibration_method"] is not None
    if asked["precision"] != "int8" and calibrates:
        cause = "--calibration-pictures and --calibration-method apply only to int8."
        raise UsageError(cause, "Add --precision int8, or remove them.", code="int8-only")
    if asked["precision"] == "fp32" and asked["accuracy_budget"] is not None:
        cause = "--accuracy-budget does not apply to fp32, which loses no accuracy."
        raise UsageError(cause, "Remove it, or choose another --precision.", code="fp32-budget")
    options = WriteOptions(**{name: asked[name] for name in _WRITTEN})
    _check_format(spec, options)
    return spec, options


def _check_format(spec: ExporterSpec, options: WriteOptions) -> None:
    if options.input not in spec.inputs:
        raise UsageError(
            f"Format {spec.name} does not support --input {options.input}.",
            f"Choose another --input: {', '.join(spec.inputs)}.",
            code="input-unsupported",
        )
    if options.precision not in spec.precisions:
        raise UsageError(
            f"Format {spec.name} does not support --precision {options.precision}.",
            f"Choose another --precision: {', '.join(spec.precisions)}. See also `zoo list exporters`.",
            code="precision-unsupported",
        )
    given = {"opset": options.opset is not None, "external_data": options.external_data, "heatmap": options.heatmap}
    for name, wanted in given.items():
        if wanted and name not in spec.options:
            cause = f"Format {spec.name} does not support {flag(name)}."
            raise UsageError(cause, f"Remove {flag(name)}.", code="option-unsupported")
    spec.check(options)


def as_written(spec: ExporterSpec, result: Any, path: Path) -> Written:
    """What the `write` of a format returned. Raises `PluginError` if it is something else, or wrote no file."""
    if not isinstance(result, Written):
        raise PluginError(
            f"The function 'write' of the format {spec.name} returned {a_thing(result)}.",
            "It must return a zoo.specs.Written, for example: return Written()",
            code="factory-result",
        )
    if not path.exists():
        raise PluginError(
            f"The function 'write' of the format {spec.name} wrote no file at the path that it got.",
            "It must write exactly that path.",
            code="factory-result",
        )
    return result


@contextmanager
def naming_plugin(exporter: str) -> Iterator[None]:
    """Lets the error of a file that diverges name the plugin of its format. Built-in formats keep their remedy."""
    entry = registry().exporter(exporter)
    try:
        yield
    except RefusedError as error:
        if error.blames_format and not entry.builtin:
            error.remedy = remedy(entry)
        raise


def check_output(spec: ExporterSpec, output: Path | str) -> None:
    """Raises `UsageError` if it is not a path, or names a file of another format."""
    path = check_path("output", output)
    name = path.name.lower()
    if names_folder(output) or not path.suffix or name.endswith(spec.suffix):
        return
    for entry in registry().exporters():
        suffix = entry.spec.suffix
        if name.endswith(suffix):
            raise UsageError(
                f"'{path}' is the name of a file in format {entry.name}, but the format is {spec.name}.",
                f"Leave out the suffix: --output {path.with_name(path.name[: -len(suffix)])}",
                code="suffix-of-another-format",
            )


def check_option(name: str, value: Any) -> None:
    """Raises `UsageError` if the value is not allowed for that option of `RULES`."""
    words, holds = RULES[name]
    if not holds(value):
        raise UsageError(f"The option {name} cannot be {value!r}.", f"It takes {words}.", code="impossible-option")


def check_path(name: str, value: Path | str) -> Path:
    """The value of an option. Raises `UsageError` if it is not a path."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"The option {name} cannot be {value!r}.", "It takes a path.", code="impossible-option")
    return Path(value)
