"""Checks that the results of a plugin fit `zoo.specs`. Faults are sentences."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_type_hints

from zoo.specs import BackboneSpec, DatasetSpec, Provider, Spec, WeightsSpec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
PROVIDED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@/-]*")
PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/")

# They stand in the signatures of functions, which are not checked, and importing them would import torch.
_UNRESOLVED = {"nn": SimpleNamespace(Module=Any), "np": SimpleNamespace(ndarray=Any), "Tensor": Any, "Dataset": Any}


def is_name(value: object, legal: re.Pattern[str] = NAME) -> bool:
    """Whether a value is text that matches `legal`."""
    return isinstance(value, str) and legal.fullmatch(value) is not None


def name_fault(spec: Spec, legal: re.Pattern[str] = NAME) -> str | None:
    """The fault of a spec's name, or None."""
    if is_name(spec.name, legal):
        return None
    kind = type(spec).__name__
    return f"Its {kind} has the name {spec.name!r}. A name has only letters, digits, '.', '_', '+' and '-'."


def spec_fault(spec: Spec, legal: re.Pattern[str] = NAME) -> str | None:
    """The first fault of a spec, or None. It imports pydantic, for which `zoo --help` has no time."""
    return name_fault(spec, legal) or _fault(f"Its {type(spec).__name__} '{spec.name}'", spec)


def provider_fault(provider: Provider[BackboneSpec] | Provider[DatasetSpec]) -> str | None:
    """The first fault of a provider, or None."""
    if not is_name(provider.prefix, PREFIX):
        return f"Its Provider has the prefix {provider.prefix!r}. A prefix is a name that ends in a slash."
    if not all(map(callable, (provider.names, provider.get))):
        return f"Its Provider '{provider.prefix}' has a 'names' or 'get' that is not callable."
    return None


def _fault(owner: str, spec: Spec | WeightsSpec) -> str | None:
    from pydantic import ValidationError

    # A plugin's own class may have more fields, of types that pydantic does not know.
    kind: Any = next(each for each in (*get_args(Spec), WeightsSpec) if isinstance(spec, each))
    values = {field.name: getattr(spec, field.name) for field in fields(kind)}
    try:
        _model_of(kind).model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else part for part in first["loc"])
        expected = re.sub(r"^\w+ should", "It should", first["msg"])
        return f"{owner} has {place}={first['input']!r}. {expected}."
    weights = values.get("weights")
    return _fault(f"{owner} has a WeightsSpec '{weights.name}' that", weights) if weights else None


@cache
def _model_of(kind: Any) -> Any:
    """A pydantic model with the fields of a spec, and the limits of their values."""
    from pydantic import ConfigDict, Field, InstanceOf, create_model

    positive = Annotated[float, Field(gt=0)]
    limits = {
        "head": Field(min_length=1),
        "min_image_size": Field(ge=1),
        "image_size": Field(ge=1),
        "crop_fraction": Field(gt=0, le=1),
        "native_size": Field(ge=1),
        "num_classes": Field(ge=2),
        "suffix": Field(pattern=r"^(\.[a-z0-9]+)+$"),
        "inputs": Field(min_length=1),
        "precisions": Field(min_length=1),
        "tolerance": Field(gt=0),
    }
    types = get_type_hints(kind, localns=_UNRESOLVED)
    # pydantic would look into the fields of a dataclass.
    types |= {"weights": InstanceOf[WeightsSpec] | None} if kind is BackboneSpec else {}
    types |= {"std": tuple[positive, positive, positive]} if kind is WeightsSpec else {}
    model_fields: dict[str, Any] = {name: (each, limits.get(name, ...)) for name, each in types.items()}
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **model_fields)
