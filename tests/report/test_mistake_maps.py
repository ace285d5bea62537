"""Heat maps beside the mistakes of a report: which pictures have one, of which class, at what cost."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import zoo
from zoo.artifacts.heat_maps import CELLS, OCCLUSION_RUNS, Looking
from zoo.cli import app
from zoo.data import ArrayPictures
from zoo.evaluation import looking
from zoo.evaluation.evaluation import classifier_stream
from zoo.evaluation.looking import MOST, classifier_looking, maps_of_mistakes
from zoo.evaluation.target import target_of
from zoo.models.class_maps import class_maps
from zoo.models.classifier import Classifier
from zoo.specs import PreprocessSpec
from zoo.transforms.view import framed, model_view

from .test_report import Page, evaluation, page_of

CLASSES, SIZE = ("cat", "dog", "owl"), 16
SPEC = PreprocessSpec(image_size=SIZE, crop_fraction=0.9)
PICTURES = np.random.default_rng(5).integers(0, 256, (500, 20, 24, 3), np.uint8)


def small(num_classes: int) -> nn.Module:
    torch.manual_seed(1)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(8, num_classes))


def mapless(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, num_classes))


def found(count: int, wrong: int):
    return evaluation(CLASSES, count, wrong=wrong, pictures=ArrayPictures(PICTURES[:count]))


def looking_at(network: nn.Module) -> tuple[Classifier, Looking]:
    made = Classifier(network, CLASSES, SPEC)
    return made, classifier_looking(made, classifier_stream(made, torch.device("cpu")))


def test_class_maps_of_the_predicted_class_for_the_most_confident_mistakes():
    classifier, look = looking_at(small(3))
    seen = found(40, wrong=20)
    maps = maps_of_mistakes(seen, lambda: look)
    assert len(maps) == MOST < 20
    for (index, true, guess, _), each in zip(seen.mistakes(), maps, strict=False):
        assert (each.label, each.method) == (CLASSES[guess], "maps") and guess != true
        own = class_maps(classifier, framed(each.view[None], SPEC))[0]
        assert np.allclose(each.values, own[guess] - own.mean(0), atol=1e-5)
        assert (each.view == model_view(PICTURES[index], SPEC)).all()
    assert not any(module._forward_hooks for module in classifier.modules())


def test_occlusion_asks_at_most_a_third_as_often_as_the_evaluation():
    asked = []

    def logits(pictures):
        asked.append(len(pictures))
        return pictures.reshape(len(pictures), -1)[:, :3].astype(np.float32)

    look = Looking(classes=CLASSES, preprocess=SPEC, logits=logits)
    assert OCCLUSION_RUNS == 82
    for count, maps in ((245, 0), (246, 1), (500, 2)):
        asked.clear()
        several = maps_of_mistakes(found(count, wrong=50), lambda: look)
        assert [(each.method, each.values.shape) for each in several] == [("occlusion", (CELLS, CELLS))] * maps
        assert sum(asked) == maps * OCCLUSION_RUNS <= count / 3


def test_the_maps_of_a_network_without_class_maps_are_of_its_own_logits():
    classifier, look = looking_at(mapless(3))
    (first, *_) = maps_of_mistakes(found(500, wrong=50), lambda: look)
    with torch.no_grad():
        expected = Looking(classes=CLASSES, preprocess=SPEC, logits=lambda x: classifier(torch.from_numpy(x)).numpy())
        index, _, guess, _ = found(500, wrong=50).mistakes()[0]
        assert np.allclose(first.values, expected.heat_map(PICTURES[index], guess).values, atol=1e-4)
    assert np.abs(first.values).max() > 1e-3


def test_time_is_bounded(monkeypatch):
    monkeypatch.setattr(looking, "SECONDS", -1)
    assert maps_of_mistakes(found(40, wrong=20), lambda: looking_at(small(3))[1]) == []


def test_the_page_shows_them_with_a_legend_and_the_method(tmp_path):
    seen = found(40, wrong=20)
    page = page_of(tmp_path, seen, look=lambda: looking_at(small(3))[1])
    assert "Beside the first 12: where the network looked" in page.words
    assert "class activation maps (Zhou et al. 2016" in page.words
    own = [image for image in page.all("img") if image["alt"].startswith("Heat map of the picture")]
    assert [image["alt"].rsplit(" ", 1)[1] for image in own] == [
        CLASSES[guess] for _, _, guess, _ in seen.mistakes()[:12]
    ]
    hottest = [np.asarray(Image.open(BytesIO(b64decode(image["src"].partition(",")[2])))).shape for image in own]
    assert hottest == [(144, 144, 3)] * 12
    assert len(page.all("figure")) == 20
    page = page_of(tmp_path, found(500, wrong=2), look=lambda: looking_at(mapless(3))[1])
    assert "Beside each: where the network looked" in page.words
    assert "occlusion" in page.words and "Zeiler and Fergus 2014" in page.words


def test_a_map_that_fails_costs_no_report(tmp_path):
    def fail(_):
        raise RuntimeError("no such operator")

    broken = replace(looking_at(small(3))[1], maps=fail)
    page = page_of(tmp_path, found(40, wrong=20), look=lambda: broken)
    assert len(page.all("figure")) == 20
    assert "where the network looked" not in page.words


def test_a_training_leaves_them(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, 60)
    run = zoo.train(small, (PICTURES[:60], labels), epochs=1, image_size=SIZE, output=tmp_path / "run", augment="none")
    page = Page((run.path / "report.html").read_text(encoding="utf-8"))
    assert "class activation maps" in page.words


@pytest.mark.usefixtures("artifacts_here")
@pytest.mark.parametrize("heatmap", [True, False])
def test_an_evaluation_of_a_file_has_those_of_the_file(tmp_path, bars, heatmap):
    classifier = Classifier(small(3), ("bar", "line", "slope"), PreprocessSpec(image_size=24))
    artifact = zoo.export(classifier, tmp_path / "model.pt", pictures=bars, heatmap=heatmap)
    done = CliRunner().invoke(app, ["evaluate", str(artifact.path), str(bars), "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert ("class activation maps" in page.words) == heatmap  # 18 pictures are too few for occlusion
    assert "occlusion" not in page.words


def test_a_run_is_looked_at_by_its_own_logits(trained):
    look = target_of(trained).load("cpu").look()
    with torch.no_grad():
        own = trained.classifier()(torch.from_numpy(PICTURES[:3])).numpy()
    assert np.allclose(look.logits(PICTURES[:3]), own, atol=1e-4)
    assert look.maps is None  # its head is linear on four places
