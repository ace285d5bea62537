"""The range of values of pictures with more than 8 bits, by one rule for all pictures, and what was found in them.

The rule reads the tags of a file and never its pixels, so that the pictures of a dataset are read alike:

1. the caller's range (`--pixel-range`), where there is one;
2. SMinSampleValue and SMaxSampleValue, or MinSampleValue and MaxSampleValue, of a TIFF file. A largest value of whole
   numbers from 0 is rounded up to a number of bits: some programs write the largest value of each picture;
3. the type: 0..1 for floats, -32768..32767 for signed 16 bits, BitsPerSample of a TIFF file, else 0..65535.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from PIL import Image

Range = tuple[float, float]
Remark = Literal["fourth-band", "sixteen-bit-colour"]

UNIT: Range = (0.0, 1.0)
SIXTEEN_BITS: Range = (0.0, 65535.0)
SIGNED_SIXTEEN_BITS: Range = (-32768.0, 32767.0)
# All values within so small a part of the range leave 32 of the 256 levels.
NARROW = 1 / 8

_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _FORMAT = 258, 262, 277, 338, 339
_LIMITS = ((340, 341), (280, 281))  # SMin- and SMaxSampleValue, Min- and MaxSampleValue
_SIGNED = 2
_WHITE_IS_ZERO = 0
_ALPHA = (1, 2, 999)  # premultiplied, straight; 999 is Corel Draw's


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one picture.

    Attributes:
        low, high: the range by which it was read.
        least, most: what was found, without values that are not finite.
        finite: whether all values are.
    """

    low: float
    high: float
    least: float
    most: float
    finite: bool = True

    @property
    def fits(self) -> bool:
        """Whether no value lies outside the range."""
        return self.finite and self.low <= self.least and self.most <= self.high


Observe = Callable[[Values | Remark], None]


def _tag(image: Image.Image, number: int) -> float | None:
    """The number in a tag of a TIFF file, or the first of several. None where there is none."""
    try:
        value: Any = getattr(image, "tag_v2", {}).get(number)
        found = float(value[0] if isinstance(value, tuple) else value)
    except Exception:  # Pillow decodes a tag when it is asked for, and a damaged one raises anything
        return None
    return found if math.isfinite(found) else None


def range_of(image: Image.Image, given: Range | None = None) -> Range:
    """The range of values that becomes 0..255."""
    if given is not None:
        return given
    is_signed = _tag(image, _FORMAT) == _SIGNED
    bits = _tag(image, _BITS)
    for lowest, highest in _LIMITS:
        low, high = _tag(image, lowest) or 0.0, _tag(image, highest)
        if high is not None and low < high:
            exact = image.mode == "F" or is_signed or low < 0
            return low, high if exact else 2.0 ** int(high).bit_length() - 1
    if image.mode == "F":
        return UNIT
    if bits is not None and bits <= 16:  # noqa: PLR2004
        return SIGNED_SIXTEEN_BITS if is_signed else (0.0, 2.0**bits - 1)
    return SIXTEEN_BITS


def is_white_zero(image: Image.Image) -> bool:
    """Whether 0 is white. Pillow inverts pictures of 8 bits itself."""
    return _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO


def has_unknown_band(image: Image.Image) -> bool:
    """Whether Pillow takes the fourth band of a TIFF file for transparency, which its tags do not say."""
    return hasattr(image, "tag_v2") and image.mode == "RGBA" and _tag(image, _EXTRA) not in _ALPHA


def has_ignored_band(image: Image.Image) -> bool:
    """Whether a TIFF file of colours has a fourth band that is not used."""
    return has_unknown_band(image) or (image.mode == "RGB" and (_tag(image, _SAMPLES) or 0) > 3)  # noqa: PLR2004


def has_signed_bytes(image: Image.Image) -> bool:
    """Whether the 8 bits of a TIFF file are from -128 to 127. Pillow takes them for 0 to 255."""
    return image.mode == "L" and _tag(image, _FORMAT) == _SIGNED


