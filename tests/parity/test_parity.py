"""Parity finds what is wrong with an artifact, and refuses to judge by a reference that says nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zoo import parity
from zoo.data import ArrayPictures, FilePictures, Split
from zoo.errors import ParityError
from zoo.images import read_picture
from zoo.models.classifier import Classifier
from zoo.parity import cases, checking, compare
from zoo.parity.process import fresh_process
from zoo.parity.tolerances import TABLE, allowed
from zoo.specs import PreprocessSpec, WriteOptions, Written
from zoo_exporters.plugin import zoo_exporters

from ..refusals import refused

ONNX, TORCHSCRIPT, _ = zoo_exporters()
SPEC = PreprocessSpec(image_size=16)


def make_classifier() -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 3)
    )
    return Classifier(network, "abc", SPEC, check=False).eval()


def make_split(number: int = 300) -> Split:
    rng = np.random.default_rng(5)
    levels = rng.integers(10, 240, (number, 1, 1, 3))
    pictures = (levels + rng.integers(-10, 11, (number, 20, 20, 3))).astype(np.uint8)
    return Split(ArrayPictures(pictures), np.arange(number) % 3)


@pytest.fixture(scope="module")
def expected() -> parity.Reference:
    return parity.reference(make_classifier(), "test", make_split(), depth="full")


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("honest")
    paths = {spec.name: folder / f"model{spec.suffix}" for spec in (ONNX, TORCHSCRIPT)}
    for spec in (ONNX, TORCHSCRIPT):
        spec.write(make_classifier(), paths[spec.name], WriteOptions())
    return paths


FP32 = allowed(ONNX, "fp32", "pixels", "cpu").allowed


@pytest.mark.parametrize("exporter", [ONNX, TORCHSCRIPT], ids=lambda spec: spec.name)
def test_an_honest_artifact_passes(expected, exporter, honest):
    seen = []
    report = parity.check(
        expected, exporter, honest[exporter.name], progress=lambda done, total: seen.append((done, total))
    )
    assert report["max"] < 2e-5
    assert 0 <= report["mean"] <= report["p99"] <= report["max"]
    assert report["top1_agreement"] == 1
    assert report["real_pictures"] == 300
    assert report["pictures"] > 300 + 20
    assert {1, 2, 7} <= set(report["batches"])
    assert report["sizes"] >= 10
    assert report["accuracy"]["classifier"] == report["accuracy"]["artifact"]
    assert report["covered"].startswith("300 of 300 test pictures, 6 files with EXIF rotation")
    assert [finding["name"] for finding in report["checks"]] == [
        "finite", "logits", "top-1", "row alone", "deterministic", "unoptimised session",
        "accuracy",
    ]  # fmt: skip
    assert all(finding["passed"] for finding in report["checks"])
    assert seen[-1] == (len(expected.logits), len(expected.logits))


def test_an_artifact_that_takes_tensors_passes(expected, tmp_path):
    path = tmp_path / "model.onnx"
    options = WriteOptions(input="tensor")
    ONNX.write(expected.classifier, path, options)
    assert parity.check(expected, ONNX, path, options=options)["top1_agreement"] == 1


def said_of(expected: parity.Reference, change=lambda rows: rows) -> compare.Outputs:
    """What an artifact would have said that answers as the reference, `change` aside."""
    logits = [change(rows) for rows in expected.logits]
    rows = np.concatenate(logits[:2])
    return compare.Outputs(logits, {0: rows[:1], 8: rows[8:]}, [(logits[0], logits[0])], {0: logits[0]})


def reasons(expected, said, bounds=FP32, budget=1.0) -> dict[str, str]:
    return {found.name: found.reason for found in compare.findings(expected, said, bounds, budget) if found.reason}


def test_the_tolerance_decides(expected):
    said = said_of(expected, lambda rows: rows + FP32.mean * 0.9 * expected.logit_std)
    assert reasons(expected, said) == {}
    stricter = dataclasses.replace(ONNX, tolerance=0.5e-4)
    found = reasons(expected, said, allowed(stricter, "fp32", "pixels", "cpu").allowed)
    assert "on average" in found["logits"]
    one = said_of(expected)
    one.logits[5] = one.logits[5] + np.float32(1.5 * FP32.largest * expected.logit_std)
    assert "by up to" in reasons(expected, one)["logits"]


def flat(expected: parity.Reference, logits: tuple[np.ndarray, ...]) -> parity.Reference:
    """A reference with these logits, of pictures 0, 1, … of the split."""
    rows = [cases.Case("row", "row", np.zeros((1, 16, 16, 3), np.uint8))] * 2
    own = [cases.Case("real", "picture", indices=(index,)) for index in range(len(logits))]
    sure = np.array([[2.0, 1.0, 0.0]], np.float32)
    return dataclasses.replace(expected, cases=(*rows, *own), logits=(sure, sure, *logits), logit_std=1.0)


@pytest.mark.parametrize(("precision", "times"), [("fp32", 4), ("fp16", 2**14)])
def test_a_picture_on_which_the_classifier_itself_rounds_has_wider_bounds(expected, precision, times):
    bounds = allowed(ONNX, precision, "pixels", "cpu").allowed
    edge = next(number for number in expected.of_kind("edge") if expected.cases[number].name == "black")
    rounding = 10 * bounds.largest / times
    known = {number: rounding * expected.logit_std * (number == edge) for number in expected.of_kind("edge")}
    rough = dataclasses.replace(expected, roundings=known)

    def diverging(number: int, share: float) -> compare.Outputs:
        said = said_of(rough)
        said.logits[number] = said.logits[number] + share * times * rounding * expected.logit_std
        return said

    assert reasons(rough, diverging(edge, 0.9), bounds) == {}
    assert compare.figures(rough, diverging(edge, 0.9), bounds)["rough_pictures"] == ["black picture 0"]
    (found, *_) = compare.findings(rough, diverging(edge, 0.9), bounds, 1)
    assert "wider bounds for 1," in found.covered
    assert found.worst == pytest.approx(0.9 * bounds.largest, rel=1e-3)
    assert "logits differ by up to" in reasons(rough, diverging(edge, 1.1), bounds)["logits"]
    (real, *_) = expected.of_kind("real")
    assert "logits differ by up to" in reasons(rough, diverging(real, 0.9), bounds)["logits"]


def test_bounds_of_ordinary_pictures_end_at_half_the_spread(expected):
    """However much a network makes of rounding: a resize to the nearest pixel may move logits by one spread."""
    rough = allowed(ONNX, "fp16", "pixels", "cpu", rounding=9e-3).allowed
    assert (rough.largest, rough.tie) == (0.5, 1.0)
    bounds = allowed(ONNX, "fp16", "pixels", "cpu").allowed
    (real, *_) = expected.of_kind("real")
    wild = dataclasses.replace(expected, roundings={real: expected.logit_std})

    def found(share: float) -> dict[str, str]:
        said = said_of(wild)
        said.logits[real] = said.logits[real] + share * expected.logit_std
        return reasons(wild, said, bounds)

    assert found(0.25) == {}
    assert "by up to" in found(0.55)["logits"]


@pytest.mark.parametrize("nothing", [float("inf"), float("nan")])
def test_a_rounding_that_is_not_finite_widens_nothing(expected, nothing):
    assert allowed(ONNX, "fp32", "pixels", "cpu", rounding=nothing).allowed == FP32
    (edge, *_) = expected.of_kind("edge")
    broken = dataclasses.replace(expected, roundings=dict.fromkeys(expected.of_kind("edge"), nothing))
    said = said_of(broken)
    said.logits[edge] = said.logits[edge] + 1000
    assert "by up to" in reasons(broken, said)["logits"]


def test_int8_is_compared_on_pictures_of_the_split_alone(expected):
    """Ranges are calibrated on such pictures; the others tell whether the file survives, and agrees with itself."""
    bounds = allowed(ONNX, "int8", "pixels", "cpu").allowed
    said = said_of(expected)
    for number, case in enumerate(expected.cases):
        if case.kind != "real":
            said.logits[number] = said.logits[number] + 9 * expected.logit_std
    said.alone = {0: said.logits[0][:1], 8: said.logits[1][1:]}
    said.again = [(said.logits[0], said.logits[0])]
    (real, *_) = expected.of_kind("real")
    said.unoptimised = {0: said.logits[0] + 9 * expected.logit_std, real: said.logits[real]}
    assert reasons(expected, said, bounds) == {}
    said.alone[8] = said.alone[8] + expected.logit_std
    assert "the others in its batch" in reasons(expected, said, bounds)["row alone"]
    said.unoptimised[real] = said.unoptimised[real] + expected.logit_std
    assert "optimises its program" in reasons(expected, said, bounds)["unoptimised session"]


def test_near_ties_may_swap_and_clear_decisions_may_not(expected):
    clear = np.array([[1.0, 0.0, -1.0]], np.float32)
    tie = np.array([[0.0, 1e-5, -1.0]], np.float32)
    reference = flat(expected, (clear, tie))
    said = compare.Outputs([*reference.logits[:3], tie[:, [1, 0, 2]]])
    report = compare.figures(reference, said, FP32)
    assert (report["near_ties"], report["near_tie_pictures"]) == (1, ["test picture 1"])
    assert report["top1_agreement"] == 1
    swapped = compare.Outputs(
        [*reference.logits[:2], clear[:, [1, 0, 2]], tie], {0: clear}, [(clear, clear)], {0: clear}
    )
    assert "66.67% of the 3 pictures" in reasons(reference, swapped)["top-1"]


def test_one_picture_of_few_may_change_its_class_in_int8(expected):
    clear = np.array([[9.0, 0.0, -9.0]], np.float32)
    reference = flat(expected, (clear,) * 12)
    int8 = dataclasses.replace(allowed(ONNX, "int8", "pixels", "cpu").allowed, p99=99, mean=99)

    def top1(swapped: int, bounds) -> str | None:
        own = [clear[:, [1, 0, 2]]] * swapped + [clear] * (12 - swapped)
        said = compare.Outputs([*reference.logits[:2], *own], {0: reference.logits[0]}, [(clear, clear)], {2: own[0]})
        return reasons(reference, said, bounds, 100).get("top-1")

    assert top1(1, int8) is None
    assert "83.33% of the 12 pictures" in top1(2, int8)
    assert "92.86% of the 14 pictures" in top1(1, FP32)  # the rows count, too


def test_accuracy_that_is_lost_counts_against_the_budget(expected):
    right = np.eye(3, dtype=np.float32)[expected.split.labels]
    reference = flat(expected, tuple(right[:, None]))
    logits = list(reference.logits)
    for index in range(4):
        logits[2 + index] = np.roll(logits[2 + index], 1)
    said = compare.Outputs(logits, {0: logits[0]}, [(logits[0], logits[0])], {0: logits[0]})
    loose = dataclasses.replace(FP32, largest=None, p99=9, mean=9, agreement=0)
    assert "it loses 1.33 points" in reasons(reference, said, loose)["accuracy"]
    assert reasons(reference, said, loose, budget=1.5) == {}


@pytest.mark.parametrize(
    ("part", "name"),
    [("alone", "row alone"), ("again", "deterministic"), ("unoptimised", "unoptimised session")],
)
def test_an_artifact_that_disagrees_with_itself_is_found(expected, part, name):
    said = said_of(expected)
    answers, other = getattr(said, part), said.logits[0] + np.float32(2 * FP32.itself * expected.logit_std)
    answers[0] = {"alone": other[:1], "again": (other, said.logits[0]), "unoptimised": other}[part]
    assert set(reasons(expected, said)) == {name}


def test_every_kind_of_file_has_a_row_and_a_reason():
    for spec in (ONNX, TORCHSCRIPT):
        for precision in ("fp32", "fp16", "int8"):
            for takes in ("pixels", "tensor"):
                for device in ("cpu", "cuda"):
                    assert allowed(spec, precision, takes, device).why
    bounds = [row.allowed.mean for row in TABLE]
    assert all(0 < bound < 1 for bound in bounds)


def test_a_format_declares_its_own_tolerance_in_fp32():
    loose = dataclasses.replace(ONNX, tolerance=1e-3)
    assert allowed(loose, "fp32", "pixels", "cpu").allowed.largest == pytest.approx(1e-3)
    for precision in ("fp16", "int8"):
        assert allowed(loose, precision, "pixels", "cpu") == allowed(ONNX, precision, "pixels", "cpu")


def test_a_file_may_round_as_the_classifier_does():
    coarse = allowed(ONNX, "fp32", "pixels", "cpu", rounding=5e-4).allowed
    assert (coarse.largest, coarse.itself) == (pytest.approx(2e-3), pytest.approx(2e-3))
    assert allowed(ONNX, "fp32", "pixels", "cpu", rounding=2e-5) == allowed(ONNX, "fp32", "pixels", "cpu")
    assert allowed(ONNX, "int8", "pixels", "cpu", rounding=5e-4) == allowed(ONNX, "int8", "pixels", "cpu")


@pytest.mark.parametrize("scale", [0.0, 1e-9])
def test_a_degenerate_reference_is_refused(scale):
    """Logits of almost the same value for all pictures, beside a bias that rounds their differences away."""
    classifier = make_classifier()
    with torch.no_grad():
        classifier.network[4].weight.mul_(scale)
        classifier.network[4].bias.fill_(1.0)
    with refused("degenerate-reference", kind=ParityError):
        parity.reference(classifier, "test", make_split(20))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reference_that_is_not_finite_is_refused(value):
    classifier = make_classifier()
    with torch.no_grad():
        classifier.network[4].bias[0] = value
    with refused("classifier-not-finite", "pictures are not finite numbers", "learning rate", kind=ParityError):
        parity.reference(classifier, "test", make_split(20))


def test_small_logits_are_no_degenerate_ones():
    classifier = make_classifier()
    with torch.no_grad():
        classifier.network[4].weight.mul_(1e-12)
        classifier.network[4].bias.zero_()
    assert parity.reference(classifier, "test", make_split(20)).logit_std < 1e-11


def test_one_picture_is_too_few():
    with refused("too-few-pictures", "validation", kind=ParityError):
        parity.reference(make_classifier(), "validation", make_split(1))


def test_any_first_part_of_the_real_pictures_covers_the_classes():
    labels = np.repeat([0, 1, 2], [2900, 60, 40])
    split = Split(make_split(3000).pictures, labels)
    chosen = np.array([index for index, _ in cases.readable(split)])
    assert sorted(chosen) == list(range(3000))
    for number in (64, 256, 1000):
        counts = np.bincount(labels[chosen[:number]], minlength=3)
        assert abs(counts - number * np.array([2900, 60, 40]) / 3000).max() <= 3


def test_the_same_cases_each_time(expected):
    again = parity.reference(make_classifier(), "test", make_split(), depth="full")
    for one, other in zip(expected.cases, again.cases, strict=True):
        assert (one.kind, one.name, one.indices, one.file) == (other.kind, other.name, other.indices, other.file)
        np.testing.assert_array_equal(one.pixels(expected.split), other.pixels(expected.split))
    sizes = {case.size for case in expected.cases}
    assert {(16, 16), (33, 15), (37, 53), (1, 1), (1, 5000), (3000, 2), (20, 20)} <= sizes
    names = {case.name for case in expected.cases}
    assert {"black", "white", "PNG, EXIF orientation 6", "JPEG, EXIF orientation 6"} <= names


def test_files_show_what_the_classifier_saw(expected):
    """Also the PNGs, whose upright pixels are known without any decoder."""
    files = [case for case in expected.cases if case.file]
    assert len(files) == 6
    for case in files:
        np.testing.assert_array_equal(read_picture(case.file), case.pixels(expected.split)[0])
        assert case.size != (16, 16)


def test_quick_is_bounded_and_says_what_it_covered(honest, monkeypatch):
    """Edge pictures, files and the first real pictures are left out by no hurry."""
    short = parity.reference(make_classifier(), "test", make_split(), seconds=0)
    assert len(short.cases) == short.required
    assert short.real_pictures == 16
    unhurried = parity.reference(make_classifier(), "test", make_split())
    for kind in ("edge", "file"):
        assert len(short.of_kind(kind)) == len(unhurried.of_kind(kind)) > 5
    monkeypatch.setattr(checking, "QUICK_SECONDS", 0)
    report = parity.check(short, ONNX, honest["onnx"])
    assert report["covered"].startswith("16 of 300 test pictures, 6 files with EXIF rotation, 20 edge pictures; ")
    assert {1, 2, 7} <= set(report["batches"])
    full = parity.reference(make_classifier(), "test", make_split(), depth="full", seconds=0)
    assert (full.depth, full.real_pictures) == ("full", 300)
    assert parity.check(full, ONNX, honest["onnx"])["real_pictures"] == 300


def test_the_artifacts_side_decodes_files_itself(tmp_path, honest):
    from PIL import Image

    paths = []
    for index, picture in enumerate(make_split(30).pictures.array):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(picture).save(paths[-1])
    paths[3].write_bytes(b"")
    split = Split(FilePictures(paths), np.arange(30) % 3)
    reference = parity.reference(make_classifier(), "test", split, depth="full")
    assert reference.real_pictures == 29
    assert parity.check(reference, ONNX, honest["onnx"])["real_pictures"] == 29
    Image.new("RGB", (20, 20), "red").save(paths[7])
    with pytest.raises(ParityError) as error:
        parity.check(reference, ONNX, honest["onnx"])
    assert "failed checks: logits" in error.value.cause
    paths[7].unlink()
    with refused("runtime-failed", "7.png", "no such file", kind=ParityError):
        parity.check(reference, ONNX, honest["onnx"])


def test_what_diverges_inside_is_refused_though_the_logits_agree(expected, honest):
    seen = []

    def divergence(path: Path, images: np.ndarray) -> str | None:
        seen.append((path, images.shape, images.dtype))
        return "network.0.weight differs."

    with refused("parity-inside", "network.0.weight differs. It was not kept", kind=ParityError):
        parity.check(expected, ONNX, honest["onnx"], written=Written(divergence=divergence))
    assert seen == [(honest["onnx"], (2, 24, 21, 3), np.uint8)]
    silent = Written(divergence=lambda path, images: None)
    assert parity.check(expected, ONNX, honest["onnx"], written=silent)["checks"][-1]["name"] == "inside"


def test_the_classifier_is_left_as_it_was(expected):
    assert torch.get_default_dtype() == torch.float32
    assert expected.classifier.network[0].weight.dtype == torch.float32


def test_an_onnx_file_runs_where_torch_cannot_be_imported(expected, honest, tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "torch.py").write_text("raise RuntimeError('torch was imported')")
    monkeypatch.setenv("PYTHONPATH", str(trap), prepend=os.pathsep)
    images = expected.cases[0].pixels(expected.split)
    with fresh_process(honest["onnx"], SPEC) as artifact:
        np.testing.assert_allclose(artifact(images), expected.logits[0], atol=1e-6)


def test_a_module_in_the_working_folder_stands_in_for_nothing(expected, honest, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with fresh_process(honest["onnx"], SPEC) as artifact:
        assert artifact(expected.cases[0].pixels(expected.split)).shape == (7, 3)


@pytest.mark.parametrize(("precision", "remedy"), [("fp32", "Try another format"), ("fp16", "Export it in fp32.")])
def test_a_runtime_that_crashes_is_told(expected, honest, monkeypatch, precision, remedy):
    """As onnxruntime does on some networks in fp16; a signal is all that its process leaves."""

    @contextmanager
    def crashing(*arguments, **options):
        with fresh_process(*arguments, **options) as artifact:
            artifact.process.send_signal(signal.SIGSEGV)
            yield artifact

    monkeypatch.setattr(checking, "fresh_process", crashing)
    with refused("runtime-crashed", "signal 11", kind=ParityError) as error:
        parity.check(expected, ONNX, honest["onnx"], options=WriteOptions(precision=precision))
    assert error.value.remedy.startswith(remedy)


def test_an_interrupt_leaves_no_process(expected, honest):
    with pytest.raises(KeyboardInterrupt), fresh_process(honest["onnx"], SPEC) as artifact:
        process = artifact.process
        artifact(expected.cases[0].pixels(expected.split))
        raise KeyboardInterrupt
    assert process.poll() is not None


NOISY = ("logits", "row alone", "unoptimised session")


@pytest.mark.parametrize(
    ("precision", "names", "first", "remedy"),
    [
        ("int8", NOISY, "logits", "Calibrate with more pictures"),
        ("int8", ("logits", "row alone"), "row alone", "Try another format"),
        ("fp16", ("finite",), "finite", "Export it in fp32."),
        ("int8", ("finite",), "finite", "Try another format"),
    ],
    ids=["the runtime rounds", "it depends on the batch", "fp16 overflows", "int8 does not"],
)
def test_the_remedy_of_what_only_rounds_is_that_of_its_precision(precision, names, first, remedy):
    found = [compare.CheckResult(name=name, covered="", reason=f"{name} differs") for name in names]
    with refused(f"parity-{first.replace(' ', '-')}", f"{first} differs", kind=ParityError) as error:
        checking._refuse(None, None, found, precision)
    assert error.value.remedy.startswith(remedy)
