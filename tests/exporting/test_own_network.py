"""A network that was trained with plain PyTorch gets the same file, card, checks and demo as a run's."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.data import ArrayPictures, Dataset, Split, dataset_at
from zoo.errors import UsageError
from zoo.exporting.classifier_source import classifier_source
from zoo.parity.cases import readable
from zoo.parity.verify import verify
from zoo.report.model_card import model_card
from zoo.specs import DatasetRequest

from ..refusals import refused

pytestmark = pytest.mark.usefixtures("artifacts_here")

CLASSES = ["bar", "line", "slope"]
SIZE = 24
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
FILES = {"onnx": "model.onnx", "torchscript": "model.pt", "pt2": "model.pt2"}


def pixels(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network trains on: every picture squashed by Pillow and normalised by hand."""
    files = sorted(folder.rglob("*.png"))
    opened = [
        np.asarray(Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for file in files
    ]
    images = torch.from_numpy(np.stack(opened)).permute(0, 3, 1, 2) / 255
    labels = torch.tensor([CLASSES.index(file.parent.name) for file in files])
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1), labels


def learned(own: nn.Module, bars: Path) -> nn.Module:
    """The network after a training loop of its own."""
    images, labels = pixels(bars / "train")
    optimiser = torch.optim.Adam(own.parameters(), lr=1e-3)
    for _ in range(12):
        for rows in torch.randperm(len(images)).split(40):
            loss = nn.functional.cross_entropy(own(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return own


@pytest.fixture(scope="module")
def network(bars) -> nn.Module:
    """A small ResNet of torchvision."""
    torch.manual_seed(0)
    return learned(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=len(CLASSES)), bars)


def wrapped(network: nn.Module) -> zoo.Classifier:
    preprocess = zoo.PreprocessSpec(image_size=SIZE, mean=MEAN, std=STD, resize="squash")
    return zoo.Classifier(network, classes=CLASSES, preprocess=preprocess)


@pytest.fixture(scope="module")
def classifier(network) -> zoo.Classifier:
    return wrapped(network)


def test_a_network_of_timm_is_exported(bars, place):
    import timm

    torch.manual_seed(0)
    network = learned(timm.create_model("test_resnet", num_classes=len(CLASSES)), bars)
    artifact = zoo.export(wrapped(network), place / "model.onnx", pictures=bars)
    assert artifact.card.backbone_plugin.distribution == "timm"
    assert artifact.card.metrics["top1"] > 0.6
    images, _ = pixels(bars / "test")
    with torch.no_grad():
        answers = network.eval()(images).argmax(1).tolist()
    predicted = zoo.load(artifact.path).predict(sorted((bars / "test").rglob("*.png")))
    same = [CLASSES[answer] == each.label for answer, each in zip(answers, predicted, strict=True)]
    assert np.mean(same) > 0.9


@pytest.mark.parametrize("name", FILES)
def test_a_network_from_elsewhere_is_exported_in_every_format(name, network, classifier, bars, place):
    artifact = zoo.export(classifier, place / FILES[name], pictures=bars)
    assert (artifact.path, artifact.format) == (place / FILES[name], name)
    assert list(place.iterdir()) == [artifact.path]

    images, labels = pixels(bars / "test")
    with torch.no_grad():
        logits = network.eval()(images)
    network.train()
    right = int((logits.argmax(1) == labels).sum())
    card = zoo.load(artifact.path).card
    assert (card.metrics["top1"], card.metrics["num_pictures"]) == (right / 18, 18)
    assert (card.metrics_split, sum(card.confusion.right)) == ("test", right)
    assert (card.backbone, card.backbone_plugin.distribution, card.weights) == (
        "ResNet",
        "torchvision",
        "trained elsewhere",
    )
    assert (card.classes, card.recipe, card.curves) == (tuple(CLASSES), {}, ())
    assert card.parity["accuracy"]["classifier"] == card.parity["accuracy"]["artifact"] == right / 18

    found = verify(artifact.path, data=str(bars))
    assert found.passed, found.findings
    files = sorted((bars / "test").rglob("*.png"))
    # The preprocessing of the file is not Pillow's: near ties may swap.
    same = [
        p.label == CLASSES[best]
        for p, best in zip(zoo.load(artifact.path).predict(files), logits.argmax(1), strict=True)
    ]
    assert np.mean(same) > 0.9


@pytest.fixture(scope="module")
def exported(classifier, bars, tmp_path_factory) -> Path:
    from ..here import artifacts_here

    with artifacts_here():
        flat = sorted((bars / "test").rglob("*.png"))
        return zoo.export(classifier, tmp_path_factory.mktemp("own") / "own.onnx", pictures=flat).path


def test_a_file_without_labels_says_that_nothing_was_measured(exported, bars):
    card = zoo.load(exported).card
    assert (card.metrics, card.metrics_split, card.confusion) == ({}, "", None)
    assert "accuracy" not in card.parity
    assert "18 of 18 given pictures" in card.parity["covered"]
    page = model_card(card)
    assert "Its accuracy was not measured" in page
    assert "calibration error above" not in page

    found = verify(exported, data=str(bars))
    assert [found.findings[name].passed for name in ("hash", "numbers", "data")] == [True, True, None]
    assert "the card has no figures" in found.findings["data"].summary


def test_every_command_opens_such_a_file(exported, bars, tmp_path):
    def run(*arguments: object) -> str:
        done = CliRunner().invoke(app, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "ResNet" in run("info", exported)
    assert len(json.loads(run("predict", exported, bars / "test", "--json"))) == 18
    page = tmp_path / "report.html"
    assert json.loads(run("evaluate", exported, bars, "--json", "--report", page))["split"] == "test"
    assert "trained elsewhere" in page.read_text()
    assert json.loads(run("verify", exported, "--json"))["passed"]


def test_the_demo_answers_with_such_a_file(exported, bars):
    pytest.importorskip("gradio", reason="the demo extra is not installed")
    from zoo_demo.card_html import describe
    from zoo_demo.service import Service

    assert "Accuracy not measured" in describe(zoo.load(exported).card)
    picture = next((bars / "test" / "line").iterdir())
    service = Service(exported, "cpu", 60)
    try:
        answer = service.ask("file", picture.read_bytes())
    finally:
        service.close()
    (expected,) = zoo.load(exported).predict([picture])
    assert answer.top[0] == pytest.approx(expected.top[0])


def in_memory(bars: Path, kind: str):
    files = sorted((bars / "val").rglob("*.png"))
    return {
        "texts": [str(file) for file in files],
        "bytes": [file.read_bytes() for file in files],
        "opened": [io.BytesIO(file.read_bytes()) for file in files],
        "pil": (Image.open(file) for file in files),
        "arrays": [np.asarray(Image.open(file)) for file in files],
        "array": np.stack([np.asarray(Image.open(file).resize((30, 20))) for file in files]),
        "split": Split(
            ArrayPictures(np.stack([np.asarray(Image.open(file).resize((30, 20))) for file in files])),
            np.arange(18) // 6,
        ),
        "dataset": dataset_at(bars).load(DatasetRequest(root=bars)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "split"),
    [
        *((kind, "given") for kind in ("texts", "bytes", "opened", "pil", "arrays", "array", "split")),
        ("dataset", "test"),
    ],
)
def test_pictures_come_in_every_form(kind, split, classifier, bars):
    source = classifier_source(classifier, in_memory(bars, kind), "fp32")
    assert source.split_name == split
    assert [picture.shape[2] for _, picture in readable(source.compared)] == [3] * 18
    labelled = kind in ("split", "dataset")
    assert sorted(set(source.split.labels.tolist())) == ([0, 1, 2] if labelled else [-1])


def test_arrays_of_any_size_are_compared_in_their_own(classifier, bars, place):
    artifact = zoo.export(classifier, "onnx", f"{place}/", pictures=in_memory(bars, "arrays"))
    assert artifact.path == place / "model.onnx"
    assert (artifact.report["real_pictures"], artifact.card.metrics) == (18, {})


def test_folders_with_and_without_classes(classifier, bars, tmp_path):
    for number, file in enumerate(sorted((bars / "val").rglob("*.png"))):
        shutil.copy(file, tmp_path / f"{number}.png")
    flat, classes = (classifier_source(classifier, folder, "fp32") for folder in (tmp_path, bars / "val"))
    assert (flat.split_name, set(flat.split.labels)) == ("given", {-1})
    assert (classes.split_name, set(classes.split.labels)) == ("given", {0, 1, 2})
    assert flat.folder == Path()


def test_int8_is_calibrated_on_one_half_and_compared_on_the_other(classifier, bars, place):
    artifact = zoo.export(
        classifier, place / "model.onnx", precision="int8", accuracy_budget=10, pictures=bars / "train"
    )
    assert artifact.card.precision == "int8"
    assert artifact.report["accuracy"]["pictures"] == 60
    assert artifact.card.metrics["num_pictures"] == 120


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"pictures": None}, ("export-without-pictures", "pictures='photos'")),
        ({"pictures": 5}, ("pictures-type", "pictures is 5")),
        ({"pictures": b"x"}, ("pictures-type", "a bytes")),
        ({"pictures": np.zeros((8, 8, 3), np.uint8)}, ("pictures-array", "[8, 8, 3]", "[picture]")),
        ({"pictures": "absent"}, ("unknown-name", "absent")),
        ({"pictures": "./absent"}, ("missing-dataset", "'absent'")),
        ({"pictures": [np.zeros((8, 8, 3), np.uint8)], "precision": "int8"}, ("export-without-labels", "int8")),
        ({"pictures": [np.zeros((8, 8, 3), np.uint8)], "precision": "fp16"}, ("export-without-labels", "fp16")),
        ({"pictures": []}, ("too-few-pictures", "given")),
        (
            {"pictures": Split(ArrayPictures(np.zeros((2, 8, 8, 3), np.uint8)), np.array([0, 3]))},
            ("labels-out-of-range", "0 to 3", "3 classes"),
        ),
        ({"pictures": Split(ArrayPictures(np.zeros((0, 8, 8, 3), np.uint8)), np.zeros(0, np.int64))}, ("no-pictures",)),
        ({"data": "photos"}, ("impossible-option", "data")),
        ({"run": nn.Identity()}, ("impossible-option", "Identity", "zoo.Classifier(network")),
        ({"exporter": "model.xyz"}, ("unknown-suffix", "model.xyz")),
        ({"exporter": "model.onnx", "output": "other.onnx"}, ("two-outputs", "model.onnx", "other.onnx")),
        ({"exporter": "onxx"}, ("unknown-name", "onnx")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "-".join(value),
)
def test_wrong_arguments_are_refused(  # noqa: PLR0917
    classifier, bars, place, monkeypatch, asked, refusal
):
    monkeypatch.chdir(place)
    with refused(*refusal):
        zoo.export(**{"run": classifier, "exporter": "model.onnx", "pictures": bars, **asked})
    assert list(place.iterdir()) == []


def test_pictures_of_other_classes_are_refused(classifier, bars, place):
    split = Split(ArrayPictures(np.zeros((2, 8, 8, 3), np.uint8)), np.array([0, 1]))
    with refused("data", "'cat'"):
        zoo.export(classifier, place / "model.onnx", pictures=Dataset(classes=("cat", "bar"), train=split, val=split))


def test_a_run_takes_the_name_of_a_file_too(trained, place):
    assert zoo.export(trained, f"{place}/model.PT2").format == "pt2"
    with refused("impossible-option", "pictures", kind=UsageError):
        zoo.export(trained, "onnx", pictures="photos")
