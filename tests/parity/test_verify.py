"""A file proves itself: by its hash, by its numbers, on its data, against its run; each on its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import load, read_card
from zoo.cli import app
from zoo.errors import ArtifactError, UsageError
from zoo.parity.synthetic import VERSION, synthetic_pictures
from zoo.parity.verify import Verification, verify
from zoo.registry import registry
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess

from ..exchanged import exchange
from ..refusals import refused
from ..surgery import without_antialiasing

HALF_TONED = {1: "20c161e68de6951c", 28: "7a11b964ae53e400", 224: "a376ae48d8e7e65d", 4096: "a6e9db06e77e1846"}
pytestmark = pytest.mark.usefixtures("artifacts_here")


def content_of(path: Path) -> bytes:
    """The bytes before the card: those that its hash is of."""
    data, card = path.read_bytes(), read_card(path)
    around = len(data) - len(card.sealed().encode())
    lengths = range(around - 64, around)
    return next(data[:n] for n in lengths if f"sha256:{hashlib.sha256(data[:n]).hexdigest()}" == card.content_hash)


@pytest.fixture
def changed(model, trained, tmp_path):
    """Writes the file anew: with another card, other bytes in the content, or the hash of what it holds then."""

    def write(*, swap: tuple[bytes, bytes] = (b"", b""), rehash: bool = False, **card) -> Path:
        content = content_of(model)
        assert len(swap[0]) == len(swap[1])
        assert swap[0] in content
        content = content.replace(*swap, 1)
        if rehash:
            card["content_hash"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
        fields = json.loads(read_card(model).model_dump_json()) | {"card_hash": ""} | card
        path = tmp_path / "changed.onnx"
        path.write_bytes(content)
        registry().exporter("onnx").spec.write_card(path, json.dumps(fields))
        return path

    return write


@pytest.fixture(scope="module")
def weight(trained) -> tuple[bytes, bytes]:
    """A bias of the head, and another."""
    bias = trained.classifier().network[2].bias.detach().numpy()
    return bias.tobytes(), (bias + np.float32([0.01, 0, 0])).tobytes()


def passed(found: Verification) -> dict[str, bool | None]:
    return {name: finding.passed for name, finding in found.findings.items()}


@pytest.mark.parametrize(
    ("size", "digest"),
    [(1, "74a88907f772db43"), (28, "14a853006e58a856"), (224, "b96393e887da58dc"), (4096, "be8a2d099580a04b")],
)
def test_the_pictures_are_the_same_for_ever(size, digest):
    # Who changes a picture raises VERSION: files in the world carry their answers to these.
    assert VERSION == 2
    *pictures, half_toned = synthetic_pictures(size)
    assert all(np.array_equal(*pair) for pair in zip(pictures, synthetic_pictures(size, 1), strict=True))
    assert hashlib.sha256(half_toned.tobytes()).hexdigest().startswith(HALF_TONED[size])
    found = hashlib.sha256(b"".join(str(p.shape).encode() + p.tobytes() for p in pictures)).hexdigest()
    assert found.startswith(digest)
    assert all(picture.dtype == np.uint8 for picture in pictures)
    if size > 1:
        assert len({picture.shape for picture in pictures}) == 6
        assert all(picture.std() > 50 for picture in pictures)


def resealed(path, card, **changes):
    exporter = registry().exporter_for(path).spec
    exporter.write_card(path, card.model_copy(update={"content_hash": exporter.content_hash(path), **changes}).sealed())


def test_the_numbers_tell_a_runtime_without_antialiasing(model, tmp_path):
    import onnx

    graph, path = onnx.load(model), tmp_path / "model.onnx"
    del graph.metadata_props[:]
    without_antialiasing(graph)
    onnx.save(graph, path)
    resealed(path, read_card(model))
    found = verify(path)
    assert passed(found) == {"hash": True, "numbers": False}
    assert found.findings["numbers"].figures["difference"] > 0.01


@pytest.mark.parametrize("size", [28, 224])
def test_the_half_toned_picture_is_noise_without_antialiasing(size):
    import torch

    picture = torch.from_numpy(synthetic_pictures(size)[-1][None])
    assert min(picture.shape[1:3]) > 4 * size
    right = Preprocess(PreprocessSpec(image_size=size, resize="squash")).resize(picture)
    planes = picture.permute(0, 3, 1, 2).float()
    wrong = torch.nn.functional.interpolate(planes, (size, size), mode="bilinear", align_corners=False)
    assert (right - wrong).abs().mean() > 30


def test_cards_with_the_first_six_pictures_still_verify(model, tmp_path):
    import onnx

    graph, path, card = onnx.load(model), tmp_path / "model.onnx", read_card(model)
    del graph.metadata_props[:]
    onnx.save(graph, path)
    reference = card.reference.model_copy(update={"pictures": 1, "logits": card.reference.logits[:6]})
    resealed(path, card, reference=reference)
    found = verify(path)
    assert found.passed
    assert "6 synthetic pictures" in found.findings["numbers"].summary


def test_a_fresh_file_proves_itself(model, trained):
    found = verify(model)
    assert passed(found) == {"hash": True, "numbers": True}
    assert found.passed
    assert found.findings["numbers"].figures["difference"] < 1e-6
    reference = found.card.reference
    classifier = trained.classifier()
    import torch

    with torch.inference_mode():
        expected = [classifier(torch.from_numpy(p[None]))[0].numpy() for p in synthetic_pictures(24)]
    np.testing.assert_allclose(reference.logits, expected, atol=1e-4 * reference.spread)
    assert reference.tolerance == 1e-4


def test_a_changed_weight_changes_hash_and_numbers(changed, weight):
    assert passed(verify(changed(swap=weight))) == {"hash": False, "numbers": False}


def test_the_numbers_tell_what_a_corrected_hash_hides(changed, weight):
    path = changed(swap=weight, rehash=True)
    assert load(path)
    found = verify(path)
    assert passed(found) == {"hash": True, "numbers": False}
    assert not found.passed


def test_a_file_that_was_rewritten_keeps_its_numbers(changed):
    found = verify(changed(swap=(b"pytorch", b"another")))
    assert passed(found) == {"hash": False, "numbers": True}
    assert "changed after the export" in found.findings["hash"].summary


def test_a_changed_card_is_refused_wherever_it_is_read(model, tmp_path):
    path = tmp_path / "changed.onnx"
    data = model.read_bytes()
    names = [f'"{name}"'.encode() for name in read_card(model).classes]  # ["bar","line","slope"]
    place = data.rindex(b'"classes":[')
    card = data[place:].replace(names[0] + b"," + names[1], names[1] + b"," + names[0], 1)
    assert len(card) == len(data[place:])
    path.write_bytes(data[:place] + card)
    for read in (read_card, load, verify):
        with refused("card-changed", kind=ArtifactError):
            read(path)


def test_changed_reference_outputs(model, changed):
    reference = json.loads(read_card(model).reference.model_dump_json())
    reference["logits"][3][1] += 2e-4 * reference["spread"]
    found = verify(changed(reference=reference))
    assert passed(found) == {"hash": True, "numbers": False}
    assert found.findings["numbers"].figures["difference"] == pytest.approx(2e-4, rel=0.1)


def test_a_broken_program_is_a_finding(changed):
    found = verify(changed(swap=(b"\x22\x04Conv", b"\x22\x04Gonv")))
    assert passed(found) == {"hash": False, "numbers": False}
    assert "does not run: onnxruntime cannot load" in found.findings["numbers"].summary


@pytest.fixture
def without_gpu():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("needs a runtime without a GPU")


@pytest.mark.usefixtures("without_gpu")
def test_a_missing_device_is_not_the_fault_of_the_file(model, changed, bars):
    found = verify(model, data=str(bars), device="cuda")
    assert passed(found) == {"hash": True, "numbers": None, "data": None}
    assert not found.passed
    for name in ("numbers", "data"):
        assert found.findings[name].summary.startswith("Not checked: onnxruntime cannot run on 'cuda' here.")
    broken = verify(changed(swap=(b"\x22\x04Conv", b"\x22\x04Gonv")), device="cuda")
    assert passed(broken) == {"hash": False, "numbers": False}


def test_cards_without_answers_or_with_those_to_other_pictures(model, changed):
    assert passed(verify(changed(reference=None, schema_version=1))) == {"hash": True, "numbers": None}
    reference = json.loads(read_card(model).reference.model_dump_json())
    found = verify(changed(reference=reference | {"pictures": 7}))
    assert passed(found) == {"hash": True, "numbers": None}
    assert "version 7" in found.findings["numbers"].summary
    assert not found.passed


def test_another_number_of_classes_is_a_finding(model, changed):
    fields = json.loads(read_card(model).model_dump_json())
    logits = [[*row, 0.0] for row in fields["reference"]["logits"]]
    path = changed(
        classes=[*fields["classes"], "fourth"], confusion=None, reference=fields["reference"] | {"logits": logits}
    )
    assert "shape [7, 3]" in verify(path).findings["numbers"].summary


def test_newer_cards_and_other_files_are_errors(changed, tmp_path):
    with refused("card-newer", "99", kind=ArtifactError):
        verify(changed(schema_version=99))
    with refused("missing-file", "absent.onnx", kind=UsageError):
        verify(tmp_path / "absent.onnx")
    with refused("unknown-suffix", "test_verify.py", kind=UsageError):
        verify(tmp_path / __file__)


def test_the_figures_on_its_data(model, changed, bars, weight):
    found = verify(model, data=str(bars))
    assert passed(found) == {"hash": True, "numbers": True, "data": True}
    assert found.findings["data"].figures["found"]["num_pictures"] == 18
    metrics = read_card(model).metrics
    wrong = verify(changed(metrics=metrics | {"top1": metrics["top1"] - 2 / 18}), data=str(bars))
    assert passed(wrong) == {"hash": True, "numbers": True, "data": False}
    near = verify(changed(metrics=metrics | {"top1": metrics["top1"] - 1 / 18}), data=str(bars))
    assert near.passed
    other = verify(model, data=str(bars / "train"))
    assert other.findings["data"].passed is None
    assert "zoo evaluate" in other.findings["data"].summary
    with refused("missing-dataset", "absent", kind=UsageError):
        verify(model, data="./absent")


def test_a_file_in_lower_precision_may_have_lost_its_budget(changed, bars):
    metrics = read_card(changed()).metrics
    lost = {"metrics": metrics | {"top1": metrics["top1"] - 3 / 18}}
    spent = {"checks": [{"name": "accuracy", "allowed": 20.0}]}
    for card, expected in (({}, False), ({"precision": "int8"}, False), ({"precision": "int8", "parity": spent}, True)):
        assert verify(changed(**lost, **card), data=str(bars)).findings["data"].passed is expected, card


def test_validation_pictures_cut_from_a_folder_are_cut_again(changed, bars, tmp_path):
    shutil.copytree(bars / "train", tmp_path / "photos")
    recipe = read_card(changed()).recipe | {"dataset": "photos", "seed": 3}
    path = changed(
        dataset={"name": "photos", "source": "photos"},
        recipe=recipe,
        metrics_split="validation",
        metrics={"top1": 1.0, "num_pictures": 12},
    )
    found = verify(path, data=str(tmp_path / "photos")).findings["data"]
    assert (found.figures["split"], found.figures["found"]["num_pictures"]) == ("validation", 12)


def test_parity_with_a_run(model, trained, changed, weight, tmp_path):
    assert passed(verify(model, against=trained.path)) == {"hash": True, "numbers": True, "against": True}
    found = verify(changed(swap=weight), against=trained.path)
    assert found.findings["against"].passed is None
    with refused("run-missing", tmp_path, kind=UsageError):
        verify(model, against=tmp_path)


def test_heat_maps_are_compared_with_those_of_the_run(model, trained, changed):
    claimed = changed(exported=read_card(model).exported | {"heatmap": True})
    assert passed(verify(claimed, against=trained.path)) == {"hash": True, "numbers": True, "against": False}


def test_parity_with_another_run(model, trained, weight, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained.path, other)
    exchange(other, _2_bias=0.01)
    found = verify(model, against=other).findings["against"]
    assert (found.passed, "does not agree" in found.summary) == (False, True)


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_the_command(model, changed, bars, weight):
    good = run_zoo(model, "--data", bars)
    assert good.exit_code == 0, good.output
    for word in (
        "content hash",
        "numbers",
        "figures on the data",
        "passed",
        "7 synthetic pictures",
        "18 test pictures",
    ):
        assert word in good.stdout
    bad = run_zoo(changed(swap=weight, rehash=True), "--json")
    assert bad.exit_code == 1
    report = json.loads(bad.stdout)
    assert (report["passed"], report["format"], report["precision"]) == (False, "onnx", "fp32")
    assert {name: check["passed"] for name, check in report["checks"].items()} == {"hash": True, "numbers": False}


def test_untrusted_words_do_not_steer_the_terminal(changed):
    done = run_zoo(changed(content_hash="\x1b[31m\x07"))
    assert done.exit_code == 1
    assert not {"\x1b", "\x07"} & set(done.stdout)


def test_it_says_what_it_does_and_how_far_it_is(model, trained, bars):
    said = []
    verify(model, data=str(bars), against=trained.path, progress=said.append)
    first = list(dict.fromkeys(line.partition(" (")[0] for line in said))
    assert first == [
        "checking its content",
        "checking its numbers",
        "evaluating test pictures",
        "loading the run and its pictures",
        "running the classifier on the pictures of the parity check",
        "comparing it with the run",
    ]
    assert "evaluating test pictures (18 of 18)" in said
    assert said[-1].endswith(" batches)")


def test_the_command_shows_it_on_stderr_alone(model):
    command = [sys.executable, "-m", "zoo", "verify", model, "--json"]
    terminal = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=terminal)
    assert json.loads(done.stdout)["passed"], done.stderr
    assert "checking its numbers" in done.stderr  # which takes longer than a frame


def test_no_torch_is_needed(model, bars, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not installed')")
    search = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    command = [sys.executable, "-m", "zoo", "verify", model, "--data", bars, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": search})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"]
    done = subprocess.run(
        [*command[:5], "--against", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": search},
    )
    assert (done.returncode, "visionzoo[train]" in done.stderr) == (1, True)


def test_the_card_of_an_export_is_whole(model):
    card = read_card(model)
    assert Card.parse(card.sealed()) == card
    assert card.card_hash
    assert len(card.curves) == 6
    assert sum(card.confusion.support) == 18
