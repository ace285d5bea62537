"""Checks a release as its users meet it: `make release-check`.

Builds wheel and sdist of all packages, checks their metadata, their files and the changelog, installs them into empty
environments outside the checkout, and trains, exports, predicts and verifies with the wheel.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = [ROOT / "plugins" / name for name in ("visionzoo-efficientnet-lite", "visionzoo-timm", "visionzoo-web")]
SHIPPED = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
    "tests/conftest.py",
    "docs/training.md",
    "zoo/_version.py",
)
# Of a place that the empty environments know nothing of, PYTHONPATH and the virtual environment above all.
VARIABLES = ("PATH", "HOME", "SYSTEMROOT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "LANG")
JOB_SECONDS = 600
DRAW = """
from PIL import Image, ImageDraw
digit = Image.new("L", (28, 28))
ImageDraw.Draw(digit).line((14, 4, 14, 24), 255, 3)
digit.save("one.png")
"""
FILES = """
from importlib.metadata import files
for file in files("visionzoo"):
    if file.hash:
        print(file, file.hash.value)
"""


class CheckError(Exception):
    """A reason not to release."""


class Steps:
    """Runs the checks one after the other and keeps how long each took."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float]] = []

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        print(f"--- {what}", flush=True)
        started = time.perf_counter()
        yield
        self.taken.append((what, time.perf_counter() - started))

    def report(self) -> None:
        print("\nReady to release:")
        for what, seconds in self.taken:
            print(f"{seconds:7.1f} s  {what}")
        print(f"{sum(seconds for _, seconds in self.taken):7.1f} s  together")


def run(*command: str | Path, where: Path, seconds: int | None = None, **variables: str) -> str:
    """The standard output of a command that succeeds. Raises `CheckError`."""
    shown = " ".join(str(word) for word in command)
    kept = {name: value for name, value in os.environ.items() if name in VARIABLES or name.startswith("PIP_")}
    try:
        done = subprocess.run(
            command, cwd=where, env=kept | variables, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"{shown}\ntook more than {seconds} seconds.") from None
    if done.returncode:
        raise CheckError(f"{shown}\nended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def check_changelog(tag: str | None) -> str:
    """The version, which the changelog describes under its own name or, before there is a tag, as unreleased."""
    found = re.search(r'__version__ = "(.+)"', (ROOT / "zoo" / "_version.py").read_text(encoding="utf-8"))
    assert found
    version = found[1]
    if tag not in (None, f"v{version}"):
        raise CheckError(f"The tag {tag} is not that of version {version}: see zoo/_version.py.")
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    wanted = (version,) if tag else (version, "Unreleased")
    entries = [section.partition("\n")[2].strip() for section in sections if section.split()[0] in wanted]
    if not any(entries):
        raise CheckError(f"CHANGELOG.md has no section '## {' or '.join(wanted)}', or an empty one.")
    for plugin in PLUGINS:
        needed = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        print(f"{plugin.name} {needed}, for visionzoo {version}")
    return version


def build(dist: Path) -> None:
    """The packages; each wheel is made from its sdist."""
    for old in (*dist.glob("*.whl"), *dist.glob("*.tar.gz")):
        old.unlink()
    for source in (ROOT, *PLUGINS):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source, where=ROOT)
    for file in sorted(dist.iterdir()):
        print(f"{file.stat().st_size / 2**20:7.2f} MiB  {file.name}")


def check_metadata(dist: Path) -> None:
    """What the index would refuse or show badly; and what a reader of its page would miss."""
    print(run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()), where=ROOT).strip())
    if "urls" not in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]:
        print("Note: pyproject.toml has no [project.urls], and the README's links are relative to the repository.")


