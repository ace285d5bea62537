"""The built-in formats: what they compute, and how they treat cards, damage and untrusted files."""

from __future__ import annotations

import copy
import logging
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import ArtifactError, ExportError, MissingExtraError
from zoo.models.classifier import Classifier
from zoo.specs import MAX_CARD_BYTES, LoadOptions, PreprocessSpec, WriteOptions
from zoo_exporters.plugin import zoo_exporters

from ..refusals import refused

FORMATS = {spec.name: spec for spec in zoo_exporters()}
SHAPES = [
    (1, 1, 1),
    (3, 1, 5000),
    (2, 5000, 1),
    (1, 16, 16),
    (7, 16, 16),
    (2, 15, 33),
    (1, 301, 200),
    (2, 2, 3),
]
CARD = '{"classes": ["ä", "b"]}'


def make_classifier(**spec) -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(72, 4),
    )
    return Classifier(network, "abcd", PreprocessSpec(image_size=16, **spec), check=False).eval()


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> dict[str, bytes]:
    """By format, a file without a card, of a classifier that crops and is grey."""
    folder = tmp_path_factory.mktemp("contents")
    for name, spec in FORMATS.items():
        spec.write(make_classifier(crop_fraction=0.875, channels="grey"), folder / name, WriteOptions())
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.fixture(params=FORMATS)
def exporter(request):
    return FORMATS[request.param]


@pytest.fixture
def content(exporter, contents) -> bytes:
    return contents[exporter.name]


@pytest.fixture
def file(exporter, content, tmp_path) -> Path:
    path = tmp_path / f"model{exporter.suffix}"
    path.write_bytes(content)
    return path


@pytest.fixture
def onnx_file(contents, tmp_path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(contents["onnx"])
    return path


@pytest.fixture
def torchscript_file(contents, tmp_path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(contents["torchscript"])
    return path


def differences(exporter, path: Path, classifier: Classifier) -> list[float]:
    runtime = exporter.load(path, LoadOptions())
    rng = np.random.default_rng(0)
    found = []
    for shape in SHAPES:
        images = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        images.flags.writeable = False
        logits = runtime(images)
        assert logits.dtype == np.float32
        with torch.inference_mode():
            expected = classifier(torch.from_numpy(images.copy())).numpy()
        assert logits.shape == expected.shape
        found.append(float(np.abs(logits - expected).max()))
    return found


def test_agrees_on_any_batch_and_size(exporter, file):
    assert max(differences(exporter, file, make_classifier(crop_fraction=0.875, channels="grey"))) < 2e-6


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"resize": "squash"},
        {"resize": "crop", "crop_fraction": 0.875, "interpolation": "bicubic"},
        {"resize": "squash", "interpolation": "bicubic"},
        {"resize": "shorter", "crop_fraction": 0.875},
        {"resize": "shorter", "crop_fraction": 0.9, "interpolation": "bicubic", "channels": "grey"},
    ],
    ids=str,
)
def test_whole_crops_and_squashes_agree(exporter, spec, tmp_path):
    path = tmp_path / f"model{exporter.suffix}"
    exporter.write(make_classifier(**spec), path, WriteOptions())
    assert max(differences(exporter, path, make_classifier(**spec))) < 2e-6


def test_the_onnx_face_is_named(onnx_file):
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    faces = [(face.name, face.shape, face.type) for face in (*session.get_inputs(), *session.get_outputs())]
    assert faces == [
        ("image", ["batch", "height", "width", 3], "tensor(uint8)"),
        ("logits", ["batch", 4], "tensor(float)"),
        ("probabilities", ["batch", 4], "tensor(float)"),
    ]
    probabilities = session.run(["probabilities"], {"image": np.zeros((2, 5, 6, 3), np.uint8)})[0]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_writing_is_quiet_and_leaves_the_classifier_alone(exporter, tmp_path, capfd):
    classifier = make_classifier().double().train()
    before = copy.deepcopy(classifier.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exporter.write(classifier, tmp_path / f"model{exporter.suffix}", WriteOptions())
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    for name, value in classifier.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


def test_files_hold_no_paths_of_their_maker(content):
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b'.py", line' not in content


def test_a_network_that_cannot_be_expressed_says_why(exporter, tmp_path, capfd):
    class Stubborn(nn.Module):
        def forward(self, pixels):
            raise ValueError("no tracing here")

    with refused("network-not-exported", "no tracing here", kind=ExportError):
        exporter.write(
            Classifier(Stubborn(), "ab", PreprocessSpec(image_size=8), check=False).eval(),
            tmp_path / "model",
            WriteOptions(),
        )
    assert capfd.readouterr() == ("", "")


def test_a_refusal_is_as_quiet_as_a_success(tmp_path, capfd, caplog):
    class Deciding(nn.Module):
        def forward(self, pixels):
            return pixels.mean((2, 3)) if pixels.sum() > 0 else pixels.amax((2, 3))

    with refused("network-not-exported", "data-dependent", kind=ExportError):
        FORMATS["onnx"].write(
            Classifier(Deciding(), "abc", PreprocessSpec(image_size=8), check=False).eval(),
            tmp_path / "m",
            WriteOptions(),
        )
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_torchscript_refuses_pythons_it_is_not_made_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with refused("torchscript-python", "3.14", "--onnx", kind=ExportError):
        FORMATS["torchscript"].write(make_classifier(), tmp_path / "model.pt", WriteOptions())


def test_the_card_goes_in_and_comes_out(exporter, file, content):
    bare = exporter.content_hash(file)
    assert exporter.read_card(file) is None
    exporter.write_card(file, CARD)
    assert exporter.read_card(file) == CARD
    assert exporter.content_hash(file) == bare
    assert exporter.load(file, LoadOptions())(np.zeros((1, 4, 4, 3), np.uint8)).shape == (1, 4)
    with refused("card-exists", file, kind=ArtifactError):
        exporter.write_card(file, CARD)


def test_other_readers_see_the_card(onnx_file):
    import onnx

    FORMATS["onnx"].write_card(onnx_file, CARD)
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"zoo.card": CARD}
    assert model.opset_import[0].version == 18


