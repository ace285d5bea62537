"""Fetches the browser's runtime from npm into `visionzoo_web/vendor`, at build time: pages ask nobody for it.

`python hatch_build.py` fetches it too, for a checkout that was installed where npm or the network was missing.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # fetched by hand
    BuildHookInterface = object  # type: ignore[assignment, misc]

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"  # as in tests/web/package.json
# What the registry of npm lists for this version: the SHA-512 of the package.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
VENDOR = Path(__file__).parent / "visionzoo_web" / "vendor"
SECONDS = 600


class MissingRuntimeError(Exception):
    """Why the files could not be fetched, as two sentences."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Runs before each build. An editable installation works without the files, until a page is written."""
        try:
            fetch()
        except MissingRuntimeError as error:
            if version != "editable":
                raise
            self.app.display_warning(f"{error} Until then, zoo export --web does not work.")


def fetch() -> None:
    """Puts the files into `VENDOR`, unless they are there."""
    complete = VENDOR / "package.txt"  # written last
    if complete.is_file() and complete.read_text() == f"{VERSION} {INTEGRITY}\n":
        return
    npm = shutil.which("npm")
    if npm is None:
        raise MissingRuntimeError(
            f"npm is not installed, and {PACKAGE} {VERSION} comes from its registry. Install npm and build again."
        )
    with TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--loglevel", "error"]
        try:
            ended = subprocess.run(  # noqa: S603
                command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise MissingRuntimeError(f"npm did not fetch {PACKAGE} in {SECONDS} seconds. Build again.") from None
        archives = list(Path(folder).glob("*.tgz"))
        if ended.returncode or len(archives) != 1:
            reason = (ended.stderr.strip() or "no file").splitlines()[0]
            raise MissingRuntimeError(f"npm did not fetch {PACKAGE} {VERSION}: {reason}. Build again.")
        _unpack(archives[0])
    complete.write_text(f"{VERSION} {INTEGRITY}\n")


def _unpack(archive: Path) -> None:
    found = f"sha512-{base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()}"
    if found != INTEGRITY:
        raise MissingRuntimeError(f"npm gave another {PACKAGE} {VERSION}: its hash is {found}. Check the registry.")
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir()
    with tarfile.open(archive) as package:
        for name in FILES:
            member = package.extractfile(f"package/dist/{name}")
            if member is None:
                raise MissingRuntimeError(f"{PACKAGE} {VERSION} has no file {name}. Correct hatch_build.py.")
            with member, (VENDOR / name).open("wb") as file:
                shutil.copyfileobj(member, file)


if __name__ == "__main__":
    try:
        fetch()
    except MissingRuntimeError as error:
        sys.exit(str(error))
