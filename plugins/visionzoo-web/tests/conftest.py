"""Installs the plugin where it is not installed; a page with two small models, on a server of this process."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import sys
import threading
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if find_spec("visionzoo_web") is None:
    sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))
from browsing import NASTY, chromium  # noqa: E402

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="session", autouse=True)
def installed(tmp_path_factory):
    """Makes the publishers known to this process."""
    from zoo.registry import registry

    if any(metadata.name == "visionzoo-web" for metadata in distributions()):
        yield
        return
    site = tmp_path_factory.mktemp("site-packages")
    metadata = site / "visionzoo_web-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: visionzoo-web\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[zoo]\nweb = visionzoo_web.plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        registry.cache_clear()
        yield
    registry.cache_clear()


def _exported(path: Path, network, *, heatmap: bool = False, **changes) -> Path:
    """A file as `zoo export` leaves it, but for the parity check, which takes longer than these tests."""
    from zoo.artifacts.card import Card
    from zoo.models.classifier import Classifier
    from zoo.parity.synthetic import VERSION, synthetic_pictures
    from zoo.registry import registry
    from zoo.specs import LoadOptions, PreprocessSpec, WriteOptions

    spec = PreprocessSpec(image_size=24)
    exporter = registry().exporter("onnx").spec
    classifier = Classifier(network.eval(), COLOURS, spec, check=False).eval()
    written = exporter.write(classifier, path, WriteOptions(heatmap=heatmap))
    runtime = exporter.load(path, LoadOptions())
    logits = np.concatenate([runtime(picture[None]) for picture in synthetic_pictures(24)])
    fields = {
        "name": "colours",
        "format": "onnx",
        "created": "2026-01-02T03:04:05+0000",
        "exported": dict(written.facts),
        "classes": COLOURS,
        "preprocess": spec,
        "backbone": "means",
        "backbone_plugin": "visionzoo 1.0",
        "weights": "none",
        "dataset": {"name": "colours", "drawable": True},
        "recipe": {},
        "metrics": {"top1": 0.9871, "num_pictures": 1234},
        "metrics_split": "test",
        "parity": {"max": 1.2e-6},
        "versions": {},
        "reference": {
            "pictures": VERSION,
            "logits": tuple(tuple(float(f"{value:.9g}") for value in row) for row in logits),
            "spread": float(logits.std()),
            "tolerance": 1e-4,
        },
        "content_hash": exporter.content_hash(path),
    }
    exporter.write_card(path, Card.model_validate(fields | changes).sealed())
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory, installed) -> tuple[Path, Path]:
    """A file that answers with a picture's strongest colour, and a random network with a hostile card and heat maps."""
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("files")
    colours = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    with torch.no_grad():
        colours[2].weight.copy_(3 * torch.eye(3))
        colours[2].bias.zero_()
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
    shapes = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        shapes[3].weight.mul_(20)
    names = dict.fromkeys(("name", "created", "backbone", "weights", "metrics_split"), NASTY)
    dataset = {"name": NASTY, "source": NASTY, "licence": NASTY, "notes": (NASTY,)}
    hostile = names | {"classes": (NASTY, "green", "blue"), "dataset": dataset}
    return (
        _exported(folder / "colours.onnx", colours),
        _exported(folder / "shapes.onnx", shapes, heatmap=True, **hostile),
    )


@pytest.fixture(scope="session")
def site(files, tmp_path_factory) -> Path:
    """The folder that `zoo export --web` writes of both."""
    from visionzoo_web import write
    from zoo.exporting.publishing import publish

    if not (write.VENDOR / "package.txt").exists() and os.environ.get("CI") != "true":
        pytest.skip("not installed: onnxruntime-web (python plugins/visionzoo-web/hatch_build.py)")
    return publish(files, "web", tmp_path_factory.mktemp("site") / "site").folder


class _Handler(http.server.SimpleHTTPRequestHandler):
    """As `python -m http.server`, silently, with more headers. A browser may close a connection early."""

    def __init__(self, more: dict[str, str], *arguments, **named):
        self.more = more
        super().__init__(*arguments, **named)

    def end_headers(self):
        for name, value in self.more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        try:
            super().copyfile(source, outputfile)
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True


@pytest.fixture(scope="session")
def serve():
    """A function that serves a folder and returns its address, and the server to stop."""
    servers = []

    def start(folder: Path, headers: dict[str, str] | None = None):
        handler = functools.partial(_Handler, headers or {}, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/", server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def card(files) -> dict:
    """The fields of a card that the page takes. A test may change them."""
    from zoo.registry import registry

    return json.loads(registry().exporter("onnx").spec.read_card(files[0]))


@pytest.fixture
def changed(site, tmp_path):
    """A function that copies the page with another first card."""

    def copy(change):
        folder = tmp_path / "changed"
        shutil.copytree(site, folder)
        name = json.loads((folder / "site.json").read_text())["models"][0]["name"]
        path = folder / "models" / f"{name}.json"
        card = json.loads(path.read_text(encoding="utf-8"))
        change(card)
        path.write_text(json.dumps(card), encoding="utf-8")
        return folder

    return copy


# Not for the session: its event loop would stay in the process of other tests.
@pytest.fixture(scope="module")
def playwright():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright):
    with chromium(playwright) as browser:
        yield browser
