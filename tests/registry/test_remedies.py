"""What a user does about a broken plugin: its author corrects it, everybody else removes it."""

from __future__ import annotations

import json

import pytest

from zoo.registry import Registry
from zoo.registry.plugin_file import VARIABLE


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution whose module raises, from a folder or from an index."""

    def make(direct_url: object) -> None:
        site = tmp_path / "site"
        metadata = site / "zoo_broken-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-broken\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[zoo]\nbroken = zoo_broken_absent\n")
        (metadata / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.syspath_prepend(site)

    return make


def remedies() -> list[str]:
    statuses = Registry().plugins()
    return [problem.remedy for each in statuses if each.state == "failed" for problem in each.problems]


def test_an_editable_install_is_corrected_where_it_is(install, tmp_path):
    install({"url": (tmp_path / "my zoo").as_uri(), "dir_info": {"editable": True}})
    assert remedies() == [
        f"Correct it in {tmp_path / 'my zoo'} (zoo plugins check zoo-broken shows what is wrong), "
        "or disable it with: zoo plugins disable zoo-broken"
    ]


@pytest.mark.parametrize("direct_url", [{"url": "file:///wheels", "dir_info": {}}, {"url": "https://x.org"}, [], 3])
def test_any_other_install_is_removed(install, direct_url):
    install(direct_url)
    assert remedies() == [
        "Remove it with: pip uninstall zoo-broken, or disable it with: zoo plugins disable zoo-broken"
    ]


def test_a_plugin_file_is_corrected_or_left_out(tmp_path, monkeypatch):
    path = tmp_path / "faulty.py"
    path.write_text("1 / 0")
    monkeypatch.setenv(VARIABLE, str(path))
    assert remedies() == [
        f"Correct the file (zoo plugins check {path} shows what is wrong), or leave it out of --plugin and {VARIABLE}."
    ]
