"""Every picture of `uploads` through the decoder, one after the other in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import uploads
from .attack import PIXELS
from .process import Process
from .uploads import UPLOADS

PATIENCE = 120.0  # seconds, after which the process is killed


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("decoder"), "pictures", PIXELS)
    yield process
    process.end()


@pytest.mark.parametrize("upload", UPLOADS.values(), ids=UPLOADS)
def test_upload(decoder, tmp_path, upload):
    path = tmp_path / "upload"
    path.write_bytes(upload.build())
    decoder.ask(path)
    found = decoder.answer(PATIENCE)
    assert found, decoder.last_words()
    if isinstance(upload.comes, tuple):
        assert found["comes"] == [*upload.comes, 3, "uint8"]
    else:
        code, _, part = upload.comes.partition(": ")
        assert found["code"] == code, found["comes"]
        assert str(found["comes"]).startswith("refused: The picture ")
        assert part in found["comes"]
    assert found["mib"] <= upload.mib
    assert found["seconds"] <= upload.seconds
    assert found["disk"] <= upload.disk


def test_no_two_uploads_have_one_name():
    lists = (uploads.PNG, uploads.JPEG, uploads.TIFF, uploads.OTHERS, uploads.FOREIGN)
    assert len(UPLOADS) == sum(map(len, lists))
