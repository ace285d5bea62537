"""One model in its own process: untrusted pictures are decoded and classified here, where the process can be ended.

`python -m zoo_demo.worker ARTIFACT DEVICE` says when it is ready. Then it answers messages one by one, in the format of
`zoo.parity.process`: a picture file or the strokes of a drawing in, the model's answer and its view out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from zoo.artifacts.heat_maps import CELLS, heat_map
from zoo.artifacts.heat_pictures import under_heat
from zoo.artifacts.predictor import Predictor, load
from zoo.errors import ArtifactError, DataError, ZooError
from zoo.images import read_picture
from zoo.processes.children import guard, limit_memory
from zoo.processes.memory import resident_bytes
from zoo.processes.messages import exactly, receive, send
from zoo.transforms.view import model_view
from zoo_demo.drawing import digit_from_strokes, parse_strokes
from zoo_demo.limits import MAX_PIXELS, MODEL_BYTES, PICTURE_SECONDS
from zoo_demo.service import TOP_CLASSES, go_on

SHOWN_SIDE = 224
PIXELATED_BELOW = 112
WEIGHTS = 8  # memory for a model, in sizes of its file: runtimes copy, pack and fold weights


def answer(predictor: Predictor, kind: str, body: bytes, top_k: int = TOP_CLASSES) -> tuple[dict[str, Any], bytes]:
    """The model's answer to one picture, and its view as a file. Raises `ZooError`."""
    picture = _picture(predictor, kind, body)
    start = time.perf_counter()
    (prediction,) = predictor.predict([picture], top_k)
    latency_ms = 1000 * (time.perf_counter() - start)
    view = model_view(picture, predictor.card.preprocess)
    height, width = picture.shape[:2]
    said = {"top": prediction.top, "width": width, "height": height, "latency_ms": latency_ms}
    return said | {"side": len(view)}, _file_of(view)


def look(
    predictor: Predictor,
    kind: str,
    body: bytes,
    seconds: float = PICTURE_SECONDS,
    report: Callable[[float], object] = go_on,
) -> tuple[dict[str, Any], bytes]:
    """Where the model looks: the class, and what it sees under a heat map as a file.

    Args:
        report: gets the share of the work that is done, and may raise an error to end it.

    Raises `ZooError`, also where it will take longer than so many seconds: this process would be ended then.
    """
    begun = time.perf_counter()
    picture = _picture(predictor, kind, body)
    start = time.perf_counter()  # a large picture takes long to read, but only once

    def hurry(done: int, total: int) -> None:
        report(done / total)
        if start - begun + (time.perf_counter() - start) * total / done > seconds:
            raise ArtifactError(
                f"The heat map takes longer than {seconds:g} seconds.",
                "The operator can allow more time with --time-limit, or export the model with --heatmap.",
                code="heat-map-late",
            )

    if predictor.card.exported.get("heatmap") is not True:
        predictor.predict([model_view(picture, predictor.card.preprocess)])
        hurry(2, (CELLS + 1) ** 2)  # of several at once, each may take half as long
    start = time.perf_counter()
    found = heat_map(predictor, picture, progress=hurry)
    return {"label": found.label}, _file_of(under_heat(found)[1])


def check(predictor: Predictor, path: Path, device: str = "cpu") -> dict[str, Any]:
    """What `zoo verify` finds about the file as it is now, and about the program that answers here."""
    from zoo.parity.verify import verify_loaded

    try:
        found = verify_loaded(path, predictor, device)
    except ZooError as error:  # the page is for others, too: they need not know where the file lies
        raise DataError(error.cause.replace(str(path), path.name), error.remedy, code=error.code) from None
    return {"checks": [(name, finding.passed, finding.summary) for name, finding in found.findings.items()]}


def _picture(predictor: Predictor, kind: str, body: bytes) -> np.ndarray:
    if kind == "strokes":
        return digit_from_strokes(parse_strokes(body.decode()))
    return read_picture(body, max_pixels=MAX_PIXELS, pixel_range=predictor.card.preprocess.pixel_range)


def _file_of(view: np.ndarray) -> bytes:
    """A picture, uint8 `[S, S, 3]`, in the size that the page shows: a small one as PNG, others as JPEG."""
    image = Image.fromarray(view)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = BytesIO()
    if len(view) < PIXELATED_BELOW:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=90)
    return file.getvalue()


def _report(answers: IO[bytes], share: float) -> None:
    """Tells how far the work is. Raises `ZooError` where nobody waits for it any more."""
    send(answers, {"done": share})
    if not receive(sys.stdin.buffer)["go_on"]:
        raise ZooError("The heat map was stopped.", "Ask for it again.", code="heat-map-stopped")


def _serve(path: Path, device: str, answers: IO[bytes]) -> None:
    predictor = load(path, device)
    send(answers, {"loaded": True})
    size = predictor.card.preprocess.image_size
    predictor.predict([np.zeros((size, size, 3), np.uint8)])  # the first visitor does not wait for it
    send(answers, {"resident_bytes": resident_bytes()})
    while True:
        head = receive(sys.stdin.buffer)
        body = exactly(sys.stdin.buffer, head["bytes"])
        try:
            if head["kind"] == "check":
                said, view = check(predictor, path, device), b""
            elif head["look"]:
                said, view = look(predictor, head["kind"], body, head["seconds"], partial(_report, answers))
            else:
                said, view = answer(predictor, head["kind"], body, head["top_k"])
        except ZooError as error:
            said, view = {"error": [error.cause, error.remedy, error.code]}, b""
        except Exception as error:  # an unexpected error ends this answer, not the demo
            cause = f"The model failed: {type(error).__name__}."
            said, view = {"error": [cause, "Try another picture.", "model-failed"]}, b""
        send(answers, said | {"bytes": len(view), "resident_bytes": resident_bytes()}, view)


def _main() -> None:
    guard()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints must not mix with the answers
    path, device = Path(sys.argv[1]), sys.argv[2]
    try:
        if device == "cpu":  # CUDA maps all of the GPU's memory
            limit_memory(MODEL_BYTES + WEIGHTS * path.stat().st_size)
        _serve(path, device, answers)
    except ZooError as error:
        send(answers, {"error": [error.cause, error.remedy, error.code]})
    except (EOFError, KeyboardInterrupt):  # the demo has ended
        pass


if __name__ == "__main__":
    _main()