def check_sdist(dist: Path, version: str) -> None:
    with tarfile.open(dist / f"visionzoo-{version}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = [name for name in SHIPPED if name not in names]
    if missing:
        raise CheckError(f"The sdist does not hold {', '.join(missing)}.")
    foreign = [name for name in names if re.search(r"__pycache__|node_modules|\.venv|^runs/|\.pyc$", name)]
    if foreign:
        raise CheckError(f"The sdist holds {', '.join(sorted(foreign)[:5])}.")


def empty_environment(folder: Path) -> Path:
    """Its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(python: Path, *wanted: str | Path) -> None:
    constraints = ROOT / "constraints.txt"
    command = (python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *wanted)
    run(*command, where=python.parent)
    print(run(python, "-m", "pip", "check", where=python.parent).strip())
    print(f"{len(run(python, '-m', 'pip', 'list', '--format=freeze', where=python.parent).splitlines())} packages")


def installed(python: Path) -> dict[str, str]:
    """The modules and data of visionzoo by name, with their hashes."""
    files = dict(line.rsplit(" ", 1) for line in run(python, "-c", FILES, where=python.parent).splitlines())
    return {name: value for name, value in files.items() if ".dist-info" not in name and not name.startswith("..")}


def main_job(python: Path, place: Path) -> None:
    """Trains, exports, predicts and verifies, as the README does."""
    home = {"HOME": str(place), "XDG_CACHE_HOME": str(place / "cache"), "CUDA_VISIBLE_DEVICES": ""}

    def zoo(*words: str) -> str:
        return run(python, "-m", "zoo", *words, where=place, seconds=JOB_SECONDS, **home)

    where = run(python, "-c", "import zoo; print(zoo.__file__)", where=place).strip()
    if not Path(where).is_relative_to(python.parents[1]):
        raise CheckError(f"The code that runs is {where}.")
    if "efficientnet_lite0" not in zoo("list", "backbones"):
        raise CheckError("zoo list backbones does not know efficientnet_lite0, of the second wheel.")
    if "timm/resnet10t.c3_in1k" not in zoo("list", "backbones", "--search", "timm/resnet1*"):
        raise CheckError("zoo list backbones does not know timm/resnet10t.c3_in1k, of the third wheel.")
    zoo("train", "resnet18", "mnist", "--limit", "500", "--epochs", "3", "--output", "run")
    zoo("export", "run", "--onnx", "--torchscript")
    run(python, "-c", DRAW, where=place)
    for name in ("model.onnx", "model.pt"):
        print(zoo("predict", f"run/export/{name}", "one.png").strip())
        zoo("verify", f"run/export/{name}", "--data", "mnist", "--against", "run")
    zoo("export", "run", "--web", "site")
    if not (place / "site" / "index.html").exists():
        raise CheckError("zoo export --web, of the fourth wheel, wrote no page.")
    missing = [name for name in ("report.html", "curves.png", "metrics.csv") if not (place / "run" / name).exists()]
    if missing:
        raise CheckError(f"The run folder does not hold {', '.join(missing)}.")


def check(dist: Path, tag: str | None, place: Path) -> None:
    steps = Steps()
    with steps.step("version and changelog"):
        version = check_changelog(tag)
    with steps.step("build"):
        build(dist)
    with steps.step("metadata"):
        check_metadata(dist)
    with steps.step("files of the sdist"):
        check_sdist(dist, version)
    wheel, sdist = next(dist.glob("visionzoo-*.whl")), dist / f"visionzoo-{version}.tar.gz"
    with steps.step("sdist into an empty environment"):
        of_sdist = empty_environment(place / "of-sdist")
        install(of_sdist, sdist)
        run(of_sdist, "-m", "zoo", "--version", where=place)
    with steps.step("wheels into an empty environment"):
        of_wheel = empty_environment(place / "of-wheel")
        install(of_wheel, f"{wheel}[onnx,train]", *dist.glob("visionzoo_*.whl"))
    if installed(of_sdist) != installed(of_wheel):
        raise CheckError("The sdist installs other files than the wheel.")
    with steps.step("train, export, predict, verify from the wheel"):
        (place / "job").mkdir()
        main_job(of_wheel, place / "job")
    steps.report()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder for what is built")
    parser.add_argument("--tag", help="the tag that is to be published, such as v0.1.0")
    given = parser.parse_args()
    given.dist.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="zoo-release-"))
    try:
        check(given.dist.resolve(), given.tag, place)
    except CheckError as error:
        print(f"\nNot ready to release: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
