"""Files for PyTorch: what an untrusted one cannot do, and how an own one is compared with its classifier."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.errors import ArtifactError, ExportError
from zoo.models.classifier import Classifier
from zoo.specs import LoadOptions, PreprocessSpec, WriteOptions
from zoo_exporters import pt2_check
from zoo_exporters.plugin import zoo_exporters

from ..refusals import refused

FORMATS = {spec.name: spec for spec in zoo_exporters() if spec.name != "onnx"}


def make_classifier(seed: int = 0, network: nn.Module | None = None) -> Classifier:
    torch.manual_seed(seed)
    network = network or nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(36, 3)
    )
    return Classifier(network, "abc", PreprocessSpec(image_size=8), check=False).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By format, an own file, and what its exporter said of it."""
    found = {}
    for name, spec in FORMATS.items():
        path = tmp_path_factory.mktemp(name) / f"model{spec.suffix}"
        found[name] = path, spec.write(make_classifier(), path, WriteOptions())
    return found


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, target: Path, changed: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for name, value in (entries(path) | changed).items():
            archive.writestr(zipfile.ZipInfo(name), value)
    return target


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def touching(path: Path) -> str:
    """Python that makes a file, where it is evaluated."""
    return f"__import__('pathlib').Path({str(path)!r}).touch()"


