"""The folders that the publishers write."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import onnx
import pytest
from browsing import NASTY

from visionzoo_web import models, write
from zoo.errors import ArtifactError, ExportError, UsageError
from zoo.exporting.publishing import publish

ROOT = Path(__file__).parents[1]


def front_matter(readme: Path) -> dict:
    """JSON values are YAML, too."""
    lines = readme.read_text(encoding="utf-8").split("---\n")[1].splitlines()
    return {name: json.loads(value) for name, value in (line.split(": ", 1) for line in lines)}


def test_a_site_is_complete(site, files):
    described = json.loads((site / "site.json").read_text())
    assert [each["bytes"] for each in described["models"]] == [path.stat().st_size for path in files]
    for each, path in zip(described["models"], files, strict=True):
        assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{10}", each["name"])
        assert (site / "models" / f"{each['name']}.onnx").read_bytes() == path.read_bytes()
    listed = json.loads((site / "files.json").read_text())
    assert all((site / name).is_file() for name in listed["own"] + listed["kept"])
    own = {path.name for path in write.SITE.iterdir()} - {"sw.js"}
    assert own < set(listed["own"])
    runtime = site / described["runtime"]
    assert {path.name for path in runtime.iterdir()} == {*write.RUNTIME, *write.WEBGPU, "LICENSE.txt"}
    manifest = json.loads((site / "manifest.webmanifest").read_text())
    assert manifest["name"] == "colours"
    assert all((site / icon["src"]).is_file() for icon in manifest["icons"])
    assert "Cross-Origin-Embedder-Policy: require-corp" in (site / "_headers").read_text()
    front = front_matter(site / "README.md")
    assert front["sdk"] == "static"
    assert front["custom_headers"]["cross-origin-opener-policy"] == "same-origin"


def test_the_version_changes_with_the_model(files, tmp_path):
    versions = set()
    for number, given in enumerate(([files[0]], [files[1]], [files[0]])):
        folder = publish(given, "web", tmp_path / str(number)).folder
        versions.add(json.loads((folder / "files.json").read_text())["version"])
    assert len(versions) == 2


def test_a_readme_has_no_markup_of_a_card(site):
    text = (site / "README.md").read_text(encoding="utf-8").split("---\n")[2]
    assert NASTY in text
    outside = re.sub(r"(`+) .*? \1(?!`)", "", text)
    assert "<" not in outside


def test_models_of_one_name_and_precision_are_numbered(files):
    one, other = models.read_models(files)
    assert write._labels([one, other, one]) == ["colours (1)", other.label, "colours (2)"]


def test_the_accuracy_of_a_converted_file_is_told(files):
    (plain,) = models.read_models(files[:1])
    compared = {"classifier": 0.984, "artifact": 0.972, "pictures": 1500}
    card = plain.card.model_copy(update={"precision": "int8", "parity": {"accuracy": compared}})
    told = dict(dataclasses.replace(plain, card=card).facts())
    assert told["accuracy before the conversion to int8"] == "98.71% of 1,234 test pictures"
    after = told["accuracy after the conversion to int8"]
    assert after == "97.20% of 1,500 compared pictures (98.40% of them before)"
    for found in (None, {}, compared | {"artifact": "1"}, compared | {"pictures": True}):
        card = plain.card.model_copy(update={"precision": "int8", "parity": {"accuracy": found}})
        assert "accuracy after the conversion to int8" not in dict(dataclasses.replace(plain, card=card).facts())
    assert not [term for term, _ in plain.facts() if "conversion" in term]


def test_a_title_is_as_yaml_reads_it(files):
    text = write.readme({"title": '\u82b1 \U0001f33c \x85 \u2028 "a"'}, models.read_models(files[:1]))
    assert text.splitlines()[1] == 'title: "\u82b1 \U0001f33c     \\"a\\""'


def test_a_file_that_was_changed_is_refused(files, tmp_path):
    path = tmp_path / "model.onnx"
    content = onnx.load(files[0])
    content.graph.doc_string = "other"
    onnx.save(content, path)
    with pytest.raises(ArtifactError) as caught:
        publish([path], "web", tmp_path / "site")
    assert caught.value.code == "hash-changed"
    assert not (tmp_path / "site").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"input": "tensor"}, "tensor-input"), ({"exported": {"external_data": True}}, "external-weights")],
)
def test_a_file_that_no_page_can_run_is_refused(change, code, files, monkeypatch, tmp_path):
    card = models.read_card(files[0]).model_copy(update=change)
    monkeypatch.setattr(models, "read_card", lambda _: card)
    with pytest.raises(UsageError) as caught:
        publish(files[:1], "web", tmp_path / "site")
    assert caught.value.code == code


def test_without_the_runtime_the_way_to_it_is_named(files, monkeypatch, tmp_path):
    monkeypatch.setattr(write, "VENDOR", tmp_path / "nothing")
    with pytest.raises(ExportError, match=r"hatch_build\.py") as caught:
        publish(files[:1], "web", tmp_path / "site")
    assert caught.value.code == "missing-browser-runtime"


def test_a_space_serves_the_model(files, tmp_path):
    pytest.importorskip("gradio")
    folder = publish(files, "space", tmp_path / "space").folder
    front = front_matter(folder / "README.md")
    assert (front["sdk"], front["app_file"], front["title"]) == ("gradio", "app.py", "colours")
    assert (folder / "requirements.txt").read_text().startswith("visionzoo[onnx,demo]>=")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"ZOO_HOST": "127.0.0.1", "ZOO_PORT": str(port), "SPACE_HOST": "me-digits.hf.space"}
    command = [sys.executable, folder / "app.py"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert f":{port}" in process.stdout.readline()
            for host in (f"127.0.0.1:{port}", "me-digits.hf.space"):
                request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": host})
                with urllib.request.urlopen(request) as response:
                    assert response.status == 200
        finally:
            process.terminate()


class TestTheRuntime:
    """hatch_build.py fetches it with npm, which here is a script."""

    @pytest.fixture
    def hook(self, monkeypatch, tmp_path):
        import importlib.util

        spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(module, "VENDOR", tmp_path / "vendor")
        return module

    def test_its_version_is_that_of_the_tests(self, hook):
        package = json.loads((ROOT.parents[1] / "tests" / "web" / "package.json").read_text())
        assert package["dependencies"]["onnxruntime-web"] == hook.VERSION
        assert set(hook.FILES) == {*write.RUNTIME, *write.WEBGPU}

    def test_without_npm_there_is_a_sentence(self, hook, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda _: None)
        with pytest.raises(hook.MissingRuntimeError, match=r"npm is not installed, .* Install npm and build again"):
            hook.fetch()

    def test_another_package_of_its_name_is_refused(self, hook, monkeypatch, tmp_path):
        npm = tmp_path / "npm"
        npm.write_text("#!/bin/sh\necho other > onnxruntime-web-1.30.0.tgz\n")
        npm.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda _: str(npm))
        with pytest.raises(hook.MissingRuntimeError, match="its hash is sha512-"):
            hook.fetch()
        assert not (tmp_path / "vendor").exists()

    def test_an_editable_installation_works_without_it(self, hook, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda _: None)
        warned = []
        own = type("Hook", (hook.CustomBuildHook,), {"app": None, "__init__": lambda self: None})()
        monkeypatch.setattr(type(own), "app", type("App", (), {"display_warning": warned.append}), raising=False)
        own.initialize("editable", {})
        assert "npm is not installed" in warned[0]
        with pytest.raises(hook.MissingRuntimeError):
            own.initialize("standard", {})


def test_the_package_contains_page_and_runtime():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["artifacts"] == ["/visionzoo_web/vendor/*"]
    assert "visionzoo_web/onnxruntime-web-LICENSE.txt" in project["project"]["license-files"]
