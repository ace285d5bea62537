"""One answer everywhere: the page, Gradio's client, `/api`, `zoo serve`, `zoo predict` and `zoo.load`.

All but `zoo.load` give probabilities and no logits. With every class listed, differences of logarithms of probabilities
are differences of logits: both are compared after their mean over the classes is taken away, relative to the spread of
the logits. The page gets HTML, in which probabilities are rounded to a hundredth of a percent: they are compared as far
as they go, and its logits are those of `/predict`, which shares its code. What the browser makes of the HTML is for
`test_demo_browser.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("gradio", reason="the demo extra is not installed")

import gradio_client
import httpx

from zoo.artifacts.predictor import load
from zoo.cli import app as zoo_app
from zoo.metrics import log_softmax

from ..attacks.site import answer, demo, upload
from ..corpus.pictures import all_animations, all_modes, all_orientations, all_sizes, encoded
from .process import serving

FILES, FEW = 200, 12
BOUND = 1e-4  # of the spread
PAGE = "page"
Shares = dict[str, float]  # probability of each class
Ways = dict[str, Callable[[list[Path]], list[Shares]]]


def photos() -> Iterator[tuple[str, bytes]]:
    """Real photos: those of ZOO_DATA_ROOT if there are any, and parts of one that matplotlib brings."""
    for path in sorted(Path(os.environ.get("ZOO_DATA_ROOT", "/nowhere")).glob("hymenoptera_data/val/*/*.jpg"))[:30]:
        yield path.name, path.read_bytes()
    from matplotlib import cbook

    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        for number in itertools.count():
            rng = np.random.default_rng(number)
            left, top = rng.integers(0, photo.width // 2), rng.integers(0, photo.height // 2)
            part = photo.crop((left, top, *rng.integers((left + 20, top + 20), photo.size)))
            kind = ("JPEG", "WEBP", "PNG")[number % 3]
            yield f"photo-{number}.{kind.lower()}", encoded(part, kind)


def written(folder: Path, count: int) -> list[Path]:
    """So many files: one of each kind in turn, and photos to fill up."""
    generated = [(f"{each.what}.{each.suffix}", each.data) for made in
                 (all_modes, all_orientations, all_sizes, all_animations) for each in made()]  # fmt: skip
    kept = generated if count > len(generated) else generated[:: -(-len(generated) // (count - 3))]
    found = [*kept, *itertools.islice(photos(), count - len(kept))]
    assert len({name for name, _ in found}) == count
    paths = [folder / name for name, _ in found]
    for path, (_, data) in zip(paths, found, strict=True):
        path.write_bytes(data)
    return paths


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    with demo(model, tmp_path_factory.mktemp("page")) as site:
        yield site


@pytest.fixture(scope="module")
def ways(model, page, tmp_path_factory) -> Iterator[Ways]:
    """Everything that gives probabilities."""
    client = gradio_client.Client(page.url, verbose=False, download_files=str(tmp_path_factory.mktemp("down")))
    with serving(model) as service, page.client() as http:
        classes = len(load(model).classes)
        yield {
            "zoo predict": lambda files: predicted(model, files, classes),
            "zoo serve": lambda files: posted(files, f"http://127.0.0.1:{service.port}/predict?top_k={classes}"),
            "/api/predict": lambda files: posted(files, f"{page.url}api/predict?top_k={classes}"),
            PAGE: lambda files: on_the_page(http, files),
            "gradio_client": lambda files: [
                labelled(client.predict(gradio_client.handle_file(file), api_name="/predict")[0]) for file in files
            ],
        }
    client.close()


def shares_of(row: dict) -> Shares:
    return {each["label"]: each["probability"] for each in row["top"]}


def labelled(label: dict) -> Shares:
    """Of Gradio's Label."""
    return {each["label"]: each["confidence"] for each in label["confidences"]}


def predicted(model: Path, files: list[Path], classes: int) -> list[Shares]:
    command = ["predict", str(model), *map(str, files), "--top-k", str(classes), "--json"]
    return [shares_of(row) for row in json.loads(CliRunner().invoke(zoo_app, command).stdout)]


def posted(files: list[Path], url: str) -> list[Shares]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        return [shares_of(client.post(url, content=file.read_bytes()).json()[0]) for file in files]


def on_the_page(http, files: list[Path]) -> list[Shares]:
    """The widths of the bars, by the requests that the page sends: an upload, a place in the queue, a stream."""
    config = http.get("config").json()
    title = next(each["props"]["value"] for each in config["components"] if each["type"] == "dropdown")
    sizes = {each["id"]: (len(each["inputs"]), len(each["outputs"])) for each in config["dependencies"]}
    called = next(number for number, size in sizes.items() if size == (3, 1))  # picture, pad and model; the answer
    found = []
    for number, file in enumerate(files):
        given = [{"path": upload(http, file.read_bytes(), file.name)}, None, title]
        body = {"data": given, "fn_index": called, "session_hash": f"agreement{number}"}
        done, line = answer(http, body, "gradio_api/queue/join")
        assert done, line
        (page,) = json.loads(line.removeprefix("data: "))["output"]["data"]
        bars = re.findall(r"class='name'>([^<]+)<.*?width:([0-9.]+)%", page)
        found.append({name: float(width) / 100 for name, width in bars})
    return found


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(1, keepdims=True)


@pytest.mark.parametrize("count", [FEW, pytest.param(FILES, marks=pytest.mark.slow)])
def test_all_ways_to_an_answer_give_the_same(model, ways, tmp_path, count):
    files = written(tmp_path, count)
    predictor = load(model)
    logits = predictor.logits(files).astype(np.float64)
    found = {name: way(files) for name, way in ways.items()}
    off = {}
    for name, rows in found.items():
        shares = np.array([[row[label] for label in predictor.classes] for row in rows])
        assert shares.shape == logits.shape
        if name == PAGE:
            assert np.abs(shares - np.exp(log_softmax(logits))).max() < 0.6e-4
            continue
        off[name] = np.abs(centred(np.log(shares)) - centred(logits)).max() / logits.std()
    print({name: f"{value:.1e}" for name, value in off.items()})
    assert max(off.values()) < BOUND, off
