"""Zips from visitors: what is a picture in them, and hostile ones."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from zoo.errors import DataError
from zoo_demo import zips
from zoo_demo.zips import PictureZip

from ..refusals import refused

DATA = b"\xff\xd8\xff some bytes of a picture"


def zip_of(*members, method=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip; each member is a name, or a name or `ZipInfo` with its bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for member in members:
            archive.writestr(*((member, DATA) if isinstance(member, str) else member))
    return file.getvalue()


def opened(data: bytes) -> PictureZip:
    return PictureZip(io.BytesIO(data))


def codes(data: bytes) -> dict[str, str | None]:
    """Of each picture in a zip, why it is not read."""
    archive = opened(data)
    return {member.name: member.refused and member.refused.code for member in archive.members}


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """A zip with other bytes at a place behind the first such header."""
    start = data.index(signature) + offset
    return data[:start] + value + data[start + len(value) :]


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def test_pictures_are_found_as_in_a_folder_and_read():
    hidden = ("__MACOSX/._a.jpg", ".hidden.jpg", "a/.git/b.jpg", "Thumbs.db", "notes.txt")
    named = ("b/2.jpg", "b/10.jpg", "a.png", "b.png/c.png", "noname")
    archive = opened(zip_of("folder/", *[(name, b"text") for name in hidden], *named))
    # Sorted as paths: `b/10` comes before `b.png/c` although "." comes before "/".
    assert [member.name for member in archive.members] == ["a.png", "b/10.jpg", "b/2.jpg", "b.png/c.png", "noname"]
    assert archive.skipped == len(hidden)
    assert not archive._zip.infolist()  # it may be long
    assert {archive.read(member) for member in archive.members} == {DATA}


def test_a_name_is_text():
    windows = zipfile.ZipInfo("x")
    windows.filename = "cats\\1.jpg"
    plain = zip_of(("caf\u00e9/1.jpg", DATA))
    unmarked = patched(patched(plain, CENTRAL, 8, b"\0\0"), LOCAL, 6, b"\0\0")
    assert list(codes(zip_of((windows, DATA)))) == ["cats/1.jpg"]
    assert list(codes(plain)) == list(codes(unmarked)) == ["caf\u00e9/1.jpg"]


LINK = zipfile.ZipInfo("link.jpg")
LINK.external_attr = 0o120777 << 16


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ("../climb.jpg", "zip-path"),
        ("a/../../climb.jpg", "zip-path"),
        ("/etc/absolute.jpg", "zip-path"),
        ("C:\\windows\\absolute.jpg", "zip-path"),
        ((LINK, b"/etc/passwd"), "zip-link"),
        ("inner.zip", "zip-nested"),
        ("camera.cr2", "zip-foreign"),
        (("blank.bmp", bytes(3_000_000)), "zip-ratio"),
        (("small.bmp", bytes(900_000)), None),
    ],
)
def test_a_member_that_is_not_read_says_why(member, code):
    archive = opened(zip_of(member, "good.jpg"))
    (found,) = (each for each in archive.members if each.name != "good.jpg")
    assert (found.refused and found.refused.code) == code
    if code:
        with refused(code, kind=DataError):
            archive.read(found)
    assert archive.read(next(each for each in archive.members if each.name == "good.jpg")) == DATA


def test_encrypted_and_strange_members_are_not_read():
    one = zip_of("a.jpg")
    assert codes(patched(one, CENTRAL, 8, b"\x01\0")) == {"a.jpg": "zip-encrypted"}
    assert codes(zip_of("a.jpg", method=zipfile.ZIP_BZIP2)) == {"a.jpg": "zip-method"}
    assert codes(zip_of("a.jpg", method=zipfile.ZIP_LZMA)) == {"a.jpg": "zip-method"}
    assert codes(patched(one, CENTRAL, 10, b"\x63\0")) == {"a.jpg": "zip-method"}


def test_a_member_that_claims_a_huge_size_is_not_read(monkeypatch):
    huge = patched(zip_of("a.jpg"), CENTRAL, 24, struct.pack("<I", 3_000_000_000))
    assert codes(huge) == {"a.jpg": "zip-member-too-large"}
    monkeypatch.setattr(zips, "MAX_UPLOAD_BYTES", len(DATA) - 1)
    assert codes(zip_of("a.jpg")) == {"a.jpg": "zip-member-too-large"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: patched(data, CENTRAL, 24, struct.pack("<I", len(DATA) + 9)),  # it claims more than there is
        lambda data: patched(data, CENTRAL, 24, struct.pack("<I", len(DATA) - 9)),  # it claims less
        lambda data: patched(data, CENTRAL, 16, b"\0\0\0\0"),  # another checksum
        lambda data: patched(data, LOCAL, 0, b"XXXX"),
        lambda data: patched(data, LOCAL, 30 + len("a.jpg") + 2, b"\xff\xff\xff\xff"),
    ],
    ids=["longer", "shorter", "checksum", "header", "stream"],
)
def test_a_damaged_member_is_told(damage):
    archive = opened(damage(zip_of("a.jpg")))
    with refused("damaged-zip-member", kind=DataError):
        archive.read(archive.members[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"<b>no zip</b>", zip_of("a.jpg")[:-30], zip_of("a.jpg")[40:], END + bytes(17), b"\xff\xd8\xff" * 99],
    ids=["empty", "text", "cut", "beheaded", "short end", "picture"],
)
def test_what_is_no_zip_is_told(data):
    with pytest.raises(DataError) as caught:
        opened(data)
    assert caught.value.code in {"damaged-zip", "zip-overlap"}


def test_members_that_share_bytes_are_refused():
    data = zip_of("a.jpg", "b.jpg")
    second = data.rindex(CENTRAL)
    with refused("zip-overlap", "overlap", kind=DataError):
        opened(data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :])


def test_a_list_of_members_that_is_too_long_is_not_even_read():
    count = 30_000
    entry = CENTRAL + bytes(26 - 4) + bytes(20)
    listed = entry * count
    end = END + struct.pack("<4H2IH", 0, 0, 2**16 - 1, 2**16 - 1, len(listed), 0, 0)
    with refused("too-many-pictures", "1,000", kind=DataError):
        opened(listed + end)


def test_there_are_limits_of_pictures_and_of_their_bytes_together(monkeypatch):
    monkeypatch.setattr(zips, "MAX_BATCH_PICTURES", 2)
    assert len(opened(zip_of("a.jpg", "b.jpg", ("c.txt", b"text"))).members) == 2
    with refused("too-many-pictures", kind=DataError):
        opened(zip_of("a.jpg", "b.jpg", "c.jpg"))
    monkeypatch.setattr(zips, "MAX_UNPACKED_BYTES", 2 * len(DATA) - 1)
    with refused("zip-too-large", kind=DataError):
        opened(zip_of("a.jpg", "b.jpg"))


def test_a_zip_is_closed():
    file = io.BytesIO(zip_of("a.jpg"))
    PictureZip(file).close()
    assert file.closed
    damaged = io.BytesIO(b"no zip")
    with pytest.raises(DataError):
        PictureZip(damaged)
    assert damaged.closed


def test_a_thousand_damaged_zips_are_told_or_read():
    random = np.random.default_rng(0)
    whole = zip_of("a.jpg", "b/c.jpg", "notes.txt", ("d.jpg", bytes(5000)))
    read = 0
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(random.integers(1, 6)):
            data[random.integers(len(data))] = random.integers(256)
        if random.random() < 0.2:
            del data[random.integers(len(data)) :]
        try:
            archive = opened(bytes(data))
        except DataError:
            continue
        for member in archive.members:
            with suppress(DataError):
                read += len(archive.read(member)) > 0
    assert read > 100
