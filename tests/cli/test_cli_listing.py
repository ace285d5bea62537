"""`zoo list` and `zoo info`, on plugins made here."""

from __future__ import annotations

import json
import sys
import types
from collections import OrderedDict
from importlib.metadata import EntryPoint

import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.cli.shapes import stage_shapes
from zoo.errors import ArtifactError, UnknownNameError, UsageError
from zoo.hookspecs import hookimpl
from zoo.registry import Registry
from zoo.specs import (
    BackboneSpec,
    DatasetSpec,
    ExporterSpec,
    LoggerSpec,
    Provider,
    PublisherSpec,
    Stage,
    WeightsSpec,
)

from ..cards import any_card
from ..refusals import refused


def build(num_classes):
    from torch import nn

    stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return nn.Sequential(OrderedDict(part=stem, part2=pool, head=nn.Linear(4, num_classes)))


STAGES = (Stage("stem", ("part",)), Stage("pool", ("part2.1", "part2.2")), Stage("head", ("head",)))
WEIGHTS = WeightsSpec(name="SHAPES_V1", load=dict, image_size=48, mean=(0.5, 0.4, 0.3), licence="CC0 [sic]")


@hookimpl
def zoo_backbones():
    return [
        BackboneSpec(name="tiny", build=build, head="head", stages=lambda network: STAGES, weights=WEIGHTS),
        BackboneSpec(name="shapes", build=build, head="head", stages=lambda network: STAGES, min_image_size=8),
        Provider(prefix="hub/", names=lambda: ["one", "two"], get=lambda name: None),
    ]


@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(name="shapes", load=print, native_size=32, num_classes=2, licence="CC0"),
        DatasetSpec(name="photos", load=print, description="with [brackets]"),
    ]


@hookimpl
def zoo_exporters():
    read = {"read_card": lambda path: path.read_text() or None, "content_hash": str, "load": print}
    return [ExporterSpec(name="fake", suffix=".fake", write=print, write_card=print, **read)]


@hookimpl
def zoo_loggers():
    return [LoggerSpec(name="wire", create=print)]


@hookimpl
def zoo_publishers():
    return [PublisherSpec(name="poster", write=print, description="a page of sizes")]


@pytest.fixture(autouse=True)
def plugins(monkeypatch, tmp_path):
    """One plugin that works and one that does not, in place of those installed; an empty folder to work in."""
    fine = types.ModuleType("listing_fine")
    fine.__dict__.update({name: value for name, value in globals().items() if name.startswith("zoo_")})
    monkeypatch.setitem(sys.modules, "listing_fine", fine)
    monkeypatch.setitem(sys.modules, "listing_bad", types.ModuleType("listing_bad"))
    found = [EntryPoint("fine", "listing_fine", "zoo"), EntryPoint("bad", "listing_bad", "zoo")]
    registry = Registry(found)
    monkeypatch.setattr("zoo.registry.registry", lambda: registry)
    monkeypatch.chdir(tmp_path)
    return registry


