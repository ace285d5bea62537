"""Run by the tests of the demo in a process of its own: Gradio leaves sockets and event loops to the collector.

    python -m tests.demo.demo_server LOG [LANGUAGE]

Serves two models that answer with a picture's strongest colour, the second one's card hostile. Prints the address;
writes the SHA-256 of all bytes that reach the decoder to LOG, a line each.
"""

from __future__ import annotations

import hashlib
import io
import sys
import time
from functools import partial

import numpy as np
from PIL import Image

from zoo.artifacts.card import DatasetCard
from zoo.artifacts.predictor import Predictor
from zoo.errors import ZooError

from ..cards import any_card

NASTY = "<img src=x onerror=alert(1)>${alert(2)}{{alert}}`</script><script>alert(3)</script>"


card = partial(
    any_card,
    dataset={"name": "colours", "drawable": True},
    metrics={"top1": 0.9871, "num_pictures": 1234},
    parity={"max": 1.2e-6, "top1_agreement": 1.0, "pictures": 300},
)


def png(size, colour) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def means(images: np.ndarray) -> np.ndarray:
    """The mean of each colour as logits."""
    return images.mean((1, 2), dtype=np.float32) / 25


class Fake:
    """A model in this process, which writes down what reaches it."""

    expected_seconds = 0.01

    def __init__(self, predictor: Predictor, log: str) -> None:
        self.predictor, self.log = predictor, log

    def ask(self, kind, body, top_k=5):
        from zoo_demo.service import Answer
        from zoo_demo.worker import answer

        if b"half a second" in body:
            time.sleep(0.5)
        with open(self.log, "a") as file:  # noqa: PTH123
            print(hashlib.sha256(body).hexdigest(), file=file)
        said, view = answer(self.predictor, kind, body, top_k)
        return Answer(**said, view=view)

    def look(self, kind, body, report):
        from zoo_demo.worker import look

        def go_on(share):
            if not report(share):
                raise ZooError("The heat map was stopped.", "Ask again.", code="heat-map-stopped")
            if b"slowly" in body:
                time.sleep(0.5)

        said, view = look(self.predictor, kind, body, report=go_on)
        return said["label"], view

    def check(self):
        from zoo_demo.service import Checked

        return [Checked("hash", True, f"Right: {NASTY}"), Checked("numbers", False, f"Wrong: {NASTY}")]


def main(log: str, language: str | None = None) -> None:
    from zoo_demo import server
    from zoo_demo.models import LeftOut, Model

    names = dict.fromkeys(("name", "format", "created", "backbone", "weights", "metrics_split"), NASTY)
    dataset = DatasetCard(name=NASTY, source=NASTY, notes=(NASTY,))
    curves = [{"phase": NASTY, "train_loss": 1 / epoch, "val_top1": 1 - 1 / epoch} for epoch in range(1, 5)]
    confusion = {"right": [3] * 3, "support": [4, 3, 3], "answers": [3, 4, 3], "mistakes": [[0, 1, 1]]}
    more = {"curves": curves, "confusion": confusion, "recipe": {NASTY: NASTY}, "versions": {NASTY: NASTY}}
    coloured = [{"label": name, "file": png((20, 20), name)} for name in ("red", "green", "blue")]
    hostile = card(**names, **more, classes=(NASTY, "green", "blue"), dataset=dataset)
    models = [Model(c.name, c, Fake(Predictor(c, means), log)) for c in (card(examples=coloured), hostile)]
    broken = [LeftOut("models/broken.onnx", f"The file is damaged. Copy it again. {NASTY}")]
    with server.running(models, "127.0.0.1", left_out=broken, language=language) as url:
        print(url, flush=True)
        server.wait_for_interrupt()


if __name__ == "__main__":
    main(*sys.argv[1:])
