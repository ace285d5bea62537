"""The programs of docs/loaders.md answer as `zoo.load` does, with this project out of their reach."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.images import read_picture
from zoo.registry import registry
from zoo.specs import WriteOptions

from ..cards import any_card

PAGE = Path(__file__).parents[2] / "docs" / "loaders.md"
WEB = Path(__file__).parents[1] / "web"
OURS = ("zoo", "zoo_exporters", "zoo_torchvision", "zoo_demo", "zoo_serve")
SIZES = [(24, 24), (37, 53), (1, 1), (1, 700), (300, 2), (301, 200)]
BATCH = 3

unable = [name for name in ("node", "npm") if shutil.which(name) is None]
unable += [] if (WEB / "node_modules" / "onnxruntime-web").is_dir() else ["onnxruntime-web (npm install in tests/web)"]
needs_web = pytest.mark.skipif(
    bool(unable) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(unable)}"
)


def program(title: str, language: str) -> str:
    """The code of the section that begins with that title."""
    sections = {text.partition(":")[0]: text for text in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]}
    (code,) = re.findall(rf"```{language}\n(.*?)```", sections[title], re.DOTALL)
    return code


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory) -> dict[str, Path]:
    """By format, a file as `zoo export` leaves it, but for the parity check, which takes longer than these tests."""
    folder, classifier = tmp_path_factory.mktemp("files"), trained.classifier()
    return {name: write(name, classifier, folder) for name in ("onnx", "torchscript", "pt2")}


def write(name: str, classifier, folder: Path) -> Path:
    exporter = registry().exporter(name).spec
    path = folder / f"model{exporter.suffix}"
    exporter.write(classifier, path, WriteOptions())
    card = any_card(
        format=name,
        classes=classifier.classes,
        preprocess=classifier.spec,
        dataset={"name": "bars"},
        content_hash=exporter.content_hash(path),
    )
    exporter.write_card(path, card.model_dump_json())
    return path


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> dict[str, str]:
    """An environment in which importing anything of ours fails."""
    trap = tmp_path_factory.mktemp("trap")
    for name in OURS:
        (trap / f"{name}.py").write_text("raise ImportError('this is the project itself')\n")
    return {**os.environ, "PYTHONPATH": str(trap), "PYTHONSAFEPATH": "1"}


@pytest.fixture(scope="module")
def photo(bars, tmp_path_factory) -> Path:
    """Grey and lying on its side: only a decoder that follows the EXIF orientation turns it upright."""
    with Image.open(sorted((bars / "test" / "bar").iterdir())[1]) as upright:
        turned = upright.convert("L").rotate(-90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    turned.save(path, exif=exif, quality=95)
    return path


def pictures() -> list[np.ndarray]:
    """uint8 `[n, H, W, 3]` of several sizes; the last one is a batch."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8) for height, width in SIZES]
    return [*noise, rng.integers(0, 256, (BATCH, 40, 30, 3), dtype=np.uint8)]


def run(command: list[str | Path], environment: dict[str, str], given: bytes = b"") -> str:
    ended = subprocess.run(command, env=environment, input=given, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode()


def agrees(said: str, file: Path, photo: Path) -> bool:
    expected = zoo.load(file).predict([photo])[0]
    label, probability = said.split()
    return label == expected.label and abs(float(probability) - expected.probability) < 1e-5


def test_the_trap_shuts(elsewhere):
    for name in OURS:
        ended = subprocess.run(
            [sys.executable, "-c", f"import {name}"], env=elsewhere, capture_output=True, check=False
        )
        assert b"this is the project itself" in ended.stderr, name


@pytest.mark.parametrize("title", ["ONNX", "TorchScript", "pt2"])
def test_ten_lines_of_python_answer_alike(title, files, elsewhere, photo, tmp_path):
    code, name = program(f"{title}, Python", "python"), title.lower()
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    script = tmp_path / "loader.py"
    script.write_text(code)
    said = run([sys.executable, script, files[name], photo], elsewhere)
    assert agrees(said, files[name], photo), said


@needs_web
def test_onnxruntime_web_answers_alike(files, elsewhere, tmp_path):
    assert not unable, f"not installed: {unable}"
    loader = tmp_path / "loader.mjs"
    loader.write_text(program("ONNX, browser and Node", "js"))
    (tmp_path / "node_modules").symlink_to(WEB / "node_modules")
    shutil.copy(WEB / "answers.mjs", tmp_path)
    given = [
        {
            "width": images.shape[2],
            "height": images.shape[1],
            "batch": len(images),
            "rgb": base64.b64encode(images.tobytes()).decode(),
        }
        for images in pictures()
    ]
    said = run(["node", tmp_path / "answers.mjs", loader, files["onnx"]], elsewhere, json.dumps(given).encode())
    got = np.concatenate([np.reshape(row, (-1, 3)) for row in json.loads(said)])
    predictor = zoo.load(files["onnx"])
    want = np.concatenate([predictor.runtime(images) for images in pictures()])
    assert got.shape == want.shape == (len(SIZES) + BATCH, 3)
    assert np.abs(got - want).max() < 1e-4 * want.std(axis=0).mean()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_libtorch_answers_alike(files, elsewhere, photo, tmp_path):
    import torch

    home = Path(torch.__file__).parent
    source, binary = tmp_path / "loader.cpp", tmp_path / "loader"
    source.write_text(program("TorchScript, C++", "cpp"))
    headers = [f"-I{home / 'include'}", f"-I{home / 'include/torch/csrc/api/include'}"]
    libraries = [f"-L{home / 'lib'}", f"-Wl,-rpath,{home / 'lib'}", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10"]
    run(["g++", "-O0", "-std=c++20", source, *headers, *libraries, "-o", binary], elsewhere)
    predictor = zoo.load(files["torchscript"])
    pixels = read_picture(photo)
    height, width = pixels.shape[:2]
    index, probability = run(
        [binary, files["torchscript"], str(height), str(width)], elsewhere, pixels.tobytes()
    ).split()
    assert agrees(f"{predictor.classes[int(index)]} {probability}", files["torchscript"], photo)
