"""Options that people write as text, and the values that the program works with: pairs, lists, times, sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import UsageError

RGB = tuple[float, float, float]
Pair = tuple[float, float]
SECONDS = {"h": 3600, "m": 60, "s": 1}
SIZES = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10, "KB": 10**3}


@dataclass(frozen=True, slots=True)
class Written:
    """How an option is written.

    Attributes:
        parse: takes the option's name and its text, returns the value. Raises `UsageError`.
        text: takes a value, returns a text that `parse` turns into it again.
    """

    parse: Callable[[str, str], Any]
    text: Callable[[Any], str]


def flag(name: str) -> str:
    """How the command line writes an option."""
    return "--plugin" if name == "plugins" else "--" + name.replace("_", "-")


def impossible(name: str, value: object, remedy: str) -> UsageError:
    """The error for a value that an option cannot have."""
    return UsageError(f"The option {name} cannot be {value!r}.", remedy, code="impossible-option")


def as_text(value: object) -> str:
    """A value as it would be written: lists with commas, mappings as pairs; text stays what it is."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_short(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ",".join(_short(part) for part in value)
    return str(value)


def _short(value: object) -> str:
    """A number without digits that say nothing."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def _numbers(name: str, text: str, remedy: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(map(math.isfinite, values)):
        raise impossible(name, text, remedy)
    return values


def _channels(name: str, text: str) -> RGB:
    """Red, green and blue of one number, or of three."""
    remedy = f"Give {flag(name)} one number, or three: 0.5,0.4,0.4"
    values = _numbers(name, text, remedy)
    if len(values) not in (1, 3) or (name == "std" and min(values) <= 0):
        raise impossible(name, text, remedy)
    red, green, blue = values * 3 if len(values) == 1 else values
    return red, green, blue


def _channels_text(value: RGB) -> str:
    return as_text(value[:1] if len(set(value)) == 1 else value)


def _range(most: float, example: str) -> Written:
    """Of a smallest and a largest number above 0, the second at most `most`."""

    def parse(name: str, text: str) -> Pair:
        within = "" if most == math.inf else f" of numbers up to {most:g}"
        remedy = f"Give {flag(name)} a range{within}, for example: {example}"
        values = _numbers(name, text, remedy)
        if len(values) != 2 or not 0 < values[0] <= values[1] <= most:  # noqa: PLR2004
            raise impossible(name, text, remedy)
        return values[0], values[1]

    return Written(parse, as_text)


def _pixel_range(name: str, text: str) -> Pair:
    """Two numbers, the smaller one first."""
    remedy = f"Give {flag(name)} the lowest and the highest value, for example: 0,4095"
    values = _numbers(name, text, remedy)
    if len(values) != 2 or not values[0] < values[1]:  # noqa: PLR2004
        raise impossible(name, text, remedy)
    return values[0], values[1]


def _epochs(name: str, text: str) -> tuple[int, ...]:
    """A rising list of epochs, each from 1."""
    remedy = f"Give {flag(name)} rising epochs, for example: 3,5,7"
    values = _numbers(name, text, remedy)
    whole = tuple(int(value) for value in values)
    if whole != tuple(values) or whole[0] < 1 or list(whole) != sorted(set(whole)):
        raise impossible(name, text, remedy)
    return whole


def _seconds(name: str, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or not float(match[1]):
        raise impossible(name, text, f"Give {flag(name)} a time: 90s, 10m or 1.5h.")
    return float(match[1]) * SECONDS[match[2] or "s"]


def _seconds_text(value: float) -> str:
    for unit, size in SECONDS.items():
        number = f"{value / size:.6g}"
        if value >= size and float(number) * size == value:
            return number + unit
    return f"{value!r}s"


def _bytes(name: str, text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except (ValidationError, OverflowError):
        size = None
    if size is None or size < 0:
        raise impossible(name, text, f"Give {flag(name)} a size: 500MB, 4GiB or 0.")
    return int(size)


def _bytes_text(value: int) -> str:
    unit = next((unit for unit, size in SIZES.items() if value and value % size == 0), "")
    return f"{value // SIZES.get(unit, 1)}{unit}"


def _class_weights(name: str, text: str) -> str | dict[str, float]:
    """`balanced`, or the weight of each named class."""
    if text == "balanced":
        return text
    remedy = f"Give {flag(name)} balanced, or a weight from 0 for each class: cat=2,dog=0.5"
    weights = {}
    for pair in text.split(","):
        label, sign, value = (part.strip() for part in pair.rpartition("="))
        if not sign:
            raise impossible(name, text, remedy)
        weights[label] = _numbers(name, value, remedy)[0]
        if weights[label] < 0:
            raise impossible(name, text, remedy)
    return weights


def _names(_: str, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


CHANNELS = Written(_channels, _channels_text)
ZOOM = _range(math.inf, "0.9,1.1")
CROP = _range(1, "0.35,1")
PIXEL_RANGE = Written(_pixel_range, as_text)
EPOCHS = Written(_epochs, as_text)
TIME = Written(_seconds, _seconds_text)
SIZE = Written(_bytes, _bytes_text)
CLASS_WEIGHTS = Written(_class_weights, as_text)
NAMES = Written(_names, as_text)

# The options that change a named policy, and the fields of `zoo.transforms.augment.Policy` that they set.
VARIATION = {
    **{"rotate": "degrees", "zoom": "scale"},
    **{name: name for name in ("translate", "crop", "shear", "flip", "jitter", "hue", "grey", "trivial", "erase")},
}
