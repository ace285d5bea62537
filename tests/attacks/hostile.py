"""A thousand hostile uploads, generated from a seed: each a file, a name, and sometimes a length that is wrong.

Pictures that claim or hold too much come from `uploads`. The others are mutations of good pictures, files that are not
pictures, zip files, file names, and requests whose announced length is not that of their body.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from PIL import Image

from ..corpus.pictures import all_animations, all_modes, plain
from .uploads import UPLOADS
from .uploads_foreign import POSTSCRIPT, SVG

SEED = 21
COUNT = 1000
MARKUP = "<img src=x onerror=alert(1)>"
PAGE = f"<!doctype html><html><body>{MARKUP}<script>alert(1)</script></body></html>".encode()
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
) + b"]><svg>&j;</svg>"  # fmt: skip
TEXTS = {
    "html": PAGE,
    "svg": SVG,
    "svg-script": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>",
    "svg-laughs": LAUGHS,
    "eps": POSTSCRIPT,
    "pdf": b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>\nendobj\n",
    "php": b"<?php system($_GET['c']); ?>",
    "shell": b"#!/bin/sh\ncat /etc/passwd\n",
    "msl": b"<image><read filename='/etc/passwd'/><write filename='/tmp/x.png'/></image>",
    "mvg": b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(https://127.0.0.1/)'\npop graphic-context\n",
    "json": b'{"path": "/etc/passwd", "url": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}}',
    "address": b"http://127.0.0.1/metrics",
    "path": b"/etc/passwd",
    "data-url": b"data:image/png;base64,iVBORw0KGgo=",
    "pickle": b"\x80\4cos\nsystem\n(S'true'\ntR.",
    "elf": b"\x7fELF" + bytes(99),
    "gzip": b"\x1f\x8b\x08" + bytes(99),
    "tar": b"../../etc/passwd".ljust(100, b"\0") + b"0000644\0".ljust(157, b"\0") + b"ustar\00000".ljust(255, b"\0"),
    "zeros": bytes(999),
    "nothing": b"",
}
NAMES = (
    MARKUP, "${7*7}{{7*7}}", "\"><script>alert(1)</script>.png", "javascript:alert(1)", "a\0b.png", "\x1b[31mred.png",
    "\x07\x08\x7f.png", "a\tb.png", "../../etc/passwd", "..\\..\\secret.png", "/etc/passwd", "C:\\con.png", "CON",
    "nul.png", "%00.png", "%2e%2e%2fsecret.png", "file:///etc/passwd", "\u202egnp.exe", "\u200b\u2066.png",
    "\ufeff.png", "e\u0301.png", "\U0001f600.png", "a" * 2000, "." * 300, ".", "..", "", " ", "-rf", "|id", ";id;",
    "$(id)", "`id`", "'; DROP TABLE x; --", "=cmd|' /C calc'!A0", "@SUM(1)", "picture.png\0.html", "\ud7ff\uffff.png",
    "x.svg", "x.html",
)  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """An upload.

    Attributes:
        length: what to say instead of its length.
        good: whether it must be answered as a picture (True) or must not (False).
    """

    name: str
    build: Callable[[], bytes]
    filename: str = "x.png"
    length: str | None = None
    good: bool | None = None


@cache
def pictures() -> list[bytes]:
    """Good ones of each format and mode, with several frames too."""
    made = (*plain(0), *all_modes(), *all_animations())
    return [each.data for each in made]


def _mutated(number: int) -> bytes:
    rng = random.Random(SEED * 10_000 + number)
    data = bytearray(rng.choice(pictures()))
    for _ in range(rng.choice((1, 1, 1, 3))):
        start = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(64, len(data)))
        match rng.randrange(8):
            case 0:  # bits
                for _ in range(rng.randint(1, 20)):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 1:
                del data[max(1, start) :]
            case 2:  # a size
                data[start : start + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\0\1\0\0"))
            case 3:
                data[start:start] = rng.randbytes(rng.randint(1, 500))
            case 4:
                data[start:start] = data[start : start + rng.randint(1, 200)] * rng.randint(1, 50)
            case 5:
                del data[start : start + rng.randint(1, 50)]
            case 6:
                data[start:] = rng.choice(pictures())[start:] or b"\0"
            case 7:
                data += rng.choice((rng.choice(pictures()), PAGE, bytes(5000)))
    return bytes(data)


def _zip(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def _nested(depth: int) -> bytes:
    data = bytes(10**6)
    for level in range(depth):
        data = _zip((f"{level}.zip", data), (f"{level}.png", data))
    return data


def _claiming(size: int) -> bytes:
    """An entry whose directory and own header claim so many bytes."""
    data = _zip(("x.png", b"x" * 99))
    local, central = data.index(b"PK\3\4"), data.index(b"PK\1\2")
    said = struct.pack("<I", size)
    return data[: local + 22] + said + data[local + 26 : central + 24] + said + data[central + 28 :]


def _linked() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return file.getvalue()


def _zips() -> Iterator[tuple[str, Callable[[], bytes]]]:
    good = pictures()[1]
    for name in (
        "../../../etc/passwd",
        "/etc/passwd",
        "..\\..\\x.png",
        "C:\\x.png",
        "a/../../x.png",
        MARKUP,
        "\x1b[2J.png",
    ):
        yield f"climbs-{name!r:.20}", lambda name=name: _zip((name, good))
    for depth in (1, 2, 5):
        yield f"nested-{depth}", lambda depth=depth: _nested(depth)
    for size in (2**31, 2**32 - 2, 10**6):
        yield f"claims-{size}", lambda size=size: _claiming(size)
    yield "link", _linked
    yield "50-MB-of-zeros", lambda: _zip(("x.png", bytes(50 * 10**6)))
    yield "20,000-entries", lambda: _zip(*((f"{number}.png", b"") for number in range(20_000)))
    yield "99-in-a-row", lambda: _zip(("x.png", good)) * 99
    yield "cut", lambda: _zip(("x.png", good))[:-30]
    yield "directory-only", _zip
    yield "many-dots", lambda: _zip(("../" * 5000 + "x.png", good))
    yield "behind-a-page", lambda: PAGE + _zip(("x.png", good))


def _lengths() -> Iterator[Hostile]:
    picture = pictures()[1]
    size = len(picture)
    for said in (0, 1, size // 2, size - 1, size + 1, 2 * size, 10**9, 10**15, 2**63, 2**64, 10**30):
        yield Hostile(f"length-{said}", lambda: picture, length=str(said))
    for text in ("-1", "+9", "9 9", "0x9", "1e3", "9,9", "", "x", "1_0", "٣", "9.0", "NaN", "9\t\t"):
        yield Hostile(f"length-{text!r}", lambda: picture, length=text)


@cache
def uploads() -> list[Hostile]:
    """The thousand of them."""
    rng = random.Random(SEED)
    found = [Hostile(f"known-{name}", each.build) for name, each in UPLOADS.items()]
    suffixes = (".png", ".jpg", ".svg", "")
    for name, data in TEXTS.items():
        for suffix in suffixes:
            padded = data + rng.randbytes(rng.choice((0, 1, 1000)))
            found.append(Hostile(f"text-{name}{suffix}", lambda data=padded: data, f"x{suffix}", good=False))
    found += [Hostile(f"zip-{name}", build, "x.zip", good=False) for name, build in _zips()]
    picture = pictures()[1]
    found += [Hostile(f"name-{name!r:.30}-{n}", lambda: picture, name, good=True) for n, name in enumerate(NAMES)]
    found += _lengths()
    found.append(Hostile("wide", lambda: _saved((50_000, 1)), good=True))
    found.append(Hostile("high", lambda: _saved((1, 50_000)), good=True))
    left = COUNT - len(found)
    return [*found, *(Hostile(f"mutated-{n}", lambda n=n: _mutated(n), rng.choice(NAMES)) for n in range(left))]


def _saved(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("L", size).save(file, "PNG")
    return file.getvalue()
