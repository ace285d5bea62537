"""One architecture of the export matrix, in its own process: `export_matrix.py` starts it.

    python benchmarks/matrix_one.py NAME --photos FOLDER --output FILE

It builds the backbone with random weights, trains two steps, writes every format, and compares each file with the
classifier on 32 pictures. It appends one line of JSON to FILE for the classifier, and one per format. So finished
formats are saved even if the process is killed.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from matrix_table import FORMATS, LARGE
from PIL import Image
from torch import nn

from zoo.errors import UnreadablePictureError, ZooError
from zoo.images import read_picture
from zoo.models.classifier import Classifier
from zoo.registry import registry
from zoo.specs import ExporterSpec, LoadOptions, PreprocessSpec, WriteOptions
from zoo.testing.networks import awaken

CLASSES = tuple("abcdefghij")
IMAGE_SIZE = 96  # if the architecture allows it
PICTURES, PHOTOS = 32, 30  # two pictures are cut from photos
LONGEST_SIDE = 160
TRAINING_PICTURES, LARGE_TRAINING_PICTURES = 10, 4  # memory: activations of a large network
NORM_STARTS = (0.25, 0.5)  # BatchNorm's weights; the second is for networks whose eps is large beside the first
SHARP = 2e-5  # of the spread: rounding well below a tolerance of 1e-4
MIN_SPREAD = 100  # in units of the rounding noise, as in `zoo.parity`
THREADS, WARM_UP, CALLS, CALLS_SECONDS = 1, 2, 5, 1.0


def load_photos(folder: Path, number: int) -> list[np.ndarray]:
    """The first readable photos by name, uint8 `[H, W, 3]`, no side longer than 160 pixels."""
    found: list[np.ndarray] = []
    for path in sorted(folder.rglob("*.jpg")):
        if len(found) == number:
            break
        try:
            picture = Image.fromarray(read_picture(path))
        except UnreadablePictureError:
            continue
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        found.append(np.asarray(picture))
    if len(found) < number:
        raise SystemExit(f"{folder} holds {len(found)} readable .jpg files; {number} are needed.")
    return found


def batches(photos: list[np.ndarray]) -> Iterator[np.ndarray]:
    """32 pictures in batches of 7, 2 and 1, uint8 `[n, H, W, 3]`; the last two are extreme: 1 x 1 and 2 x 960."""
    squashed = [_squashed(photo, 160, 120) for photo in photos[:14]] + [_squashed(p, 61, 97) for p in photos[14:18]]
    yield from (np.stack(squashed[start : start + 7]) for start in (0, 7))
    yield from (np.stack(squashed[start : start + 2]) for start in (14, 16))
    yield from (photo[None] for photo in photos[18:PHOTOS])
    yield photos[0][None, 40:41, 40:41]
    yield np.tile(photos[1][None, 40:42], (1, 1, 6, 1))[:, :, :960]


def _squashed(photo: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(photo).resize((width, height)))


def train(classifier: Classifier, photos: list[np.ndarray], norm_start: float) -> None:
    """Trains the two steps of `zoo.testing`."""
    with torch.no_grad():
        images = torch.cat([classifier.preprocess(torch.tensor(photo[None])) for photo in photos])
    awaken(classifier.network, images, len(CLASSES), norm_weight=norm_start)
    classifier.eval()


def answers(classifier: Classifier, pictures: list[np.ndarray]) -> np.ndarray:
    """Logits `[N, K]`, in fp64 for a network in fp64."""
    with torch.inference_mode():
        return np.concatenate([classifier(torch.tensor(images)).numpy() for images in pictures])


def rounding_of(classifier: Classifier, images: np.ndarray, logits: np.ndarray) -> float:
    """The largest difference between the classifier in fp32 and in fp64."""
    torch.set_default_dtype(torch.float64)  # some networks create tensors in forward()
    try:
        return float(np.abs(answers(copy.deepcopy(classifier).double(), [images]) - logits).max())
    finally:
        torch.set_default_dtype(torch.float32)


def trained(
    build: Callable[[int], nn.Module], spec: PreprocessSpec, photos: list[np.ndarray], pictures: list[np.ndarray]
) -> tuple[Classifier, np.ndarray, dict[str, Any]]:
    """A classifier whose logits differ between pictures, these logits `[N, K]`, and facts about both."""
    started = time.perf_counter()
    for norm_start in NORM_STARTS:
        torch.manual_seed(0)
        classifier = Classifier(build(len(CLASSES)), CLASSES, spec, check=False)
        parameters = sum(p.numel() for p in classifier.network.parameters())
        number = TRAINING_PICTURES if parameters <= LARGE * 1e6 else LARGE_TRAINING_PICTURES
        train(classifier, photos[:number], norm_start)
        want = answers(classifier, pictures)
        spread = float(np.sqrt(want[:PHOTOS].astype(np.float64).var(axis=0).mean()))
        rounding = rounding_of(classifier, pictures[0][:4], want[:4])
        if rounding <= SHARP * spread:
            break
    if not spread > MIN_SPREAD * rounding:
        raise SystemExit(
            f"The logits differ by {spread:.3g} between pictures and by {rounding:.3g} from rounding alone."
        )
    return (
        classifier,
        want,
        {
            "parameters": parameters,
            "spread": spread,
            "rounding": rounding / spread,
            "norm_start": norm_start,
            "training_seconds": round(time.perf_counter() - started, 1),
        },
    )


def agreement(want: np.ndarray, got: np.ndarray, spread: float, tolerance: float) -> dict[str, Any]:
    """Measures as `zoo.parity` does, without refusing: a file that disagrees belongs in the table.

    Args:
        want, got: logits `[N, K]`.
    """
    if got.shape != want.shape or not np.isfinite(got).all():
        raise ValueError(f"it answers with logits {list(got.shape)}, some of them no finite numbers")
    best = np.sort(want, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * tolerance * spread
    agree = (want.argmax(axis=1) == got.argmax(axis=1))[clear]
    return {
        "parity": float(np.abs(want.astype(np.float64) - got).max() / spread),
        "tolerance": tolerance,
        "top1_agreement": float(agree.mean()) if len(agree) else None,
        "near_ties": int((~clear).sum()),
    }


def measure(
    spec: ExporterSpec, classifier: Classifier, pictures: list[np.ndarray], want: np.ndarray, spread: float
) -> dict[str, Any]:
    """Writes, loads and compares one format."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model{spec.suffix}"
        started = time.perf_counter()
        facts = _written(spec, classifier, path)
        facts["export_seconds"] = round(time.perf_counter() - started, 1)
        facts["bytes"] = sum(file.stat().st_size for file in Path(folder).iterdir())
        runtime = spec.load(path, LoadOptions(threads=THREADS, spinning=False))
        facts |= agreement(want, np.concatenate([runtime(images) for images in pictures]), spread, spec.tolerance)
        size = classifier.spec.image_size
        return facts | {"latency_ms": latency_ms(runtime, np.ascontiguousarray(pictures[0][:1, :size, :size]))}