def test_the_hash_covers_every_byte_of_the_weights(exporter, file):
    bare = exporter.content_hash(file)
    bias = make_classifier().network[5].bias.detach().numpy().tobytes()
    position = file.read_bytes().index(bias)
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)
    try:
        assert exporter.content_hash(file) != bare
    except ArtifactError as error:  # a zip has checksums of its own
        assert error.code == "damaged-file"


def test_a_card_too_large_is_not_written(exporter, file, content):
    with refused("card-too-large", "16 MiB", kind=ExportError):
        exporter.write_card(file, " " * (MAX_CARD_BYTES + 1))
    assert file.read_bytes() == content


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_files_are_refused(exporter, file, content, share):
    file.write_bytes(content[: int(len(content) * share)])
    for read in (exporter.read_card, exporter.content_hash, lambda path: exporter.load(path, LoadOptions())):
        with pytest.raises(ArtifactError) as caught:
            read(file)
        assert caught.value.code in ("damaged-file", "another-format")
        assert str(file) in caught.value.cause


@pytest.mark.parametrize("data", [b"not a model", b"\x00" * 4096, b"\xff" * 4096, b"PK\x05\x06" + b"\x00" * 18])
def test_foreign_files_are_refused(exporter, file, data):
    file.write_bytes(data)
    for read in (exporter.read_card, exporter.content_hash, lambda path: exporter.load(path, LoadOptions())):
        with pytest.raises(ArtifactError):
            read(file)


def test_missing_files_are_named(exporter, tmp_path):
    with refused("unreadable-file", "absent", "no such file", kind=ArtifactError):
        exporter.read_card(tmp_path / f"absent{exporter.suffix}")


def test_an_onnx_card_must_be_the_end_of_the_file(onnx_file):
    import onnx

    FORMATS["onnx"].write_card(onnx_file, CARD)
    carded = onnx_file.read_bytes()
    model = onnx.load(onnx_file)
    onnx.helper.set_model_props(model, {"zoo.card": CARD, "added": "later"})
    onnx.save(model, onnx_file)
    with refused("rewritten-file", onnx_file, kind=ArtifactError):
        FORMATS["onnx"].read_card(onnx_file)
    onnx_file.write_bytes(carded[:-3])
    with refused("damaged-file", onnx_file, kind=ArtifactError):
        FORMATS["onnx"].read_card(onnx_file)


def test_an_onnx_card_that_claims_to_be_huge_is_not_read(onnx_file):
    key = b"\x0a\x08zoo.card"
    with onnx_file.open("ab") as file:
        file.write(b"\x72\xff\xff\xff\xff\x07" + key + b"\x12\xf0\xff\xff\xff\x07")
    with refused("damaged-file", onnx_file, kind=ArtifactError):
        FORMATS["onnx"].read_card(onnx_file)


@pytest.mark.parametrize("optimised", [True, False])
def test_an_unoptimised_session_runs_the_program_as_it_is(optimised):
    from zoo_exporters.program import TorchRuntime

    def module(pixels):
        assert torch._C._get_graph_executor_optimize() is optimised
        return (pixels.float(),)

    TorchRuntime(module, LoadOptions(optimised=optimised))(np.zeros((1, 2, 2, 3), np.uint8))
    assert torch._C._get_graph_executor_optimize()


@pytest.mark.parametrize(
    ("compress", "names", "code"), [(zipfile.ZIP_DEFLATED, 1, "packed-entry"), (zipfile.ZIP_STORED, 2, "entry-twice")]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile names what this test does
def test_torchscript_zips_that_mislead_are_refused(torchscript_file, compress, names, code):
    with zipfile.ZipFile(torchscript_file, "a", compress) as archive:
        for _ in range(names):
            archive.writestr("archive/extra/card.json", CARD + " " * 10**6)
    with refused(code, torchscript_file, kind=ArtifactError):
        FORMATS["torchscript"].read_card(torchscript_file)


def test_other_pytorch_files_are_not_torchscript(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    with refused("damaged-file", path, "TorchScript", kind=ArtifactError):
        FORMATS["torchscript"].read_card(path)


def test_a_zip_entry_that_claims_to_be_huge_is_not_read(torchscript_file):
    FORMATS["torchscript"].write_card(torchscript_file, CARD)
    data = torchscript_file.read_bytes()
    size = len(CARD.encode())
    entry = data.rindex(b"archive/extra/card.json") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    assert struct.unpack_from("<I", data, entry + 24)[0] == size
    torchscript_file.write_bytes(data[: entry + 20] + struct.pack("<II", 2**31, 2**31) + data[entry + 28 :])
    with refused("damaged-file", torchscript_file, kind=ArtifactError):
        FORMATS["torchscript"].read_card(torchscript_file)


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [("onnx", "onnxruntime", "onnx"), ("torchscript", "torch", "train"), ("pt2", "torch", "train")],
)
def test_a_missing_runtime_names_the_extra(name, missing, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with refused("missing-extra", f"visionzoo[{extra}]", kind=MissingExtraError):
        FORMATS[name].load(tmp_path / "any", LoadOptions())


def test_a_device_that_is_not_there(file, exporter):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with refused("device-missing", "'cuda'", kind=ArtifactError):
        exporter.load(file, LoadOptions(device="cuda"))
