"""Every request of `requests`, and every path of its list through every endpoint, to a running `zoo demo`."""

from __future__ import annotations

import io
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..demo.test_demo import onnx_artifact
from .requests import NOT_OURS, PATHS, REQUESTS
from .site import answer, demo, upload

CALL, JOIN = "gradio_api/call/predict", "gradio_api/queue/join"


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), (20, 20, 200), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with demo(onnx_artifact(folder / "model.onnx"), folder) as site:
        yield site
    assert max(map(len, site.lines()), default=0) < 250, site.lines()
    assert not [line for line in site.lines() if "Traceback" in line]


@pytest.fixture
def client(site):
    with site.client() as client:
        yield client


@pytest.fixture(scope="module")
def places(site):
    """What stands in the braces of the lists: an upload, and what an attacker with more luck might have put there."""
    with site.client() as client:
        own = upload(client, png())
    folder = site.uploads / ("1" * 32)
    folder.symlink_to(site.home)
    (site.uploads / "link.png").symlink_to(site.home / "secret.png")
    paths = {"linked": "linked.png", "piped": "piped.png", "zero": "zero.png"}
    places = {name: own.replace("picture.png", file) for name, file in paths.items()}
    Path(places["linked"]).symlink_to(site.home / "secret.png")
    os.mkfifo(places["piped"])
    Path(places["zero"]).symlink_to("/dev/zero")
    port = site.url.rstrip("/").rpartition(":")[2]
    return {"own": own, "home": site.home, "uploads": site.uploads, "port": port, "upper": own.upper(), **places}


def filled(text: str, places: dict[str, object]) -> str:
    for name, value in places.items():
        text = text.replace("{" + name + "}", str(value))
    return text


@pytest.mark.parametrize("meta", [True, False], ids=["with meta", "without"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_that_was_not_uploaded_is_not_opened(site, client, places, path, meta):
    picture: dict[str, object] = {"path": filled(path, places), "url": None}
    if meta:
        picture["meta"] = {"_type": "gradio.FileData"}
    with_session = {"session_hash": f"s{next(COUNT)}"}
    numbers = functions(client)
    paths = json.dumps([picture["path"]])
    calls = [
        (CALL, {"data": [picture, "colours (onnx)"]}),
        (JOIN, {"data": [picture, "colours (onnx)"], "fn_index": numbers["predict"], **with_session}),
        (JOIN, {"data": [picture, "[]", "colours (onnx)"], "fn_index": numbers["either"], **with_session}),
        (JOIN, {"data": [paths, "colours (onnx)"], "fn_index": numbers["batch"], **with_session}),
    ]
    for endpoint, body in calls:
        done, text = answer(client, body, endpoint)
        assert done == (body.get("fn_index") in (numbers["either"], numbers["batch"]))  # the page shows a sentence
        assert "class='bars'" not in text
        assert NOT_OURS in text
    shown = client.get(f"gradio_api/file={filled(path, places)}".replace("\0", "%00").replace("\\", "%5c"))
    assert shown.status_code == 404
    assert NOT_OURS in shown.text or not path


COUNT = itertools.count()


def functions(client) -> dict[str, int]:
    """The functions that take pictures: one with an address, one that a change of the model calls, one for many."""
    found = client.get("config").json()["dependencies"]
    either = [each["id"] for each in found if len(each["inputs"]) == 3]
    batch = [each["id"] for each in found if len(each["inputs"]) == 2 and len(each["outputs"]) == 4]
    predict = next(each["id"] for each in found if each["api_name"] == "predict")
    return {"predict": predict, "either": either[0], "batch": batch[0]}


@pytest.mark.parametrize("value", [None, "7", {"path": "/etc/passwd"}], ids=str)
def test_each_function_of_the_page_answers_strange_values_with_a_sentence_and_no_traceback(site, client, value):
    client.headers["accept-language"] = "zh"
    said = []
    for each in client.get("config").json()["dependencies"]:
        if each["backend_fn"]:
            body = {"data": [value] * len(each["inputs"]), "fn_index": each["id"], "session_hash": f"s{next(COUNT)}"}
            said.append(answer(client, body, JOIN)[1])
    assert not [text for text in said if '"error":null' in text]
    # Gradio takes only a file for a picture.
    assert any("处理该请求时出错。" in text for text in said) == (value == "7")
    assert not [line for line in site.lines() if "Traceback" in line]


def test_an_upload_is_answered_and_shown(client, places):
    done, text = answer(client, {"data": [{"path": places["own"]}, "colours (onnx)"]})
    assert done
    assert '"label": "blue"' in text
    shown = client.get(f"gradio_api/file={places['own']}")
    assert shown.content == png()
    assert shown.headers["content-type"] == "image/png"
    assert "sandbox" in shown.headers["content-security-policy"]


@pytest.mark.parametrize("attack", REQUESTS, ids=lambda attack: attack.name)
def test_a_hostile_request_gets_a_sentence(client, places, attack):
    body = attack.body.replace(b"{own}", str(places["own"]).encode())
    headers = {name: filled(value, places) for name, value in attack.headers.items()}
    response = client.request(attack.method, filled(attack.path, places), headers=headers, content=body)
    assert (response.status_code, attack.said in response.text) == (attack.status, True), response.text[:500]
    assert attack.hides not in response.text
