"""What `zoo_exporters.windows` is as nodes of an ONNX graph, without torch: to know it again in an untrusted file.

A value is known by its digest: of the operator, the attributes that define it, and the digests of what it takes. So
equal digests are equal programs. Names and the order of nodes do not count, nor that of the terms of a sum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import shorter_side, shown
from zoo_exporters.onnx_nodes import FLOAT, INT64, Graph

IMAGE = "image"
BLOCK = 8  # pixels of the result in a product
_COMMUTATIVE = {"Add", "Mul", "Min", "Max"}
# Attributes that define what an operator computes, with their defaults, and those that change nothing here.
_TELLING: dict[str, dict[str, object]] = {
    "Transpose": {"perm": ()}, "Shape": {"start": 0, "end": -1}, "Cast": {"to": 0}, "Concat": {"axis": 0},
    "Gather": {"axis": 0}, "ReduceSum": {"keepdims": 1}, "Mod": {"fmod": 0},
}  # fmt: skip
_SILENT = {"allowzero", "noop_with_empty_axes"}  # no axes or zeros are given


def entrance_of(graph: Graph, spec: PreprocessSpec) -> str | None:
    """The name of the resized picture in a graph of `zoo_exporters.windows`, or None."""
    wanted = _Resize(spec).digest()
    known = {"": "", IMAGE: IMAGE}
    known |= {name: _constant(kind, dims, raw) for name, (kind, dims, raw) in graph.small.items()}
    for node in graph.nodes:
        told = _TELLING.get(node.op, {})
        plain = not node.domain and len(node.outputs) == 1 and node.attributes.keys() <= told.keys() | _SILENT
        if not plain or not all(value in known for value in node.inputs):
            continue
        found = [node.attributes.get(name, usual) for name, usual in told.items()]
        digest = _made(node.op, found, [known[value] for value in node.inputs])
        if digest == wanted:
            return node.outputs[0]
        known[node.outputs[0]] = digest
    return None


def _made(op: str, told: Iterable[object], taken: list[str]) -> str:
    taken = sorted(taken) if op in _COMMUTATIVE else taken
    return sha256(f"{op}{list(told)}{taken}".encode()).hexdigest()


def _constant(kind: int, dims: tuple[int, ...], raw: bytes) -> str:
    """One number is the same in every shape, because it is broadcast."""
    one = len(raw) == struct.calcsize("q" if kind == INT64 else "f")
    return f"{kind}{() if one else dims}{sha256(raw).hexdigest()}"


def _op(op: str, *taken: str | int | float, told: Iterable[object] = ()) -> str:
    """The digest of a node. Numbers are constants of one value."""
    return _made(op, told, [one if isinstance(one, str) else _numbers([one], ()) for one in taken])


def _numbers(values: list[int] | list[float] | list[int | float], dims: tuple[int, ...]) -> str:
    whole = all(isinstance(value, int) for value in values)
    raw = struct.pack(f"<{len(values)}{'q' if whole else 'f'}", *values)
    return _constant(INT64 if whole else FLOAT, dims, raw)


def _flat(value: str | int) -> str:
    return _op("Reshape", value, -1)


def _side(axis: int) -> str:
    return _op("Shape", IMAGE, told=(axis, axis + 1))


def _half_of_difference(length: str, part: str) -> str:
    return _op("Div", _op("Sub", length, part), 2)


@dataclass(frozen=True, slots=True)
class _Axis:
    """As in `zoo_exporters.windows`. `start` is None where nothing is cut."""

    start: str | None
    count: str
    flat: str  # `count` as a shape of one axis
    length: str
    shortest: str


class _Resize:
    """The digest of `WindowedPreprocess.resize`, step by step."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self.size, self.resized, self.resampled = spec.image_size, shorter_side(spec), spec.resampled
        self.shorter, self.squash = spec.resize == "shorter", spec.resize == "squash"
        self.cubic = spec.interpolation == "bicubic"
        self.fraction, self.more = shown(spec)
        self.padded = -(-self.size // BLOCK) * BLOCK
        self.places = [min(place, self.size - 1) for place in range(self.padded)]

    def digest(self) -> str:
        down, across = self._axes()
        if self.cubic:
            pixels = self._cut(_op("Transpose", IMAGE, told=((0, 3, 2, 1),)), down)
            columns = _op("Clip", self._shrunk(pixels, across, down.flat, moved=across.start), 0.0, 255.0)
            turned = _op("Transpose", columns, told=((0, 1, 3, 2),))
            return _op("Clip", self._shrunk(turned, down, None), 0.0, 255.0)
        pixels = self._cut(_op("Transpose", IMAGE, told=((0, 3, 1, 2),)), across)
        rows = _op("Transpose", self._shrunk(pixels, down, across.flat, moved=down.start), told=((0, 1, 3, 2),))
        return _op("Transpose", self._shrunk(rows, across, None), told=((0, 1, 3, 2),))

    def _axes(self) -> list[_Axis]:
        lengths = [_op("Squeeze", _side(axis)) for axis in (1, 2)]
        if self.squash:
            return [_Axis(None, one, _side(axis), one, one) for axis, one in enumerate(lengths, 1)]
        shortest = side = _op("Min", *lengths)
        if self.fraction.numerator != 1:
            side = _op("Mul", side, self.fraction.numerator)
        if self.fraction != Fraction(1):
            side = _op("Div", side, self.fraction.denominator)
        if not self.shorter:
            side = side if self.fraction == Fraction(1) else _op("Max", side, 1)
            starts = [_half_of_difference(one, side) for one in lengths]
            return [_Axis(start, side, _flat(side), side, side) for start in starts]
        most = _op("Add", side, self.more) if self.more else side
        axes = []
        for length in lengths:
            count = _op("Min", length, most)
            axes.append(_Axis(_half_of_difference(length, count), count, _flat(count), length, shortest))
        return axes

    def _cut(self, pixels: str, axis: _Axis) -> str:
        if axis.start is None:
            return pixels
        return _op("Slice", pixels, _flat(axis.start), _flat(_op("Add", axis.start, axis.count)), 3, 1)

    def _shrunk(self, pixels: str, axis: _Axis, other: str | None, *, moved: str | None = None) -> str:
        """`other`: the length of the other axis, None: S."""
        number, places, weights = self._windows(axis)
        taken = _flat(places if moved is None else _op("Add", places, moved))
        last: str | int = self.size if other is None else other
        batch = _op("Shape", IMAGE, told=(0, 1))
        blocks = self.padded // BLOCK
        seen = _op("Gather", pixels, taken, told=(2,))
        seen = _op("Reshape", seen, _op("Concat", batch, 3, blocks, _flat(number), last, told=(0,)))
        seen = seen if other is None else _op("Cast", seen, told=(FLOAT,))
        whole = _numbers([-1, 3, self.padded, self.size], (4,))
        shape = whole if other is None else _op("Concat", batch, 3, self.padded, last, told=(0,))
        made = _op("Reshape", _op("MatMul", weights, seen), shape)
        return made if self.padded == self.size else _op("Slice", made, 0, self.size, 2, 1)

    def _windows(self, axis: _Axis) -> tuple[str, str, str]:
        """How many pixels a window has, the places and the weights."""
        taps, size = 2 if self.cubic else 1, self.resized
        most = _op("Max", axis.shortest, size)
        reach = _op("Add", _op("Mul", BLOCK - 1, axis.shortest), _op("Mul", 2 * taps, most))
        number = _op("Add", _op("Div", _op("Mul", reach, size + 1), size * size), 2)
        window = _op("Cast", _op("Range", 0, number, 1), told=(FLOAT,))
        centres, scale = self._grid(axis)
        centres, stretch = _op("Reshape", centres, _numbers([-1, BLOCK], (2,))), _op("Clip", scale, 1.0)
        wide = _op("Mul", stretch, 2.0) if self.cubic else stretch
        seen = _op("Floor", _op("Add", _op("Sub", _op("Slice", centres, 0, 1, 1, 1), wide), 0.5))
        seen = _op("Add", seen, window)
        far = _op("Sub", _op("Unsqueeze", seen, 1), _op("Unsqueeze", centres, 2))
        x = _op("Mul", _op("Abs", _op("Add", far, 0.5)), _op("Reciprocal", stretch))
        last = _op("Cast", _op("Sub", _op("Add", 0, axis.count), 1), told=(FLOAT,))
        inside = _op("Clip", _op("Add", seen, 1.0), 0.0, 1.0)
        inside = _op("Mul", inside, _op("Clip", _op("Add", _op("Sub", last, seen), 1.0), 0.0, 1.0))
        made = _op("Mul", self._filter(x), _op("Unsqueeze", inside, 1))
        places = _op("Cast", _op("Min", _op("Clip", seen, 0.0), last), told=(INT64,))
        return number, places, _op("Div", made, _op("ReduceSum", made, 2, told=(1,)))

    def _grid(self, axis: _Axis) -> tuple[str, str]:
        length = _op("Add", 0, axis.length)
        if not self.resampled:
            scale = _op("Div", _op("Cast", length, told=(FLOAT,)), float(self.size))
            return _op("Mul", scale, _numbers([place + 0.5 for place in self.places], (self.padded,))), scale
        places = _op("Mul", _numbers(self.places, (self.padded,)), _op("Mul", length, 2))
        if not self.shorter:
            centres = _op("Div", _op("Cast", _op("Add", places, length), told=(FLOAT,)), float(2 * self.size))
            return centres, _op("Div", _op("Cast", length, told=(FLOAT,)), float(self.size))
        assert axis.start is not None
        target = _op("Div", _op("Mul", axis.length, self.resized), axis.shortest)
        left = _op("Sub", target, self.size)
        margin = _op("Div", _op("Add", left, _op("Mod", _op("Div", left, 2), 2, told=(0,))), 2)
        start = _op("Mul", _op("Add", _op("Mul", 2, margin), 1), axis.length)
        start = _op("Sub", start, _op("Mul", _op("Mul", 2, target), axis.start))
        targets = _op("Cast", _op("Add", 0, target), told=(FLOAT,))
        centres = _op("Cast", _op("Add", places, _op("Add", 0, start)), told=(FLOAT,))
        centres = _op("Div", centres, _op("Mul", targets, 2.0))
        return centres, _op("Div", _op("Cast", length, told=(FLOAT,)), targets)

    def _filter(self, x: str) -> str:
        if not self.cubic:
            return _op("Clip", _op("Sub", 1.0, x), 0.0)
        near, far = _op("Clip", x, 0.0, 1.0), _op("Clip", x, 1.0, 2.0)
        first = _op("Sub", _op("Mul", near, 1.5), 2.5)
        first = _op("Add", _op("Mul", _op("Mul", first, near), near), 1.0)
        second = _op("Sub", _op("Mul", _op("Add", _op("Mul", far, -0.5), 2.5), far), 4.0)
        return _op("Add", _op("Add", first, _op("Mul", second, far)), 2.0)