def walk(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def guards(program: dict, trap: Path) -> None:
    program["guards_code"] = [touching(trap)]


def expression(program: dict, trap: Path) -> None:
    for table in walk(program):
        if "expr_str" in table:
            table["expr_str"] = touching(trap)


def operator(program: dict, trap: Path) -> None:
    node = next(
        node
        for node in program["graph_module"]["graph"]["nodes"]
        if "relu" in node["target"] or "linear" in node["target"]
    )
    argument = {"name": "", "arg": {"as_string": f"touch {trap}"}, "kind": 1}
    node |= {"target": "torch.os.system", "inputs": [argument], "metadata": {}}


def source(program: dict, trap: Path) -> None:
    text = json.dumps(program).replace('"linear"', json.dumps(f"linear = {touching(trap)}; linear"))
    program.update(json.loads(text))


def reads(program: dict, trap: Path) -> None:
    node = next(node for node in program["graph_module"]["graph"]["nodes"] if "linear" in node["target"])
    arguments = [str(trap), True, 4]
    kinds = ("as_string", "as_bool", "as_int")
    named = [{"name": "", "arg": {kind: value}, "kind": 1} for kind, value in zip(kinds, arguments, strict=True)]
    node |= {"target": "torch.ops.aten.from_file.default", "inputs": named}


def overruns(program: dict, trap: Path) -> None:
    node = next(node for node in program["graph_module"]["graph"]["nodes"] if "linear" in node["target"])
    node["target"] = "torch.ops.aten._sparse_coo_tensor_unsafe.default"


def climbs(program: dict, trap: Path) -> None:
    node = next(node for node in program["graph_module"]["graph"]["nodes"] if "linear" in node["target"])
    node["target"] = "torch.ops.aten.__class__.__subclasses__"


PROGRAM = f"archive/{pt2_check.PROGRAM}"
TRAPS = {
    guards: ("foreign-value", "guards_code"),
    expression: ("foreign-value", "expr_str"),
    operator: ("foreign-value", "target"),
    source: ("foreign-value", "name"),
    reads: ("foreign-value", "target"),
    overruns: ("foreign-value", "target"),
    climbs: ("foreign-value", "target"),
}


@pytest.mark.parametrize(("trap", "refusal"), TRAPS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_program_runs_nothing_of_its_own(files, tmp_path, trap, refusal):
    path, _ = files["pt2"]
    program = json.loads(entries(path)[PROGRAM])
    trap(program, tmp_path / "trap")
    bad = rewritten(path, tmp_path / "bad.pt2", {PROGRAM: json.dumps(program).encode()})
    with refused(*refusal, "bad.pt2", kind=ArtifactError):
        FORMATS["pt2"].load(bad, LoadOptions())
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("name", ["torchscript", "pt2"])
@pytest.mark.parametrize("place", [0, "its own"])
def test_no_second_directory_is_believed(files, tmp_path, name, place):
    """PyTorch's reader follows the locator of a ZIP64 record, Python's reads what lies in front of the locator."""
    path, _ = files[name]
    data = path.read_bytes()
    count, length, start = struct.unpack("<10xHII2x", data[-22:])
    here = len(data) - 22
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, here if place else place, 1)
    bad = tmp_path / path.name
    bad.write_bytes(data[:-22] + record + locator + data[-22:])
    for read in (FORMATS[name].read_card, lambda p: FORMATS[name].load(p, LoadOptions())):
        with refused("damaged-file", bad, kind=ArtifactError):
            read(bad)


def pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_nothing_is_unpickled(files, tmp_path):
    path, _ = files["pt2"]
    trap = pickled(Touch(tmp_path / "trap"))
    weights = json.loads(entries(path)[f"archive/{pt2_check.WEIGHTS}"])
    first = next(iter(weights["config"].values()))
    first["use_pickle"] = True
    pickled_weights = {
        f"archive/{pt2_check.WEIGHTS}": json.dumps(weights).encode(),
        f"archive/data/weights/{first['path_name']}": trap,
    }
    for changed, code in (
        ({f"archive/{pt2_check.SAMPLES}": trap}, "foreign-samples"),
        ({"archive/data/weights/model.pt": trap}, "foreign-entry"),
        ({"archive/data/constants/model.pt": trap}, "foreign-entry"),
        ({"archive/data/constants/custom_obj_0": trap}, "foreign-entry"),
        ({"archive/data/constants/opaque_obj_0": pickle.dumps(Touch(tmp_path / "trap"))}, "foreign-entry"),
        (pickled_weights, "foreign-value"),
    ):
        with refused(code, "bad.pt2", kind=ArtifactError):
            FORMATS["pt2"].load(rewritten(path, tmp_path / "bad.pt2", changed), LoadOptions())
        assert not (tmp_path / "trap").exists()


def test_native_code_is_not_loaded(files, tmp_path):
    path, _ = files["pt2"]
    bad = rewritten(path, tmp_path / "bad.pt2", {"archive/data/aotinductor/model/model.so": b"\x7fELF"})
    for read in (
        FORMATS["pt2"].read_card,
        FORMATS["pt2"].content_hash,
        lambda p: FORMATS["pt2"].load(p, LoadOptions()),
    ):
        with refused("foreign-entry", "aotinductor", kind=ArtifactError):
            read(bad)


def test_tensors_larger_than_their_bytes_are_refused(files, tmp_path):
    path, _ = files["pt2"]
    config = json.loads(entries(path)[f"archive/{pt2_check.WEIGHTS}"])
    first = next(iter(config["config"].values()))
    first["tensor_meta"]["sizes"] = [{"as_int": 2**40}]
    changed = {
        f"archive/{pt2_check.WEIGHTS}": json.dumps(config).encode(),
        f"archive/data/weights/{first['path_name']}": b"",  # PyTorch makes zeros for it
    }
    with refused("foreign-tensor", "bad.pt2", kind=ArtifactError):
        FORMATS["pt2"].load(rewritten(path, tmp_path / "bad.pt2", changed), LoadOptions())


class Writes(nn.Module):
    def forward(self, x):
        torch.save(x, "trap")
        return x, x


class Reads(nn.Module):
    def forward(self, x):
        y = torch.from_file("trap", True, 4)
        return x + y.sum(), x


@pytest.mark.parametrize("module", [Writes, Reads])
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_touches_no_files(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module()), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "bad.pt", "w") as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    with refused("foreign-code", "bad.pt", kind=ArtifactError):
        FORMATS["torchscript"].load(tmp_path / "bad.pt", LoadOptions())(np.zeros((1, 4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    "code",
    [
        "x = torch\ny = x.save(z, 'trap')",
        "y = getattr(torch.autograd, 'sa' 've')(z, 'trap')",
        "y = getattr(self, name)",
        "y = ops.image.write_file('trap', z)",
        "y = __torch__.torch.classes.dist_c10d.Store()",
        "y = torch . save(z, 'trap')",
        "y = torch._sparse_coo_tensor_unsafe(z, z, [3])",
        "f = torch.save",
        "f = ops.aten._sparse_coo_tensor_unsafe",
        "y = z.set_(z)",
        '#\r"""\ny = torch.save(z, "trap")\n#\r"""',
        "not python at all",
    ],
)
def test_torchscript_has_no_way_round(files, tmp_path, code):
    path, _ = files["torchscript"]
    name = next(name for name in entries(path) if "zoo_exporters/program" in name)
    bad = rewritten(path, tmp_path / "bad.pt", {name: entries(path)[name] + code.encode()})
    with refused("foreign-code", "bad.pt", kind=ArtifactError):
        FORMATS["torchscript"].load(bad, LoadOptions())


class Unusual(nn.Module):
    """A network of its own: a module and operators whose names are near those that are refused."""

    def __init__(self):
        super().__init__()
        self._nested_block = nn.Conv2d(3, 2, 3)

    def forward(self, x):
        x = self._nested_block(x)
        return (x * ((x > 0.1) & (x < 0.9))).mean((2, 3))


@pytest.mark.parametrize("name", ["torchscript", "pt2"])
def test_unusual_networks_are_written_and_read(name, tmp_path):
    classifier = Classifier(Unusual(), "ab", PreprocessSpec(image_size=8), check=False).eval()
    path = tmp_path / f"model{FORMATS[name].suffix}"
    FORMATS[name].write(classifier, path, WriteOptions())
    assert FORMATS[name].load(path, LoadOptions())(np.zeros((1, 9, 9, 3), np.uint8)).shape == (1, 2)


def test_an_encoding_hides_no_code(files, tmp_path):
    """Python would read all between the last two lines as text, PyTorch would run it."""
    path, _ = files["torchscript"]
    name = next(name for name in entries(path) if "zoo_exporters/program" in name)
    hidden = b"# coding: utf-7\n# +AAoAIgAiACI-\n" + b"torch.save(x, 'trap')\n" + b"# +ACIAIgAi-\n"
    bad = rewritten(path, tmp_path / "bad.pt", {name: hidden})
    with refused("foreign-code", "bad.pt", kind=ArtifactError):
        FORMATS["torchscript"].load(bad, LoadOptions())


@pytest.mark.parametrize("name", FORMATS)
def test_an_own_file_diverges_from_nothing(files, name):
    path, written = files[name]
    assert written.divergence(path, np.zeros((1, 8, 8, 3), np.uint8)) is None


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_weight_that_differs_is_named(files, tmp_path, name):
    path, written = files[name]
    classifier = make_classifier()
    pictures = np.zeros((1, 8, 8, 3), np.uint8)
    old = classifier.network[4].bias.detach().numpy()
    new = old.copy()
    new[1] += 0.5
    changed = {key: value.replace(old.tobytes(), new.tobytes()) for key, value in entries(path).items()}
    bad = rewritten(path, tmp_path / path.name, changed)
    assert written.divergence(bad, pictures) == "network.4.bias differs from the classifier's by up to 0.5"
    old = classifier.preprocess.std.numpy()
    changed = {key: value.replace(old.tobytes(), (2 * old).tobytes()) for key, value in entries(path).items()}
    bad = rewritten(path, tmp_path / path.name, changed)
    assert written.divergence(bad, pictures).startswith("preprocess.std differs from the classifier's by up to 58")


class Forgets(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(192, 3)

    def forward(self, x):
        if self.kind == "norm":
            x = F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)
        else:
            x = F.dropout(x, 0.5)
        return self.head(x.flatten(1))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("kind", "words"), [("norm", "own statistics"), ("drop", "drops values at random")])
def test_training_mode_is_named(tmp_path, name, kind, words):
    spec = FORMATS[name]
    path = tmp_path / f"model{spec.suffix}"
    try:
        written = spec.write(make_classifier(network=Forgets(kind)), path, WriteOptions())
    except ExportError:
        pytest.fail("it is written, and then compared")
    said = written.divergence(path, np.zeros((1, 8, 8, 3), np.uint8))
    assert words in said
    assert "training mode" in said


@pytest.mark.parametrize("name", FORMATS)
def test_a_program_moves_to_a_device_with_all_that_it_makes(files, name, monkeypatch):
    """`meta` stands for a device that this machine has not: what stays behind on the CPU fails there."""
    path, _ = files[name]
    monkeypatch.setattr("zoo_exporters.program.require_device", lambda device: None)
    runtime = FORMATS[name].load(path, LoadOptions(device="meta"))
    came = []

    def fetched(logits: torch.Tensor) -> torch.Tensor:
        """Stands for the way back from a device that holds no values."""
        came.append(logits.device.type)
        return torch.zeros(logits.shape)

    monkeypatch.setattr(torch.Tensor, "cpu", fetched)
    assert runtime(np.zeros((2, 9, 9, 3), np.uint8)).shape == (2, 3)
    assert came == ["meta"]
