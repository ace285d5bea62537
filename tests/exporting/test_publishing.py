"""`zoo export --web`, `--space` and `--publish`: folders that a plugin's publisher makes of exported files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import ExportError, PluginError, UnknownNameError, ZooError
from zoo.exporting import publishing
from zoo.exporting.publishing import LISTED, publish
from zoo.registry import registry
from zoo.specs import PublisherSpec

from ..refusals import refused


def poster(files, folder):
    """One page with the sizes of the files."""
    (folder / "pages").mkdir()
    (folder / "pages" / "one.txt").write_text(" ".join(str(file.stat().st_size) for file in files))
    return [f"{len(files)} files are in {{folder}}/pages."]


@pytest.fixture(autouse=True)
def posters():
    zoo.register(PublisherSpec(name="poster", write=poster, description="a page of sizes"))


def run(*arguments: object) -> str:
    """What `zoo export` prints. Raises what it raises."""
    ended = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if isinstance(ended.exception, ZooError):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_files_become_a_folder_with_a_list_of_its_files(model, tmp_path):
    target = tmp_path / "a folder"
    made = publish([model, model], "poster", target)
    assert made.notes == (f"2 files are in '{target}'/pages.",)
    assert (target / "pages" / "one.txt").read_text() == " ".join([str(model.stat().st_size)] * 2)
    listed = json.loads((target / LISTED).read_text())
    assert listed == {"publisher": "poster", "files": ["pages/one.txt"]}
    assert [each.name for each in tmp_path.iterdir()] == ["a folder"]


def test_a_folder_is_replaced_only_if_all_of_it_was_written_by_a_publisher(model, tmp_path):
    target = tmp_path / "site"
    target.mkdir()  # an empty folder is taken
    publish([model], "poster", target)
    with refused("output-exists", target, "--overwrite"):
        publish([model], "poster", target)
    publish([model, model], "poster", target, overwrite=True)
    assert " " in (target / "pages" / "one.txt").read_text()
    (target / "pages" / "mine.txt").write_text("mine")
    with refused("foreign-folder", "pages/mine.txt"):
        publish([model], "poster", target, overwrite=True)
    assert (target / "pages" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("listed", ["", "[]", '{"files": 1}', '{"files": ["../other"]}'])
def test_a_folder_with_a_damaged_list_is_kept(listed, model, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / LISTED).write_text(listed)
    (tmp_path / "site" / "mine.txt").touch()
    with refused("foreign-folder"):
        publish([model], "poster", tmp_path / "site", overwrite=True)
    assert (tmp_path / "site" / "mine.txt").exists()


def test_places_that_are_no_folder(model, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name, kind in (("file", "is not a folder"), ("link", "is a link")):
        with refused("not-a-folder", name, kind):
            publish([model], "poster", tmp_path / name, overwrite=True)
    with refused("missing-folder", "nowhere"):
        publish([model], "poster", tmp_path / "nowhere" / "site")


def test_a_publisher_that_fails_leaves_nothing_and_is_named(model, tmp_path):
    def fail(files, folder):
        (folder / "half").touch()
        raise RuntimeError("no ink")

    zoo.register(PublisherSpec(name="broken", write=fail))
    with refused("publisher-failed", "no ink", "'broken'", kind=ExportError):
        publish([model], "broken", tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_files_of_another_format_and_missing_ones_are_refused(model, tmp_path):
    (tmp_path / "model.pt").touch()
    with refused("other-format", "model.pt"):
        publish([tmp_path / "model.pt"], "poster", tmp_path / "site")
    with refused("missing-file", "none.onnx"):
        publish([tmp_path / "none.onnx"], "poster", tmp_path / "site")


def test_the_package_of_an_option_is_named_where_it_is_missing(model, monkeypatch, tmp_path):
    monkeypatch.setattr(publishing, "PACKAGES", {"web-of-tests": "visionzoo-web"})
    with refused("missing-publisher", "pip install visionzoo-web"):
        publish([model], "web-of-tests", tmp_path / "site")
    with pytest.raises(UnknownNameError, match="poster"):
        publish([model], "postr", tmp_path / "site")


def test_the_command_takes_files(model, tmp_path):
    said = run(model, model, "--publish", f"poster={tmp_path / 'site'}")
    assert f"2 files are in {tmp_path / 'site'}/pages." in said.replace("\n", "")
    found = json.loads(run(model, "--publish", f"poster={tmp_path / 'other'}", "--json"))
    assert found["artifacts"] == []
    assert found["published"][0]["folder"] == str(tmp_path / "other")


def test_the_command_takes_the_file_of_a_run_and_makes_it_where_there_is_none(trained, artifacts_here, tmp_path):
    made = trained.path / "export" / "model.onnx"
    before = made.read_bytes() if made.exists() else None
    said = run(trained.path, "--publish", f"poster={tmp_path / 'one'}")
    assert ("pictures compared" in said) == (before is None)
    written = made.stat().st_mtime_ns
    said = run(trained.path, "--publish", f"poster={tmp_path / 'two'}")
    assert "pictures compared" not in said
    assert made.stat().st_mtime_ns == written
    sizes = [(tmp_path / name / "pages" / "one.txt").read_text() for name in ("one", "two")]
    assert sizes == [str(made.stat().st_size)] * 2
    # It holds no example pictures, so it is not what was asked for; nor is it where an export was asked for.
    with refused("output-exists", "model.onnx"):
        run(trained.path, "--publish", f"poster={tmp_path / 'three'}", "--data", tmp_path)
    with refused("output-exists", "model.onnx"):
        run(trained.path, "--publish", f"poster={tmp_path / 'three'}", "--examples", "3")


def test_the_smallest_file_of_a_run_is_taken_unless_a_precision_is_asked_for(trained, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(trained.path, copied, ignore=shutil.ignore_patterns("export"))
    sizes = {}
    for precision in ("fp32", "fp16"):
        made = zoo.export(copied, precision=precision)
        sizes[precision] = str(made.path.stat().st_size)
    assert int(sizes["fp16"]) < int(sizes["fp32"])
    for number, (options, taken) in enumerate({(): "fp16", ("--precision", "fp32"): "fp32"}.items()):
        site = tmp_path / str(number)
        ended = CliRunner().invoke(app, ["export", str(copied), "--publish", f"poster={site}", *options])
        assert ended.exit_code == 0, ended.output
        assert (site / "pages" / "one.txt").read_text() == sizes[taken]
        assert f"({taken}, " in ended.stderr
        assert ("the smallest of the run: fp32 has" in ended.stderr) == (taken == "fp16")


def test_a_file_that_cannot_be_shown_is_not_taken(trained, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(trained.path, copied, ignore=shutil.ignore_patterns("export"))
    made = zoo.export(copied, external_data=True).path
    command = ["export", str(copied), "--publish"]
    ended = CliRunner().invoke(app, [*command, f"poster={tmp_path / 'one'}"])
    assert f"Not taken: {made} has its weights in another file." in ended.stderr
    zoo.export(copied, overwrite=True)
    ended = CliRunner().invoke(app, [*command, f"poster={tmp_path / 'two'}"])
    assert ended.exit_code == 0, ended.output
    facts = json.loads((copied / "run.json").read_text())
    facts["metrics"]["top1"] /= 2
    (copied / "run.json").write_text(json.dumps(facts))
    ended = CliRunner().invoke(app, [*command, f"poster={tmp_path / 'three'}"])
    assert f"Not taken: {made} was exported before the run was trained further." in ended.stderr
    assert isinstance(ended.exception, ZooError)
    assert ended.exception.code == "output-exists"
    assert [(tmp_path / name).exists() for name in ("one", "two", "three")] == [False, True, False]


REFUSED = {
    "bad-publish": ["--publish", "poster"],
    "folder-twice": ["--publish", "poster=site", "--publish", "poster=../{here}/site"],
    "working-folder": ["--publish", "poster=."],
    "not-showable": ["--publish", "poster=site", "--input", "tensor"],
    "foreign-folder": ["--publish", "poster=mine"],
}


@pytest.mark.parametrize("code", REFUSED)
def test_the_command_refuses_before_any_work(code, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine", "mine.txt").touch()
    with pytest.raises(ZooError) as caught:
        run("no-run", *(part.format(here=tmp_path.name) for part in REFUSED[code]))
    assert caught.value.code == code
    assert Path("mine", "mine.txt").exists()


@pytest.mark.parametrize("option", ["--web", "--space"])
def test_an_option_without_a_folder_is_refused(option):
    with refused("bad-publish", option, "FOLDER"):
        run("no-run", "--onnx", option, "")


def test_options_that_would_have_no_effect_are_refused(model, trained, tmp_path):
    place = ["--publish", f"poster={tmp_path / 'site'}"]
    for options in (
        ["--precision", "int8"],
        ["--precision", "fp32"],
        ["--onnx"],
        ["--heatmap"],
        ["--examples", "3"],
        ["--output", "a.onnx"],
    ):
        with refused("option-without-export"):
            run(model, *place, *options)
    for paths in ([trained.path, trained.path], [trained.path, model]):
        with pytest.raises(ZooError) as caught:
            run(*paths, *place)
        assert caught.value.code in ("several-runs", "other-format")
    with refused("several-runs"):
        run(trained.path, trained.path, "--onnx")


def test_a_plugin_file_may_publish_and_a_faulty_spec_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    text = (
        "from zoo.hookspecs import hookimpl\nfrom zoo.specs import PublisherSpec\n\n@hookimpl\ndef zoo_publishers():\n"
        "    yield PublisherSpec(name='wall', write={})\n"
    )
    path.write_text(text.format("print"))
    registry().add_file(path)
    assert registry().publisher("wall").kind == "publisher"
    assert "wall" in [entry.name for entry in registry().publishers()]
    path.write_text(text.format("None"))
    with pytest.raises(PluginError, match="write"):
        registry().add_file(path)
