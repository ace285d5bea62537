"""The zips of `hostile`, as batches of a running `zoo demo`: an answer each, and nothing unpacked to the disk."""

from __future__ import annotations

import json
from functools import partial

import pytest

from ..demo.test_demo import onnx_artifact
from ..serve.service import png
from .hostile import uploads
from .site import answer, demo, upload

PEAK_MIB = 1200
ZIPS = {each.name: each for each in uploads() if each.filename.endswith(".zip") and each.length is None}
TOLD = ("role='alert'", "Pictures without an answer", "What colours (onnx) answers")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with demo(onnx_artifact(folder / "model.onnx"), folder) as site:
        yield site
        _, peak = site.memory_mib()
        assert peak < PEAK_MIB
        assert site.lines() == []


def batch(client, *paths: str, session: str) -> tuple[bool, str]:
    functions = client.get("config").json()["dependencies"]
    number = next(each["id"] for each in functions if len(each["outputs"]) == 4)
    data = [json.dumps(paths), "colours (onnx)"]
    return answer(client, {"data": data, "fn_index": number, "session_hash": session}, "gradio_api/queue/join")


@pytest.mark.parametrize("name", ZIPS)
def test_a_hostile_zip_gets_an_answer(site, name):
    with site.client() as client:
        send = partial(batch, client, session=f"s{[*ZIPS].index(name)}")
        done, text = send(upload(client, ZIPS[name].build(), "x.zip"))
        assert done
        assert any(told in text for told in TOLD), text[:500]
        assert "root:" not in text
    assert {path.name for path in site.uploads.rglob("*") if path.is_file()} <= {"picture.zip", "picture.png"}


def test_behind_them_a_good_one_is_answered(site):
    with site.client() as client:
        bad = upload(client, ZIPS["zip-cut"].build(), "x.zip")
        done, text = batch(client, bad, upload(client, png("blue"), "good.png"), session="good")
    assert done
    assert "good.png" in text
    assert "x.zip</bdi>: The zip cannot be read" in text


def test_one_model_is_not_compared(site):
    with site.client() as client:
        parts = {each["props"].get("elem_id") for each in client.get("config").json()["components"]}
    assert "batch-begin" in parts
    assert "compare-begin" not in parts