def is_sixteen_bit_colour(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits a channel and Pillow decodes the upper 8. Asked before it decodes."""
    modes = [str(part) for tile in image.tile[:1] for part in _parts(tile[3])] if hasattr(image, "tile") else []
    return len(image.getbands()) > 1 and any(";16" in mode for mode in modes)


def _parts(arguments: object) -> tuple[object, ...]:
    return arguments if isinstance(arguments, tuple) else (arguments,)


@dataclass(slots=True)
class _Group:
    """All pictures that were read by one range."""

    low: float
    high: float
    count: int = 0
    outside: int = 0
    least: float = float("inf")
    most: float = float("-inf")
    first: str = ""
    example: str = ""  # one that does not fit

    def plus(self, other: _Group) -> _Group:
        return _Group(
            self.low,
            self.high,
            self.count + other.count,
            self.outside + other.outside,
            min(self.least, other.least),
            max(self.most, other.most),
            self.first,
            self.example or other.example,
        )


@dataclass(slots=True)
class _Remarks:
    count: int = 0
    first: str = ""


_REMARKS: dict[str, tuple[str, str]] = {
    "fourth-band": (
        "The fourth band of {count} is ignored, because ExtraSamples does not say that it is transparency",
        "Where it is, save the pictures with ExtraSamples 2.",
    ),
    "sixteen-bit-colour": (
        "--pixel-range does not apply to {count} with 16-bit colours, which are read by their upper 8 bits",
        "Scale them to 8 bits, or to the full range of 16 bits.",
    ),
}
_REMEDY = "Give the range of all of them with --pixel-range LOW,HIGH."
_LIKE_TRAINED = "The model was trained on pictures of that range: give pictures like those."


@dataclass(slots=True)
class ValueLog:
    """Counts what was found in pictures. Threads may share one."""

    groups: dict[Range, _Group] = field(default_factory=dict)
    remarks: dict[str, _Remarks] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def of(self, name: str) -> Observe:
        """Takes what is found in the picture of this name."""

        def observe(found: Values | Remark) -> None:
            with self._lock:
                if isinstance(found, Values):
                    self._add(name, found)
                else:
                    entry = self.remarks.setdefault(found, _Remarks(first=name))
                    entry.count += 1

        return observe

    def _add(self, name: str, found: Values) -> None:
        group = self.groups.setdefault((found.low, found.high), _Group(found.low, found.high, first=name))
        group.count += 1
        group.least, group.most = min(group.least, found.least), max(group.most, found.most)
        if not found.fits:
            group.outside += 1
            group.example = group.example or name

    def findings(self, given: Range | None = None, *, trained: bool = False) -> list[tuple[str, str]]:
        """A cause and a remedy for each range that does not fit, and for each kind of remark.

        Args:
            given: the range that the user gave, or that the model was trained with.
            trained: whether a trained model reads them. Otherwise these are the pictures of a training.
        """
        groups = sorted(self.groups.values(), key=lambda group: -group.count)
        causes = [cause for group in groups if (cause := _outside(group) or ("" if trained else _narrow(group)))]
        if not trained and len(groups) > 1:
            listed = ", ".join(f"{_span(g.low, g.high)} ({_count(g.count)}, such as '{g.first}')" for g in groups[:3])
            causes.append(f"The tags of these files differ, so they are read by different ranges: {listed}.")
        found = [(cause, _LIKE_TRAINED if trained else _REMEDY) for cause in causes]
        if given and not trained and not groups and "sixteen-bit-colour" not in self.remarks:
            found.append(("--pixel-range has no effect: no picture has more than 8 bits a channel.", "Leave it out."))
        for name, entry in self.remarks.items():
            cause, remedy = _REMARKS[name]
            found.append((f"{cause.format(count=_count(entry.count))}, such as '{entry.first}'.", remedy))
        return found

    def warnings(self, given: Range | None = None, *, trained: bool = False) -> list[str]:
        """`findings`, for people."""
        return [f"{cause} {remedy}" for cause, remedy in self.findings(given, trained=trained)]

    @classmethod
    def joined(cls, logs: Iterable[ValueLog]) -> ValueLog:
        """What was found in the pictures of all of them."""
        found = cls()
        for log in logs:
            for span, group in log.groups.items():
                found.groups[span] = found.groups[span].plus(group) if span in found.groups else group
            for name, entry in log.remarks.items():
                before = found.remarks.get(name, _Remarks(first=entry.first))
                found.remarks[name] = _Remarks(before.count + entry.count, before.first)
        return found

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "groups": [asdict(group) for group in self.groups.values()],
            "remarks": {name: asdict(entry) for name, entry in self.remarks.items()},
        }

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> ValueLog:
        """From `facts`. Raises KeyError or TypeError."""
        groups = [_Group(**values) for values in facts["groups"]]
        remarks = {str(name): _Remarks(**values) for name, values in facts["remarks"].items()}
        return cls({(group.low, group.high): group for group in groups}, remarks)


def _outside(group: _Group) -> str:
    if not group.outside:
        return ""
    return (
        f"{_count(group.outside)} of {group.count:,} with more than 8 bits "
        f"{'has' if group.outside == 1 else 'have'} values outside {_span(group.low, group.high)}, such as "
        f"'{group.example}': values from {group.least:g} to {group.most:g} were found."
    )


def _narrow(group: _Group) -> str:
    if group.most - group.least >= NARROW * (group.high - group.low):
        return ""
    levels = max(1, round(256 * (group.most - group.least) / (group.high - group.low)))
    return (
        f"The values of {_count(group.count)} with more than 8 bits run from {group.least:g} to {group.most:g}, and "
        f"are read by the range {_span(group.low, group.high)}: about {levels} of 256 levels are left."
    )


def _span(low: float, high: float) -> str:
    return f"{low:g}..{high:g}"


def _count(number: int) -> str:
    return "1 picture" if number == 1 else f"{number:,} pictures"
