"""Checks that the results of a plugin fit `zoo.specs`. Faults are sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import get_args

from zoo.specs import (
    Augmentation,
    BackboneSpec,
    DatasetSpec,
    ExporterSpec,
    Input,
    Interpolation,
    LoggerSpec,
    Precision,
    Provider,
    ResizeMode,
    Spec,
    WeightsSpec,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
PROVIDED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@/-]*")
PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/")
SUFFIX = re.compile(r"(\.[a-z0-9]+)+")

Test = Callable[[object], bool]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_int(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_triple(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(map(_is_number, value))  # noqa: PLR2004


def _some_of(names: object) -> tuple[str, Test]:
    known = get_args(names)
    return (
        f"a tuple of some of {', '.join(known)}",
        lambda value: isinstance(value, tuple) and len(value) > 0 and all(each in known for each in value),
    )


# Keyed by annotation: resolving the annotations of zoo.specs would import torch.
RULES: Mapping[str, tuple[str, Test]] = {
    "str": ("text", _is_text),
    "int": ("a whole number", _is_int),
    "float": ("a number", _is_number),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int | None": ("a whole number or None", lambda value: value is None or _is_int(value)),
    "Triple": ("a tuple of three numbers", _is_triple),
    "tuple[str, ...]": (
        "a tuple of text",
        lambda value: isinstance(value, tuple) and all(map(_is_text, value)),
    ),
    "tuple[Input, ...]": _some_of(Input),
    "tuple[Precision, ...]": _some_of(Precision),
    "WeightsSpec | None": ("a WeightsSpec or None", lambda value: isinstance(value, WeightsSpec | None)),
    "Literal['rgb', 'grey']": ("'rgb' or 'grey'", lambda value: value in ("rgb", "grey")),
    "Augmentation": (f"one of {', '.join(get_args(Augmentation))}", lambda value: value in get_args(Augmentation)),
    "ResizeMode": (f"one of {', '.join(get_args(ResizeMode))}", lambda value: value in get_args(ResizeMode)),
    "Interpolation": (
        f"one of {', '.join(get_args(Interpolation))}",
        lambda value: value in get_args(Interpolation),
    ),
    "Callable": ("callable", callable),
}


def check_for(annotation: str) -> tuple[str, Test]:
    """The check for the annotation of a field, as written in `zoo.specs`."""
    return RULES["Callable" if annotation.startswith("Callable[") else annotation.replace('"', "'")]


def is_name(value: object, legal: re.Pattern[str] = NAME) -> bool:
    """Whether a value is text that matches `legal`."""
    return isinstance(value, str) and legal.fullmatch(value) is not None


def spec_fault(spec: Spec, legal: re.Pattern[str] = NAME) -> str | None:
    """The first fault of a spec, or None."""
    kind = type(spec).__name__
    if not is_name(spec.name, legal):
        return f"Its {kind} has the name {spec.name!r}. A name has only letters, digits, '.', '_', '+' and '-'."
    return _fault(f"Its {kind} '{spec.name}'", spec)


def provider_fault(provider: Provider[BackboneSpec] | Provider[DatasetSpec]) -> str | None:
    """The first fault of a provider, or None."""
    if not is_name(provider.prefix, PREFIX):
        return f"Its Provider has the prefix {provider.prefix!r}. A prefix is a name that ends in a slash."
    if not all(map(callable, (provider.names, provider.get))):
        return f"Its Provider '{provider.prefix}' has a 'names' or 'get' that is not callable."
    return None


def _fault(owner: str, spec: Spec | WeightsSpec) -> str | None:
    for field in fields(spec):
        expected, check = check_for(str(field.type))
        value = getattr(spec, field.name)
        if not check(value):
            return f"{owner} has {field.name}={value!r}, which is not {expected}."
        if isinstance(value, WeightsSpec) and (
            fault := _fault(f"{owner} has a WeightsSpec '{value.name}' that", value)
        ):
            return fault
    return _value_fault(owner, spec)


def _value_fault(owner: str, spec: Spec | WeightsSpec) -> str | None:
    match spec:
        case BackboneSpec():
            rules = {
                "head": (bool(spec.head), "empty"),
                "min_image_size": (spec.min_image_size >= 1, "below 1"),
            }
        case WeightsSpec():
            rules = {
                "image_size": (spec.image_size >= 1, "below 1"),
                "std": (min(spec.std) > 0, "not positive"),
                "crop_fraction": (0 < spec.crop_fraction <= 1, "not above 0 and at most 1"),
            }
        case DatasetSpec():
            rules = {
                "native_size": (spec.native_size is None or spec.native_size >= 1, "below 1"),
                "num_classes": (spec.num_classes is None or spec.num_classes > 1, "below 2"),
            }
        case ExporterSpec():
            rules = {
                "suffix": (
                    SUFFIX.fullmatch(spec.suffix) is not None,
                    "not a dot and lower-case letters or digits",
                ),
                "tolerance": (spec.tolerance > 0, "not positive"),
            }
        case LoggerSpec():
            rules = {}
    for name, (holds, what) in rules.items():
        if not holds:
            return f"{owner} has {name}={getattr(spec, name)!r}, which is {what}."
    return None