def _written(spec: ExporterSpec, classifier: Classifier, path: Path) -> dict[str, Any]:
    """Writes one file if possible, otherwise a second one with the weights; returns facts."""
    facts: dict[str, Any] = {}
    try:
        spec.write(classifier, path, WriteOptions())
    except ZooError as error:
        if "external_data" not in spec.options or "2 GB" not in str(error):
            raise
        facts["one_file"] = str(error)
        spec.write(classifier, path, WriteOptions(external_data=True))
    if spec.suffix == ".onnx":
        import onnx

        model = onnx.load(path, load_external_data=False)
        facts["opset"] = next(used.version for used in model.opset_import if used.domain in ("", "ai.onnx"))
    return facts


def latency_ms(runtime: Any, images: np.ndarray) -> float:
    """The median of at least five calls, after two calls that warm up."""
    taken: list[float] = []
    while len(taken) < WARM_UP + CALLS or (sum(taken) < CALLS_SECONDS and len(taken) < 100):
        started = time.perf_counter()
        runtime(images)
        taken.append(time.perf_counter() - started)
    return round(1000 * statistics.median(taken[WARM_UP:]), 2)


def one_sentence(error: BaseException) -> str:
    """Why it failed."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if isinstance(error, ZooError) else f"{type(error).__name__}: {text}"


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("name")
    made.add_argument("--photos", type=Path, required=True)
    made.add_argument("--output", type=Path, required=True)
    options = made.parse_args()
    torch.set_num_threads(THREADS)

    def add(**record: Any) -> None:
        with options.output.open("a") as file:
            file.write(json.dumps(record) + "\n")

    photos = load_photos(options.photos, PHOTOS)
    backbone = registry().backbone(options.name).spec
    size = backbone.min_image_size if backbone.fixed_image_size else max(IMAGE_SIZE, backbone.min_image_size)
    pictures = list(batches(photos))
    classifier, want, facts = trained(backbone.build, PreprocessSpec(image_size=size), photos, pictures)
    add(image_size=size, **facts)
    for name in FORMATS:
        spec = registry().exporter(name).spec
        try:
            add(format=name, **measure(spec, classifier, pictures, want, facts["spread"]))
        except Exception as error:  # any error of an exporter or a runtime is a result
            add(format=name, reason=one_sentence(error))


if __name__ == "__main__":
    main()
