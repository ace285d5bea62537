"""Damaged and hostile artifacts, the same for the same number."""

from __future__ import annotations

import io
import json
import os
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.artifacts.card import NEWEST_VERSION, SCHEMA_VERSION
from zoo.specs import MAX_CARD_BYTES

NEWER = (NEWEST_VERSION + 1, 10**9, 2**70)
# Some of these hit nothing that counts; every other kind makes a file that must be refused.
HARMLESS = frozenset({"flipped", "flipped-end", "zeroed", "bent-card", "end", "claimed"})


@dataclass(frozen=True)
class Whole:
    """A sound artifact: its content without a card, and the card."""

    suffix: str
    content: bytes
    card: bytes

    def with_card(self, card: bytes) -> bytes:
        """The file with another card."""
        if self.suffix == ".onnx":
            return self.content + _field(14, _field(1, b"zoo.card") + _field(2, card))
        return _zipped(_unzipped(self.content) | {"archive/extra/card.json": card})


Damage = Callable[[random.Random, Whole], bytes]


def write(number: int, whole: Mapping[str, Whole], folder: Path) -> Path:
    """Case `number` as a file in a folder; its name says what it is."""
    rng = random.Random(number)
    name, damage, suffixes = KINDS[number % len(KINDS)]
    own = whole[suffixes[(number + number // len(KINDS)) % len(suffixes)]]
    path = folder / f"{number:03}-{name}{own.suffix}"
    if damage is None:
        _PLACES[name](path)
    else:
        path.write_bytes(damage(rng, own))
    return path


def kind(path: Path) -> str:
    """The kind of damage of a file that `write` made."""
    return path.stem.split("-", 1)[1]


def _truncated(rng: random.Random, own: Whole) -> bytes:
    data = own.with_card(own.card)
    return data[: rng.randrange(len(data))]


def _flipped(rng: random.Random, own: Whole) -> bytes:
    data = bytearray(own.with_card(own.card))
    for _ in range(rng.choice([1, 1, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _flipped_at_the_end(rng: random.Random, own: Whole) -> bytes:
    data = bytearray(own.with_card(own.card))
    data[-rng.randrange(1, 400)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _block(rng: random.Random, own: Whole, change: Callable[[bytes], bytes]) -> bytes:
    data = own.with_card(own.card)
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice([1, 16, 512, 4096]))
    return data[:start] + change(data[start:stop]) + data[stop:]


def _bent(rng: random.Random, own: Whole) -> bytes:
    """A card with one value of another kind."""
    card = json.loads(own.card)
    value = rng.choice([None, -1, 10**400, 1e308, "x" * 20_000, [], {}, [[]], {"a": {}}, True, "\x1b[2J", "\ud800"])
    place = rng.choice([card, card, card["preprocess"], card["dataset"]])
    place[rng.choice(sorted(place))] = value
    return own.with_card(json.dumps(card).encode())


def _odd_card(text: Callable[[random.Random, bytes], bytes]) -> Damage:
    return lambda rng, own: own.with_card(text(rng, own.card))


def _number(rng: random.Random, card: bytes) -> bytes:
    number = rng.choice([b"1e400", b"NaN", b"-Infinity", b"9" * 5000, b"1" + b"0" * 100_000])
    own = f'"schema_version":{SCHEMA_VERSION}'.encode()
    assert own in card
    return card.replace(own, b'"schema_version":' + number)


def _changed(card: bytes, **fields: object) -> bytes:
    return json.dumps(json.loads(card) | fields).encode()


def _entries(change: Callable[[dict[str, bytes]], None]) -> Damage:
    def damage(rng: random.Random, own: Whole) -> bytes:
        entries = _unzipped(own.with_card(own.card))
        change(entries)
        return _zipped(entries)

    return damage


def _named(name: str) -> Damage:
    return _entries(lambda entries: entries.update({name: b"root::0:0::/:/bin/sh"}))


def _bomb(rng: random.Random, own: Whole) -> bytes:
    out = io.BytesIO(own.with_card(own.card))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/9999", bytes(100 * 2**20))
    return out.getvalue()


def _overlap(rng: random.Random, own: Whole) -> bytes:
    """Ten thousand entries of the directory that lead to one and the same place."""
    data = own.with_card(own.card)
    start = struct.unpack_from("<I", data, len(data) - 6)[0]
    length = 46 + sum(struct.unpack_from("<HHH", data, start + 28))
    directory = data[start : start + length] * 10_000
    return data[:start] + directory + struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, 10_000, 10_000, len(directory), start, 0)


def _claimed(rng: random.Random, own: Whole) -> bytes:
    data = bytearray(own.with_card(own.card))
    start = struct.unpack_from("<I", data, len(data) - 6)[0]
    field = rng.choice([8, 10, 16, 20, 24, 28, 38, 42])
    data[start + field : start + field + 4] = b"\xff\xff\xff\x7f"
    return bytes(data)


def _link(rng: random.Random, own: Whole) -> bytes:
    out = io.BytesIO(own.with_card(own.card))
    with zipfile.ZipFile(out, "a") as archive:
        entry = zipfile.ZipInfo("archive/data/9999")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return out.getvalue()


def _field_of_end(rng: random.Random, own: Whole) -> bytes:
    data = bytearray(own.with_card(own.card))
    data[len(data) - 22 + rng.randrange(4, 22)] = rng.choice([0, 1, 255])
    return bytes(data)


def _lengths(rng: random.Random, own: Whole) -> bytes:
    huge = rng.choice([2**31 - 1, 2**31, 2**63, 2**64 - 1])
    return own.content + _encoded(rng.choice([7, 14, 1]) << 3 | 2) + _encoded(huge) + rng.randbytes(50)


def _deep(rng: random.Random, own: Whole) -> bytes:
    """A graph in a node of a graph, many times (GraphProto.node, NodeProto.attribute, AttributeProto.g)."""
    graph = b""
    for _ in range(2_000):
        graph = _field(1, _field(5, _field(6, graph)))
    return Whole(".onnx", own.content + _field(7, graph), own.card).with_card(own.card)


def _external(rng: random.Random, own: Whole) -> bytes:
    """An initializer whose data lie in a file elsewhere (TensorProto.external_data)."""
    place = rng.choice([b"../../../etc/passwd", b"/etc/passwd", b"/dev/zero", b"..\\secret"])
    where = _field(13, _field(1, b"location") + _field(2, place))
    tensor = b"\x08\x04\x10\x01" + _field(8, b"untrusted") + where + b"\x70\x01"
    return Whole(".onnx", own.content + _field(7, _field(5, tensor)), own.card).with_card(own.card)


def _unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(entries: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, value in entries.items():
            archive.writestr(zipfile.ZipInfo(name), value)
    return out.getvalue()


def _field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


_PLACES: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "loop": _loop,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "absent": lambda path: None,
}
_ALL, _ZIPS, _ONNX = (".onnx", ".pt", ".pt2"), (".pt", ".pt2"), (".onnx",)
KINDS: list[tuple[str, Damage | None, tuple[str, ...]]] = [
    ("truncated", _truncated, _ALL),
    ("flipped", _flipped, _ALL),
    ("flipped-end", _flipped_at_the_end, _ALL),
    ("zeroed", lambda rng, own: _block(rng, own, lambda block: bytes(len(block))), _ALL),
    ("doubled", lambda rng, own: _block(rng, own, lambda block: block * 2), _ALL),
    ("cut", lambda rng, own: _block(rng, own, lambda block: b""), _ALL),
    ("longer", lambda rng, own: own.with_card(own.card) + rng.randbytes(rng.randrange(1, 5000)), _ALL),
    ("noise", lambda rng, own: rng.randbytes(rng.randrange(1, 5000)), _ALL),
    ("empty", lambda rng, own: b"", _ALL),
    ("bare", lambda rng, own: own.content, _ALL),
    ("bent-card", _bent, _ALL),
    ("deep-card", _odd_card(lambda rng, card: b'{"recipe":' * 100_000 + b"0" + b"}" * 100_000), _ALL),
    ("deep-list", _odd_card(lambda rng, card: b"[" * 100_000), _ALL),
    ("number", _odd_card(_number), _ALL),
    ("future", _odd_card(lambda rng, card: _changed(card, schema_version=rng.choice(NEWER))), _ALL),
    ("classes", _odd_card(lambda rng, card: _changed(card, classes=[str(i) for i in range(10**6)])), _ALL),
    ("same-classes", _odd_card(lambda rng, card: _changed(card, classes=["a"] * 99_999)), _ALL),
    ("no-text", _odd_card(lambda rng, card: card.replace(b"e", rng.choice([b"\xff", b"\0", b"\xed\xa0\x80"]))), _ALL),
    ("huge-card", _odd_card(lambda rng, card: card + b" " * MAX_CARD_BYTES), _ALL),
    ("full-card", _odd_card(lambda rng, card: card[:-1] + b',"x":[' + b"[]," * 5_000_000 + b"0]}"), _ALL),
    (
        "no-object",
        _odd_card(lambda rng, card: rng.choice([b"null", b"[]", b"0", b'"a"', b"", b"{}", b"\xef\xbb\xbf{}"])),
        _ALL,
    ),
    *((name, None, _ALL) for name in _PLACES),
    ("bomb", _bomb, _ZIPS),
    ("overlap", _overlap, _ZIPS),
    ("claimed", _claimed, _ZIPS),
    ("link", _link, _ZIPS),
    ("end", _field_of_end, _ZIPS),
    ("climbing", _named("archive/../../../tmp/x"), _ZIPS),
    ("absolute", _named("/etc/x"), _ZIPS),
    ("roots", _named("other/data/0"), _ZIPS),
    ("native", _named("archive/data/aotinductor/model/x.so"), _ZIPS),
    ("prefix", lambda rng, own: rng.randbytes(100) + own.with_card(own.card), _ZIPS),
    ("many", _entries(lambda entries: entries.update({f"archive/data/{i}": b"" for i in range(20_001)})), _ZIPS),
    ("lengths", _lengths, _ONNX),
    ("deep-graph", _deep, _ONNX),
    ("external", _external, _ONNX),
]
