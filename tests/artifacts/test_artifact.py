"""Loading an artifact, and classifying whatever holds a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import Predictor, load, read_card
from zoo.errors import ArtifactError, TooLittleMemoryError, UnreadablePictureError, UsageError

from ..cards import any_card
from ..refusals import refused


@pytest.fixture(scope="module")
def predictor(model) -> Predictor:
    return load(model)


def pictures(number: int = 70) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    sizes = [(24, 24), (30, 24), (1, 1), (9, 50)]
    return [rng.integers(0, 256, (*sizes[index % 4], 3), dtype=np.uint8) for index in range(number)]


def test_logits_keep_the_order_and_agree_with_the_classifier(predictor, trained):
    classifier = trained.classifier()
    mixed = pictures()
    with torch.inference_mode():
        expected = np.concatenate([classifier(torch.from_numpy(picture[None])).numpy() for picture in mixed])
    logits = predictor.logits(mixed)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize(
    ("asked", "threads", "spinning"),
    [
        ({}, None, True),
        ({"threads": 3}, 3, False),
        ({"workers": 2}, 4, False),
        ({"workers": 2, "threads": 1}, 1, False),
    ],
)
def test_a_runtime_gets_the_threads_that_it_is_given(model, monkeypatch, asked, threads, spinning):
    given = []
    monkeypatch.setattr("zoo.artifacts.predictor.count_cores", lambda: 8)
    monkeypatch.setattr(
        "zoo.artifacts.predictor.open_artifact", lambda _, options: given.append(options) or (None,) * 2
    )
    monkeypatch.setattr("zoo.artifacts.predictor.Predictor", lambda *_: None)
    load(model, **asked)
    assert (given[0].threads, given[0].spinning) == (threads, spinning)


def test_the_card_tells_the_run(predictor, trained):
    card = predictor.card
    assert predictor.classes == trained.classes == ("bar", "line", "slope")
    assert (card.format, card.backbone, str(card.backbone_plugin)) == ("onnx", "tiny", "zoo-tiny 1.0")
    assert card.preprocess == trained.preprocess
    assert card.metrics == trained.metrics
    assert card.metrics_split == card.parity["split"] == "test"
    assert card.recipe["epochs"] == 6
    assert {"torch", "onnxruntime", "visionzoo"} <= card.versions.keys()


def test_predictions_are_the_softmax_best_first(predictor):
    logits = predictor.logits(pictures(9)).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for prediction, share in zip(predictor.predict(pictures(9), top_k=2), shares, strict=True):
        best = np.argsort(-share)[:2]
        assert [label for label, _ in prediction.top] == [predictor.classes[i] for i in best]
        assert [value for _, value in prediction.top] == pytest.approx(share[best].tolist())
        assert (prediction.label, prediction.probability) == prediction.top[0]


def test_top_k_is_bounded_by_the_classes(predictor):
    assert len(predictor.predict(pictures(1), top_k=50)[0].top) == 3
    with refused("top-k", kind=UsageError):
        predictor.predict(pictures(1), top_k=0)


def test_huge_logits_stay_finite(predictor):
    prediction = predictor.predictions(np.array([[1e4, -1e4, 0.0]]))[0]
    assert prediction.probability == 1.0


def test_whatever_holds_a_picture_is_classified_alike(predictor, bars):
    path = bars / "test" / "bar" / "000.png"
    with Image.open(path) as image:
        forms = [path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), image, np.asarray(image)]
        assert len({prediction.top for prediction in predictor.predict(forms)}) == 1


def test_no_pictures_no_predictions(predictor):
    assert predictor.predict([]) == []
    assert predictor.logits([]).shape == (0, 3)


@pytest.mark.parametrize("single", ["a.png", b"bytes", Path("a.png"), np.zeros((4, 4, 3), np.uint8)], ids=type)
def test_a_single_picture_is_refused_before_it_is_misread(predictor, single):
    with refused("not-a-list", "predict([picture])", kind=UsageError):
        predictor.predict(single)


def test_an_unreadable_picture_is_named(predictor, tmp_path):
    with refused("missing-picture", "absent.png", kind=UnreadablePictureError):
        predictor.predict([tmp_path / "absent.png"])


def with_faults(good: np.ndarray, tmp_path: Path) -> list:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"not a picture")
    return [good, damaged, good, None, b"", tmp_path / "absent.png", good, np.zeros((2, 2, 9)), BytesIO(b"x")]


def test_pictures_that_cannot_be_read_leave_the_others_in_place(predictor, tmp_path):
    (good,) = pictures(1)
    (expected,) = predictor.predict([good])
    found = predictor.predict(with_faults(good, tmp_path), on_error="skip")
    assert found == [expected, None, expected, None, None, None, expected, None, None]
    assert predictor.predict([tmp_path / "absent.png"], on_error="skip") == [None]


@pytest.mark.parametrize("method", ["predict", "logits"])
def test_an_error_has_the_index_of_its_picture(predictor, tmp_path, method):
    (good,) = pictures(1)
    for index, bad in enumerate(with_faults(good, tmp_path)):
        if index in (0, 2, 6):
            continue
        with pytest.raises(UnreadablePictureError) as caught:
            getattr(predictor, method)([good] * index + [bad, good])
        assert caught.value.index == index
    assert UnreadablePictureError("A.", "B.").index is None


@pytest.mark.parametrize("method", ["predict", "logits"])
def test_too_little_memory_for_one_picture_is_told_alike(method):
    def runtime(images):
        if images.shape[1] == 9:
            raise MemoryError
        return np.eye(3, dtype=np.float32)[:1].repeat(len(images), axis=0)

    own = Predictor(any_card(), runtime)
    several = [np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)]
    with pytest.raises(TooLittleMemoryError) as caught:
        getattr(own, method)(several)
    assert caught.value.index == 1
    assert [p and p.label for p in own.predict(several, on_error="skip")] == ["red", None]


def test_on_error_takes_two_words(predictor):
    with refused("impossible-option", "on_error cannot be 'ignore'", "'skip'", kind=UsageError):
        predictor.predict([], on_error="ignore")


def test_batches_are_bounded(predictor):
    sizes = []

    def runtime(images: np.ndarray) -> np.ndarray:
        sizes.append(images.nbytes)
        return np.zeros((len(images), 3), np.float32)

    large = [np.zeros((1, 2000, 2000, 3), np.uint8)[0]] * 40 + [np.zeros((8, 8, 3), np.uint8)] * 40
    assert len(Predictor(predictor.card, runtime).logits(large)) == 80
    assert max(sizes) <= 64 * 2**20
    assert len(sizes) > 8


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (lambda images: 1 / 0, ("runtime-failed", "division by zero")),
        (lambda images: np.zeros((len(images), 7), np.float32), ("logits-shape", "[1, 7]", "[1, 3]")),
        (lambda images: np.full((len(images), 3), np.nan, np.float32), ("logits-not-finite",)),
        (lambda images: np.full((len(images), 3), "1"), ("logits-not-finite",)),
    ],
)
def test_a_runtime_that_fails_is_an_artifact_error(predictor, answer, refusal):
    with refused(*refusal, kind=ArtifactError):
        Predictor(predictor.card, answer).logits(pictures(1))


def test_missing_files_folders_and_strange_suffixes(tmp_path):
    with refused("missing-file", "absent.onnx", kind=UsageError):
        load(tmp_path / "absent.onnx")
    with refused("is-folder", tmp_path, kind=UsageError):
        load(tmp_path)
    (tmp_path / "model.zip").write_bytes(b"")
    with refused("unknown-suffix", "model.zip", kind=UsageError):
        load(tmp_path / "model.zip")


def test_an_onnx_file_of_somebody_else(model, tmp_path):
    import onnx

    foreign = onnx.load(model)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with refused("missing-card", "foreign.onnx", kind=ArtifactError):
        load(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("place", ["weights", "card"])
def test_a_changed_byte_is_noticed(model, trained, tmp_path, place):
    data = bytearray(model.read_bytes())
    bias = trained.classifier().network[2].bias.detach().numpy().tobytes()
    position = data.index(bias) if place == "weights" else data.index(b"sha256:") + 7
    data[position] = ord("0") if data[position] != ord("0") else ord("1")
    (tmp_path / "changed.onnx").write_bytes(data)
    with refused("hash-changed" if place == "weights" else "card-changed", kind=ArtifactError):
        load(tmp_path / "changed.onnx")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"classes": ["one"]}, ("card-invalid", "at classes")),
        ({"schema_version": 99}, ("card-newer", "99")),
        ({"preprocess": {}}, ("card-invalid", "at preprocess")),
    ],
    ids=["classes", "version", "preprocess"],
)
def test_cards_that_are_not_valid(predictor, change, refusal):
    fields = json.loads(predictor.card.model_dump_json())
    assert Card.parse(json.dumps(fields)) == predictor.card
    with refused(*refusal, kind=ArtifactError):
        Card.parse(json.dumps(fields | change))


def test_reading_a_card_starts_no_runtime(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert read_card(model).backbone == "tiny"


def test_an_onnx_file_needs_neither_torch_nor_gradio(model):
    code = (
        "import sys, numpy as np, zoo\n"
        "zoo.load(sys.argv[1]).predict([np.zeros((5, 6, 3), np.uint8)])\n"
        "print(sorted({'torch', 'gradio', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
