"""Installs the plugin where it is not installed, and keeps tests away from the internet."""

from __future__ import annotations

import os
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

# As in the tests of visionzoo: threads of tiny networks wait for each other longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

ROOT = Path(__file__).resolve().parents[1]
if find_spec("visionzoo_timm") is None:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Makes the backbones of timm known to this process."""
    from zoo.registry import registry

    if any(metadata.name == "visionzoo-timm" for metadata in distributions()):
        yield
        return
    site = tmp_path_factory.mktemp("site")
    metadata = site / "visionzoo_timm-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: visionzoo-timm\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[zoo]\ntimm = visionzoo_timm.plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        paths = [str(site), str(ROOT), os.environ.get("PYTHONPATH")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        registry.cache_clear()
        yield
    registry.cache_clear()


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """No test reaches for the internet, or reads the user's caches."""
    from huggingface_hub import constants

    from visionzoo_timm import weights

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(weights, "unreachable", lambda url: f"{url} cannot be reached (the test is offline)")