def zoo(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception:
        raise result.exception
    return result.stdout


PLAN = {
    "strategy": "finetune",
    "epochs": 4,
    "augment": "none",
    "learning_rate": 0.1,
    "weight_decay": 0,
    "device": "cpu",
    "precision": "fp32",
}


def add_run(folder, name, created, **extra):
    (folder / "runs" / name).mkdir(parents=True)
    info = {
        "backbone": "tiny",
        "backbone_plugin": "fine 1.0",
        "weights": {"name": "random"},
        "dataset": {"name": "shapes", "source": ""},
        "classes": ["a", "b"],
        "plan": PLAN,
        "preprocess": {"image_size": 224},
        "status": "finished",
        "created": created,
    } | extra
    (folder / "runs" / name / "run.json").write_text(json.dumps(info))


def test_list_counts_every_kind(tmp_path):
    add_run(tmp_path, "first", "2026-01-01")
    lines = zoo("list").splitlines()
    assert [line.split("  ")[0] for line in lines[:7]] == [
        "backbones (4)",
        "datasets (2)",
        "exporters (1)",
        "loggers (1)",
        "publishers (1)",
        "recipes (16)",
        "runs (1)",
    ]
    assert "hub/one, hub/two, shapes, tiny" in lines[0]


def test_list_backbones_has_a_row_each():
    header, *rows = zoo("list", "backbones").splitlines()
    assert header.split()[0] == "backbone"
    assert [row.split()[0] for row in rows] == ["hub/one", "hub/two", "shapes", "tiny"]
    assert "SHAPES_V1" in rows[3]


def test_list_datasets_prints_brackets_as_they_are():
    rows = zoo("list", "datasets").splitlines()
    assert "with [brackets]" in rows[1]
    assert "32 x 32" in rows[2]


@pytest.mark.parametrize(
    ("glob", "names"), [("t*", ["tiny"]), ("HUB/*", ["hub/one", "hub/two"]), ("*?ne", ["hub/one"]), ("none", [])]
)
def test_search_is_a_glob(glob, names):
    table = json.loads(zoo("list", "backbones", "--search", glob, "--json"))
    assert [row["name"] for row in table["backbones"]] == names


def test_list_json_holds_the_specs_without_their_factories():
    table = json.loads(zoo("list", "--json"))
    assert set(table) == {"backbones", "datasets", "exporters", "loggers", "publishers", "recipes", "runs"}
    tiny = table["backbones"][3]
    assert (tiny["plugin"], tiny["weights"]["name"], tiny["weights"]["image_size"]) == ("fine", "SHAPES_V1", 48)
    assert not {"build", "stages"} & set(tiny)
    assert table["exporters"][0]["suffix"] == ".fake"


def test_list_publishers_says_what_they_take():
    _, row = zoo("list", "publishers").splitlines()
    assert row.split()[:2] == ["poster", "onnx"]
    assert "a page of sizes" in row


def test_list_runs_newest_first_and_damaged_ones_named(tmp_path):
    add_run(tmp_path, "old", "2026-01-01", metrics={"top1": 0.9876}, metrics_split="test")
    add_run(tmp_path, "new", "2026-02-01")
    add_run(tmp_path, "torn", "")
    (tmp_path / "runs/torn/run.json").write_text('{"back')
    _, new, old, torn = zoo("list", "runs").splitlines()
    assert new.startswith("new")
    assert "test 98.76%" in old
    assert "damaged" in torn


FULL = {
    "metrics": {"top1": 0.9, "macro_f1": 0.87654},
    "metrics_split": "validation",
    "training_seconds": 421.0,
}


def test_runs_can_be_compared_and_sorted(tmp_path):
    add_run(tmp_path, "first-shapes", "2026-01-01", **FULL)
    add_run(tmp_path, "old", "2026-02-01", metrics={"top1": 0.5}, metrics_split="test")
    add_run(tmp_path, "stopped", "2026-03-01", status="interrupted")
    header, best, second, last = zoo("list", "runs", "--sort", "accuracy").splitlines()
    assert " ".join(header.split()) == "run accuracy macro F1 strategy epochs px time status backbone dataset"
    assert " ".join(best.split()) == "first-shapes val 90.00% 87.65% finetune 4 224 7 min finished tiny shapes"
    assert (second.split()[0], last.split()[0]) == ("old", "stopped")
    assert [line.split()[0] for line in zoo("list", "runs").splitlines()[1:]] == ["stopped", "old", "first-shapes"]
    (row,) = json.loads(zoo("list", "runs", "--search", "first*", "--json"))["runs"]
    assert (row["macro_f1"], row["strategy"], row["plan"]["epochs"], row["weights_bytes"]) == (
        0.87654,
        "finetune",
        4,
        None,
    )
    with pytest.raises(UsageError, match="Only runs"):
        zoo("list", "backbones", "--sort", "accuracy")


def test_a_table_of_runs_leaves_out_what_their_names_say_and_keeps_names_whole(tmp_path, monkeypatch):
    name = "efficientnet_lite0-hymenoptera_data-20261123-101501"
    said = {"backbone": "efficientnet_lite0", "dataset": {"name": "hymenoptera_data", "source": ""}}
    add_run(tmp_path, name, "2026-01-01", **FULL, **said)
    monkeypatch.setattr("zoo.cli.tables.PIPE_WIDTH", 120)
    header, row = zoo("list", "runs").splitlines()
    assert "backbone" not in header
    assert "status" not in header
    assert row.split()[0] == name
    monkeypatch.setattr("zoo.cli.tables.PIPE_WIDTH", 60)
    assert "…" not in zoo("list", "runs")


def test_info_of_a_backbone():
    text = zoo("info", "tiny")
    assert "48 x 48 pixels, mean (0.5, 0.4, 0.3), std (0.229, 0.224, 0.225)" in text
    assert "CC0 [sic]" in text


def test_info_of_a_name_that_is_both():
    assert [entry["kind"] for entry in json.loads(zoo("info", "shapes", "--json"))] == ["backbone", "dataset"]


def test_info_of_an_unknown_name_looks_at_both_kinds():
    with pytest.raises(UnknownNameError, match="photos"):
        zoo("info", "phtos")
    with pytest.raises(UnknownNameError, match="tiny"):
        zoo("info", "tny")


def test_shapes_of_each_stage():
    (entry,) = json.loads(zoo("info", "tiny", "--shapes", "--json"))
    assert entry["stages"] == [
        {"name": "stem", "output": [8, 24, 24], "parameters": 224},
        {"name": "pool", "output": [4], "parameters": 36},
        {"name": "head", "output": [1000], "parameters": 5000},
    ]
    text = zoo("info", "tiny", "--shapes")
    assert "8 x 24 x 24" in text
    assert "5,260" in text
    with pytest.raises(UsageError, match="not a backbone"):
        zoo("info", "photos", "--shapes")


def test_shapes_at_another_size_and_for_other_classes():
    (entry,) = json.loads(zoo("info", "tiny", "--shapes", "--image-size", "96", "--classes", "10", "--json"))
    assert entry["stages"][0]["output"] == [8, 48, 48]
    assert entry["stages"][-1] == {"name": "head", "output": [10], "parameters": 50}
    assert "pictures of 96 x 96 pixels and 10 classes" in zoo(
        "info", "tiny", "--shapes", "--image-size", "96", "--classes", "10"
    )
    with pytest.raises(UsageError, match="at least 8 pixels, not 7"):
        zoo("info", "shapes", "--shapes", "--image-size", "7")
    with pytest.raises(UsageError, match="belong to --shapes"):
        zoo("info", "tiny", "--classes", "10")


def test_info_of_a_recipe_is_its_options():
    text = zoo("info", "folder-resnet18")
    assert "only a new last layer trains." in text
    assert "zoo train --recipe folder-resnet18 DATASET" in text
    assert "learning_rate  0.001" in text
    assert json.loads(zoo("info", "folder-resnet18", "--json"))["options"]["nesterov"] is False


def test_info_of_an_unknown_name_of_a_provider_lists_close_ones():
    with pytest.raises(UnknownNameError, match=r"named 'hub/on'. Did you mean hub/one"):
        zoo("info", "hub/on")
    with pytest.raises(UnknownNameError, match="named 'unknown:hub/on'"):
        zoo("info", "unknown:hub/on")


def test_the_names_of_a_provider_say_where_to_look(monkeypatch):
    first, second = [row for row in zoo("list", "backbones").splitlines() if row.startswith("hub/")]
    assert first.endswith("more: zoo info hub/one")
    assert second.endswith("more: zoo info hub/two")
    many = Provider(prefix="hub/", names=lambda: [f"net{number}" for number in range(1200)], get=lambda name: None)
    monkeypatch.setattr(sys.modules["listing_fine"], "zoo_backbones", hookimpl(lambda: [many]))
    host = Registry([EntryPoint("fine", "listing_fine", "zoo")])
    monkeypatch.setattr("zoo.registry.registry", lambda: host)
    (row,) = zoo("list", "backbones").splitlines()[1:]
    assert row.split()[0] == "hub/…"
    assert "unknown" in row  # its distribution
    assert row.endswith("1,200 names; search them: zoo list backbones --search 'hub/*'")
    assert len(zoo("list", "backbones", "--search", "hub/net11??").splitlines()) == 101
    assert len(json.loads(zoo("list", "backbones", "--json"))["backbones"]) == 1200


def test_info_of_what_is_not_there_thinks_of_runs_and_recipes():
    with pytest.raises(UsageError, match="No run and no file was found at runs/nope"):
        zoo("info", "runs/nope")
    with pytest.raises(UsageError, match="folder-resnet81") as caught:
        zoo("info", "folder-resnet81")
    assert "Did you mean the recipe folder-resnet18" in caught.value.remedy


CARD = any_card(
    name="tiny on shapes \x1b[31m",
    format="fake",
    classes=("circle", "square"),
    backbone="tiny",
    backbone_plugin="fine 1.0",
    dataset={"name": "shapes"},
)


def test_info_of_an_artifact_prints_its_card(tmp_path):
    (tmp_path / "model.fake").write_text(CARD.model_dump_json())
    text = zoo("info", "model.fake")
    assert "2: circle, square" in text
    assert "top1 0.9" in text
    assert "\x1b" not in text
    assert json.loads(zoo("info", "model.fake", "--json"))["classes"] == ["circle", "square"]
    with pytest.raises(UsageError, match=r"'model\.fake' is not a backbone"):
        zoo("info", "model.fake", "--shapes")


def test_info_of_files_that_are_no_artifacts(tmp_path):
    (tmp_path / "empty.fake").touch()
    (tmp_path / "other.txt").touch()
    (tmp_path / "damaged.fake").write_text("{}")
    with pytest.raises(ArtifactError, match="no card"):
        zoo("info", "empty.fake")
    with pytest.raises(ArtifactError, match="not valid"):
        zoo("info", "damaged.fake")
    with pytest.raises(UsageError, match=r"must end in \.fake"):
        zoo("info", "other.txt")
    with pytest.raises(UsageError, match=r"absent\.fake was not found"):
        zoo("info", "absent.fake")


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("no luck")])
def test_a_network_that_fails_to_build_is_named(error):
    def fail(_):
        raise error

    spec = BackboneSpec(name="tiny", build=fail, head="head", stages=lambda network: STAGES)
    with refused("factory-failed", "'tiny'", type(error).__name__):
        stage_shapes(spec, 32, 3)
