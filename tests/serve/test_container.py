"""The container's files name what exists. Nothing here runs docker."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

pytest.importorskip("uvicorn", reason="the serve extra is not installed")

import typer

from zoo_serve.limits import Limits
from zoo_serve.plugin import serve
from zoo_serve.server import END_SECONDS
from zoo_serve.settings import TOKEN
from zoo_serve.state import State

from ..demo.test_demo import onnx_artifact
from .process import serving

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "serve"


def instructions() -> dict[str, list[str]]:
    """The lines of the Dockerfile by their first word."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line:
            word, _, rest = line.partition(" ")
            found.setdefault(word, []).append(rest.strip())
    return found


@pytest.fixture
def service() -> dict:
    (service,) = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    return service


def options() -> set[str]:
    app = typer.Typer()
    app.command()(serve)
    return {name for parameter in typer.main.get_command(app).params for name in parameter.opts}


def healthcheck() -> list[str]:
    return json.loads(instructions()["HEALTHCHECK"][0].partition("CMD ")[2])


def test_the_image_installs_the_wheel_with_an_extra_that_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (install,) = instructions()["RUN"]
    (extra,) = re.findall(r"\.whl\)\[(\w+)\]", install)
    assert extra in project["optional-dependencies"]
    assert f"{project['name']}-0.0-py3-none-any.whl".startswith(
        re.search(r"dist/(\w+-)\*\.whl", instructions()["COPY"][0])[1]
    )
    (base,) = instructions()["FROM"]
    version = re.fullmatch(r"python:(3\.\d+)-slim", base)[1]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_image_does_not_run_as_root(service):
    (user,) = instructions()["USER"]
    assert all(int(number) > 0 for number in user.split(":"))
    assert "user" not in service
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["volumes"][0].endswith(":/models:ro")


def test_the_options_and_the_variable_exist(service):
    command = json.loads(instructions()["ENTRYPOINT"][0])
    assert command[:2] == ["zoo", "serve"]
    words = [*command, *json.loads(instructions()["CMD"][0]), *service["command"]]
    assert {word for word in words if word.startswith("-")} <= options()
    assert set(service["environment"]) == {TOKEN}
    assert service["stop_grace_period"] == "45s"
    assert State(Limits()).drain_seconds + END_SECONDS < 45


def test_the_files_that_are_named_exist(service):
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    (target,) = re.findall(r":(\d+)$", service["ports"][0])
    assert instructions()["EXPOSE"] == [target]
    assert f":{target}/" in healthcheck()[-1]
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    for line in ("docker build --file docs/serve/Dockerfile", "docker compose --file docs/serve/compose.yaml"):
        assert line in page
        words = shlex.split(line)
        assert (ROOT / words[words.index("--file") + 1]).is_file()


def test_the_health_check_tells_a_ready_service(tmp_path):
    _, *arguments = healthcheck()
    with serving(onnx_artifact(tmp_path / "model.onnx")) as site:
        check = [sys.executable, *(word.replace(":8000/", f":{site.port}/") for word in arguments)]
        assert subprocess.run(check, check=False, timeout=30).returncode == 0
        site.process.terminate()
        site.process.wait(30)
        assert subprocess.run(check, check=False, timeout=30, capture_output=True).returncode != 0
