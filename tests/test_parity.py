"""Parity finds what is wrong with an artifact, and refuses to judge by a reference that says nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zoo import parity
from zoo.classifier import Classifier
from zoo.data import ArrayPictures, FilePictures, Split
from zoo.errors import ParityError
from zoo.parity_process import fresh_process
from zoo.specs import LoadOptions, PreprocessSpec, WriteOptions
from zoo_exporters.plugin import zoo_exporters

ONNX, TORCHSCRIPT, _ = zoo_exporters()


def make_classifier() -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 3)
    )
    return Classifier(PreprocessSpec(image_size=16), network, "abc").eval()


def make_split(number: int = 300) -> Split:
    rng = np.random.default_rng(5)
    levels = rng.integers(10, 240, (number, 1, 1, 3))
    pictures = (levels + rng.integers(-10, 11, (number, 20, 20, 3))).astype(np.uint8)
    return Split(ArrayPictures(pictures), np.arange(number) % 3)


@pytest.fixture(scope="module")
def expected() -> parity.Reference:
    return parity.reference(make_classifier(), "test", make_split())


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("honest")
    paths = {spec.name: folder / f"model{spec.suffix}" for spec in (ONNX, TORCHSCRIPT)}
    for spec in (ONNX, TORCHSCRIPT):
        spec.write(make_classifier(), paths[spec.name], WriteOptions())
    return paths


@pytest.fixture
def in_process(monkeypatch):
    """Saves the seconds that another process needs to import torch."""
    monkeypatch.setattr(
        parity, "fresh_process", lambda path, whole: contextlib.nullcontext(TORCHSCRIPT.load(path, LoadOptions()))
    )


@pytest.mark.parametrize("exporter", [ONNX, TORCHSCRIPT], ids=lambda spec: spec.name)
def test_an_honest_artifact_passes(expected, exporter, honest):
    path = honest[exporter.name]
    seen = []
    report = parity.check(expected, exporter, path, progress=lambda done, total: seen.append((done, total)))
    assert report["max"] < 2e-5
    assert 0 <= report["mean"] <= report["max"]
    assert 0 <= report["p99"] <= report["max"]
    assert report["top1_agreement"] == 1
    assert report["real_pictures"] == 256
    assert report["pictures"] > 256 + 60
    assert {1, 2, 7} <= set(report["batches"])
    assert report["sizes"] >= 10
    assert seen[-1] == (len(expected.logits), len(expected.logits))


def one_weight_changed(classifier: Classifier) -> None:
    with torch.no_grad():
        classifier.network[4].weight[0, 0] += 1e-2


def normalisation_dropped(classifier: Classifier) -> None:
    classifier.preprocess.mean.zero_()
    classifier.preprocess.std.fill_(255)


def channels_swapped(classifier: Classifier) -> None:
    with torch.no_grad():
        classifier.network[0].weight.copy_(classifier.network[0].weight.flip(1))


def nothing_but_nan(classifier: Classifier) -> None:
    with torch.no_grad():
        classifier.network[4].bias[0] = float("nan")


def one_class_less(classifier: Classifier) -> None:
    classifier.network[4] = nn.Linear(72, 2)


@pytest.mark.parametrize(
    ("sabotage", "reason"),
    [
        (one_weight_changed, "of their spread"),
        (normalisation_dropped, "of their spread"),
        (channels_swapped, "of their spread"),
        (nothing_but_nan, "no finite numbers"),
        (one_class_less, r"shape \[7, 2\] instead of \[7, 3\]"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_sabotage_is_found(expected, sabotage, reason, tmp_path, in_process):
    sabotaged = make_classifier()
    sabotage(sabotaged)
    path = tmp_path / "model.pt"
    TORCHSCRIPT.write(sabotaged, path, WriteOptions())
    with pytest.raises(ParityError, match=reason):
        parity.check(expected, TORCHSCRIPT, path)


def test_a_batch_frozen_by_tracing_is_found(tmp_path):
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = make_classifier().network

        def forward(self, pixels):
            return self.network(pixels) + torch.zeros(int(pixels.shape[0]), 1)

    classifier = Classifier(PreprocessSpec(image_size=16), Frozen(), "abc").eval()
    path = tmp_path / "model.pt"
    TORCHSCRIPT.write(classifier, path, WriteOptions())
    with pytest.raises(ParityError, match="fails on pictures of 20 x 20"):
        parity.check(parity.reference(classifier, "test", make_split(20)), TORCHSCRIPT, path)


def test_the_tolerance_decides(expected):
    shifted = [rows + 0.5e-4 * expected.spread for rows in expected.logits]
    assert parity.compare(expected, shifted, 1e-4)["max"] == pytest.approx(0.5e-4, rel=0.2)
    with pytest.raises(ParityError, match=r"allowed: 1e-05"):
        parity.compare(expected, shifted, 1e-5)


def test_near_ties_may_swap_and_clear_decisions_may_not(expected):
    clear = np.array([[1.0, 0.0, -1.0]], np.float32)
    tie = np.array([[0.0, 1e-5, -1.0]], np.float32)
    reference = parity.Reference(expected.classifier, "test", expected.split, (clear, tie), 2, 1.0, 0.0)
    swapped = tie[:, [1, 0, 2]]
    report = parity.compare(reference, [clear, swapped], 1e-4)
    assert report["near_ties"] == 1
    assert report["top1_agreement"] == 1
    with pytest.raises(ParityError, match=r"0\.00% of the 1 pictures"):
        parity.compare(reference, [clear[:, [1, 0, 2]], tie], 0.2)


@pytest.mark.parametrize("scale", [0.0, 1e-9])
def test_a_degenerate_reference_is_refused(scale):
    """Logits of almost the same value for all pictures, beside a bias that rounds their differences away."""
    classifier = make_classifier()
    with torch.no_grad():
        classifier.network[4].weight.mul_(scale)
        classifier.network[4].bias.fill_(1.0)
    with pytest.raises(ParityError, match="rounding alone"):
        parity.reference(classifier, "test", make_split(20))


def test_a_reference_of_nan_is_refused():
    classifier = make_classifier()
    nothing_but_nan(classifier)
    with pytest.raises(ParityError, match="nan"):
        parity.reference(classifier, "test", make_split(20))


def test_small_logits_are_no_degenerate_ones():
    classifier = make_classifier()
    with torch.no_grad():
        classifier.network[4].weight.mul_(1e-12)
        classifier.network[4].bias.zero_()
    assert parity.reference(classifier, "test", make_split(20)).spread < 1e-11


def test_one_picture_is_too_few():
    with pytest.raises(ParityError, match="fewer than two"):
        parity.reference(make_classifier(), "validation", make_split(1))


def test_real_cases_cover_all_classes_and_are_the_same_each_time():
    split = make_split(3000)
    split = Split(split.pictures, np.repeat([0, 1, 2], [2900, 60, 40]))
    first, second = (list(parity.cases(split, 16)) for _ in range(2))
    assert [kind for kind, _ in first] == [kind for kind, _ in second]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
    real = np.concatenate([images for kind, images in first if kind == "real"])
    known = {picture.tobytes(): label for picture, label in zip(split.pictures.array, split.labels, strict=True)}
    counts = np.bincount([known[picture.tobytes()] for picture in real], minlength=3)
    assert counts.sum() == 256
    assert counts[0] > 200
    assert min(counts[1:]) >= 3
    kinds = {kind for kind, _ in first}
    assert kinds == {"real", "resized", "noise", "black", "white"}
    assert {(1, 1), (1, 5000), (3000, 2)} <= {images.shape[1:3] for _, images in first}


def test_unreadable_pictures_are_replaced(tmp_path):
    from PIL import Image

    paths = []
    for index in range(258):
        paths.append(tmp_path / f"{index}.png")
        Image.new("L", (2, 2), index % 256).save(paths[-1])
    paths[10].write_bytes(b"")
    split = Split(FilePictures(paths), np.zeros(258, np.int64))
    assert sum(len(images) for kind, images in parity.cases(split, 8) if kind == "real") == 256


def test_the_classifier_is_left_as_it_was(expected):
    assert torch.get_default_dtype() == torch.float32
    assert expected.classifier.network[0].weight.dtype == torch.float32


def test_an_onnx_file_runs_where_torch_cannot_be_imported(expected, honest, tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "torch.py").write_text("raise RuntimeError('torch was imported')")
    monkeypatch.setenv("PYTHONPATH", str(trap))
    images = next(expected.cases())[1]
    with fresh_process(honest["onnx"], whole=False) as artifact:
        np.testing.assert_allclose(artifact(images), expected.logits[0], atol=1e-6)


def test_a_module_in_the_working_folder_stands_in_for_nothing(expected, honest, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with fresh_process(honest["onnx"], whole=False) as artifact:
        assert artifact(next(expected.cases())[1]).shape == (7, 3)


def test_an_interrupt_leaves_no_process(expected, honest):
    with pytest.raises(KeyboardInterrupt), fresh_process(honest["onnx"], whole=False) as artifact:
        process = artifact.args[0]
        artifact(next(expected.cases())[1])
        raise KeyboardInterrupt
    assert process.poll() is not None
