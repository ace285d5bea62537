"""Artifacts whose input is a tensor: the network alone in the file, its preprocessing in numpy around it."""

from __future__ import annotations

import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zoo.artifacts.predictor import open_runtime
from zoo.models.classifier import Classifier
from zoo.specs import LoadOptions, PreprocessSpec, WriteOptions
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import preprocess, resize
from zoo_exporters.plugin import zoo_exporters

FORMATS = {spec.name: spec for spec in zoo_exporters()}
SPECS = [
    PreprocessSpec(image_size=24, crop_fraction=0.875),
    PreprocessSpec(image_size=224),
    PreprocessSpec(image_size=33, resize="squash", channels="grey"),
    PreprocessSpec(image_size=34, resize="squash", interpolation="bicubic"),
    PreprocessSpec(image_size=35, resize="shorter", crop_fraction=0.875),
    PreprocessSpec(image_size=223, resize="shorter", crop_fraction=0.875, interpolation="bicubic", channels="grey"),
]
SIZES = [(1, 1), (1, 5000), (3000, 2), (24, 24), (37, 53), (300, 401), (999, 640), (40, 900), (1500, 1100)]
# Found on 153 photos: 3.0e-6; exact weights in place of torch's are 6.5e-5 away.
BOUND = 5e-6


def make_classifier() -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(968, 4))
    return Classifier(network, "abcd", SPECS[0], check=False).eval()


def pictures(size: tuple[int, int], number: int = 2) -> np.ndarray:
    return np.random.default_rng(sum(size)).integers(0, 256, (number, *size, 3), dtype=np.uint8)


def gap(images: np.ndarray, spec: PreprocessSpec) -> float:
    made = preprocess(images, spec)
    expected = Preprocess(spec)(torch.from_numpy(images.copy())).numpy()
    assert (made.dtype, made.shape) == (np.float32, expected.shape)
    assert made.flags.c_contiguous
    return float(np.abs(made - expected).max())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.image_size)
def test_numpy_makes_what_torch_makes(spec):
    assert max(gap(pictures(size), spec) for size in SIZES) < BOUND


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (300, 401)])
def test_a_resize_to_one_pixel(size):
    images = pictures(size)
    resized = resize(images, PreprocessSpec(image_size=1, resize="squash"))
    expected = Preprocess(PreprocessSpec(image_size=1, resize="squash")).resize(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(resized, expected, rtol=1e-5)


def test_views_of_pictures_are_resized_as_their_copies():
    whole = pictures((700, 900))
    for view in (whole[:, 10:400, 5:600], whole[:, ::-1, ::2], whole.swapaxes(1, 2)):
        np.testing.assert_array_equal(resize(view, SPECS[1]), resize(view.copy(), SPECS[1]))


@pytest.mark.parametrize("options", [{}, {"interpolation": "bicubic"}, {"resize": "shorter"}], ids=str)
@pytest.mark.parametrize("side", [33, 700])
@pytest.mark.parametrize("size", [(1, 6_000_000), (6_000_000, 1), (2000, 3000), (2, 3)])
def test_no_size_needs_memory_beside_the_result(size, side, options):
    images = np.zeros((1, *size, 3), np.uint8)
    tracemalloc.start()
    try:
        result = resize(images, PreprocessSpec(image_size=side, **{"resize": "squash"} | options))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - result.nbytes < 10e6


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_products_stay_in_the_calling_thread(interpolation, monkeypatch):
    products = []
    matmul = np.matmul
    monkeypatch.setattr(
        np, "matmul", lambda a, b, out: products.append((*a.shape, b.shape[1])) or matmul(a, b, out=out)
    )
    for size in ((2000, 3000), (28, 28), (60, 3000), (4_000_000, 1)):
        resize(pictures(size, 1), PreprocessSpec(image_size=224, resize="squash", interpolation=interpolation))
    assert len(products) > 30
    assert max(rows * inner * columns for rows, inner, columns in products) <= 2**18
    assert min(min(rows, columns) for rows, _, columns in products) > 1


@pytest.mark.slow
@pytest.mark.skipif("ZOO_DATA_ROOT" not in os.environ, reason="ZOO_DATA_ROOT names no folder of real photos")
def test_numpy_makes_what_torch_makes_of_photos():
    from zoo.images import read_picture

    photos = sorted(Path(os.environ["ZOO_DATA_ROOT"]).glob("hymenoptera_data/val/*/*.jpg"))
    assert len(photos) > 100
    assert max(gap(read_picture(photo)[None], SPECS[1]) for photo in photos) < BOUND


@pytest.fixture(scope="module", params=FORMATS)
def written(request, tmp_path_factory):
    spec = FORMATS[request.param]
    path = tmp_path_factory.mktemp("tensor") / f"model{spec.suffix}"
    return spec, path, spec.write(make_classifier(), path, WriteOptions(input="tensor"))


def test_any_batch_of_tensors_is_taken(written):
    exporter, path, _ = written
    runtime = exporter.load(path, LoadOptions())
    network = make_classifier().network
    for number in (1, 2, 7):
        tensors = np.random.default_rng(number).standard_normal((number, 3, 24, 24)).astype(np.float32)
        logits = runtime(tensors)
        with torch.inference_mode():
            expected = network(torch.from_numpy(tensors)).numpy()
        assert (logits.dtype, logits.shape) == (np.float32, (number, 4))
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_pixels_are_classified_as_by_the_classifier(written):
    exporter, path, _ = written
    classifier = make_classifier()
    runtime = open_runtime(exporter, path, "tensor", classifier.spec, LoadOptions())
    for size in SIZES:
        images = pictures(size, 3)
        with torch.inference_mode():
            expected = classifier(torch.from_numpy(images.copy())).numpy()
        np.testing.assert_allclose(runtime(images), expected, atol=1e-5)


def test_the_file_holds_the_network_alone(written):
    _, path, said = written
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        faces = [(face.name, face.shape, face.type) for face in (*session.get_inputs(), *session.get_outputs())]
        assert faces == [
            ("image", ["batch", 3, 24, 24], "tensor(float)"),
            ("logits", ["batch", 4], "tensor(float)"),
            ("probabilities", ["batch", 4], "tensor(float)"),
        ]
    else:
        with zipfile.ZipFile(path) as archive:
            assert not any(b"bilinear" in archive.read(name) for name in archive.namelist())
        assert said.divergence(path, np.zeros((1, 3, 24, 24), np.float32)) is None
