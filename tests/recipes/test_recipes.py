"""Every recipe that ships, at tiny scale, on files as the publishers lay them out."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import UsageError
from zoo.models.pretrained import WeightsReport
from zoo.recipes.builtin import BOOK, description, find, recipe_names
from zoo.recipes.recipe import Recipe
from zoo.registry import registry
from zoo.specs import DatasetSpec
from zoo.training.plan import make_plan
from zoo.transforms.augment import describe, make_policy

from ..conftest import write_folder
from ..plugins import test_torchvision_datasets as published

pytestmark = pytest.mark.usefixtures("no_plots", "narrow_networks", "shallow_resnets")

RESNET = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
# What a recipe trains on here, and the stages that may move.
RECIPES = {
    "mnist-resnet18-head": ("mnist", RESNET[-1:]),
    "mnist-resnet18-augmented": ("mnist", RESNET[-1:]),
    "mnist-resnet18-augmented-fast": ("mnist", RESNET[-1:]),
    "mnist-resnet18-layer34": ("mnist", RESNET[3:]),
    "mnist-resnet18-gradual": ("mnist", RESNET[1:]),
    "cifar10-vgg16": ("cifar10", ("classifier", "head")),
    "folder-resnet18": ("folder", RESNET[-1:]),
    "folder-resnet34": ("folder", RESNET[-1:]),
    "folder-resnet50": ("folder", RESNET[-1:]),
    "folder-resnet18-unfrozen": ("folder", RESNET),
    "folder-resnet18-full": ("folder", RESNET),
    "food-resnet18": ("lists", RESNET[-1:]),
    "food-resnet18-fast": ("lists", RESNET[-1:]),
    "fashion-resnet18-scratch": ("fashion-mnist", RESNET),
    "fashion-resnet50-head": ("fashion-mnist", RESNET[-1:]),
    "fashion-resnet50-head-fast": ("fashion-mnist", RESNET[-1:]),
}


@pytest.fixture(scope="module")
def shallow_resnets():
    """Torchvision builds each stage of a ResNet with one block: the stages are what the recipes name."""
    from torchvision.models import resnet

    real = resnet._resnet
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet, "_resnet", lambda block, layers, *rest, **given: real(block, [1] * 4, *rest, **given))
        yield


def write_lists(folder):
    """train.txt and test.txt: a path and a label a line, for 20 classes."""
    classes = tuple(f"dish{index:02}" for index in range(20))
    for split in ("train", "test"):
        lines = []
        for label, name in enumerate(classes):
            for index in range(3):
                path = folder / split / name / f"{index}.jpg"
                published.write_jpg(path, label)
                lines.append(f"{path} {label}")
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


def place(kind, folder, monkeypatch):
    """Puts data of that kind into `folder`; returns the options that lead there."""
    if kind == "folder":
        return {"dataset": str(write_folder(folder, {"train": 10, "val": 2}))}
    if kind == "lists":
        write_lists(folder)
        monkeypatch.chdir(folder)
        return {}
    monkeypatch.setattr(published, "TRAIN", [0, 1, 2] * 10)
    published.CASES[kind][0](folder, monkeypatch)
    return {"data_root": str(folder)}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_what_it_says(name, tmp_path, monkeypatch):
    kind, moving = RECIPES[name]
    tiny = {"image_size": 32, "batch_size": 10, "epochs": 5 if name.endswith("gradual") else 1, "weights": "none"}
    options = {**Recipe.read(find(name)), **tiny, **place(kind, tmp_path / "data", monkeypatch)}
    run = zoo.train(**options, output=tmp_path / "run")
    spec = registry().backbone(run.recipe.backbone).spec
    torch.manual_seed(run.recipe.seed)
    start = spec.build(len(run.classes))
    trained = torch.load(run.path / "last.ckpt", weights_only=True)["network"]
    moved = set()
    for stage in spec.stages(start):
        inside = tuple(f"{member}." for member in stage.members)
        same = [torch.equal(value, trained[key]) for key, value in start.state_dict().items() if key.startswith(inside)]
        if not all(same):
            moved.add(stage.name)
    assert moved == set(moving)
    assert run.metrics["num_pictures"] > 0
    kept = Recipe.read(run.path / "recipe.toml")
    assert {key: kept[key] for key in Recipe.read(find(name)) if key not in {*tiny, "dataset", "val", "test"}} == {
        key: value for key, value in Recipe.read(find(name)).items() if key not in {*tiny, "dataset", "val", "test"}
    }


def parts(first: int, names: list[str]) -> str:
    if not first:
        return "of all"
    return "of the head" if first == len(names) - 1 else f"from {names[first]} on"


def resolved(name: str) -> dict[str, str]:
    """What a recipe comes to with pretrained weights, in the words of the table in docs/recipes.md."""
    recipe = Recipe.make(**{"dataset": "./photos", **Recipe.read(find(name))})
    backbone = registry().backbone(recipe.backbone).spec
    data = DatasetSpec(name="photos", load=lambda _: None)
    if not recipe.dataset.startswith("."):
        data = registry().dataset(recipe.dataset).spec
    pretrained = recipe.weights != "none"
    weights = WeightsReport(name="published", pretrained=pretrained, spec=backbone.weights if pretrained else None)
    with torch.device("meta"):
        network = backbone.build(10)
    plan = make_plan(recipe, backbone, data, weights, network)
    names = [stage.name for stage in backbone.stages(network)]
    spec = plan.preprocess
    values = f"{spec.mean[0]:g}, {spec.std[0]:g}"
    steps = {"step": f"a factor {recipe.gamma:g} every {recipe.step_epochs} epochs"}
    new = "stored views" if plan.views < plan.epochs and plan.phases[-1].first == len(names) - 1 else "each epoch anew"
    return {
        "recipe": f"`{name}`",
        "weights": "pretrained" if pretrained else "random",
        "pixels": f"{spec.image_size}, {'the centre' if spec.crop_fraction < 1 else 'the whole picture'}",
        "mean, deviation": {"0.485, 0.229": "ImageNet's", "0, 1": "none"}.get(values, values),
        "varied": f"{describe(make_policy(plan.augment, recipe.variation()))}; {new}" if plan.varied else "no",
        "trains": ", then ".join(f"{phase.epochs} epochs {parts(phase.first, names)}" for phase in plan.phases),
        "optimiser": f"{recipe.optimizer} {', '.join(dict.fromkeys(f'{p.learning_rates[-1]:g}' for p in plan.phases))}"
        + (f", momentum {recipe.momentum:g}" if recipe.optimizer == "sgd" else ""),
        "rate": steps.get(recipe.schedule, recipe.schedule),
        "batch": f"{recipe.batch_size}",
    }  # fmt: skip


def test_each_recipe_is_what_the_table_says():
    text = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    head, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    table = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert set(table) == {f"`{name}`" for name in RECIPES} | {name for name in table if name.startswith("tutorial")}
    for name in RECIPES:
        assert table[f"`{name}`"] == resolved(name)
    # A recipe stands below the tutorial that it follows, and differs from it in nothing that the table has.
    followed = [(head, row) for head, row in pairwise(rows) if head[0].startswith("tutorial")]
    assert len(followed) == 12
    for tutorial, recipe in followed:
        assert tutorial[1:] == recipe[1:], recipe[0]


def test_every_recipe_is_described_listed_and_tested():
    assert set(recipe_names()) == set(RECIPES) == {path.stem for path in BOOK.glob("*.toml")}
    assert all(description(name).endswith(".") for name in recipe_names())
    said = CliRunner().invoke(app, ["list", "recipes", "--json"])
    listed = {row["name"]: row for row in json.loads(said.stdout)["recipes"]}
    assert set(listed) == set(RECIPES)
    assert listed["cifar10-vgg16"]["backbone"] == "vgg16"
    assert listed["folder-resnet34"]["dataset"] == "yours"


def test_one_argument_beside_a_recipe_is_the_dataset(tmp_path):
    data = write_folder(tmp_path / "data", {"train": 10, "val": 2})
    output = tmp_path / "run"
    arguments = [
        "train",
        "--recipe",
        "folder-resnet18-full",
        data,
        "--epochs",
        1,
        "--image-size",
        32,
        "--output",
        output,
    ]
    said = CliRunner().invoke(app, list(map(str, arguments)))
    assert said.exit_code == 0, said.output
    recipe = zoo.runs.run.Run(output).recipe
    assert (recipe.backbone, recipe.dataset, recipe.epochs) == ("resnet18", str(data), 1)
    assert recipe.step_epochs == 7


def test_two_arguments_win_over_a_recipes_backbone_and_dataset(bars, tmp_path):
    output = tmp_path / "run"
    arguments = ["train", "--recipe", "mnist-resnet18-head", "tiny", bars, "--image-size", 16, "--output", output]
    said = CliRunner().invoke(app, list(map(str, arguments)))
    assert said.exit_code == 0, said.output
    recipe = zoo.runs.run.Run(output).recipe
    assert (recipe.backbone, recipe.dataset, recipe.strategy) == ("tiny", str(bars), "head")


def test_published_weights_are_taken(tmp_path, monkeypatch):
    torch.manual_seed(5)
    state = registry().backbone("resnet18").spec.build(1000).state_dict()
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(state, checkpoints / "resnet18-f37072fd.pth")
    options = {**Recipe.read(find("mnist-resnet18-head")), "image_size": 32, "epochs": 1}
    run = zoo.train(**options, **place("mnist", tmp_path / "data", monkeypatch), output=tmp_path / "run")
    assert run.info.weights.name == "IMAGENET1K_V1"
    assert torch.equal(run.classifier().network.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize(
    ("name", "cause", "remedy"),
    [
        ("mnist-resnet81-head", "no recipe named 'mnist-resnet81-head'", "mnist-resnet18-head"),
        ("mnist-resnet81-head", "no recipe named 'mnist-resnet81-head'", "zoo list recipes"),
        ("zzz", "no recipe named 'zzz'", "zoo list recipes"),
    ],
)
def test_an_unknown_recipe_is_named(name, cause, remedy):
    with pytest.raises(UsageError) as error:
        find(name)
    assert cause in error.value.cause
    assert remedy in error.value.remedy


def test_a_recipe_without_a_dataset_asks_for_one():
    from zoo.cli.train import given_recipe

    with pytest.raises(UsageError, match="names no dataset") as error:
        given_recipe({"recipe": "folder-resnet18"})
    assert error.value.remedy == "Write: zoo train --recipe folder-resnet18 DATASET"


def test_list_files_that_are_not_there_are_asked_for(tmp_path, monkeypatch):
    from zoo.cli.train import given_recipe

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"'\./train\.txt' does not exist"):
        given_recipe({"recipe": "food-resnet18"})


def test_what_the_command_line_makes_idle_is_left_out():
    from zoo.cli.train import given_recipe

    def given(**options):
        return given_recipe({"recipe": "mnist-resnet18-augmented", **options})

    assert (given().schedule, given().step_epochs) == ("step", 5)
    chosen = given(schedule="cosine")
    assert (chosen.schedule, chosen.step_epochs, chosen.gamma) == ("cosine", None, 0.1)
    with pytest.raises(UsageError, match="step_epochs has no effect with --schedule cosine"):
        given(schedule="cosine", step_epochs=3)


def test_what_a_file_leaves_idle_itself_is_refused(tmp_path):
    from zoo.cli.train import given_recipe

    file = tmp_path / "mine.toml"
    file.write_text('backbone = "tiny"\ndataset = "mnist"\noptimizer = "adam"\nmomentum = 0.5\n')
    with pytest.raises(UsageError, match="momentum has no effect with --optimizer adam"):
        given_recipe({"recipe": str(file)})


@pytest.mark.slow
@pytest.mark.skipif("ZOO_DATA_ROOT" not in os.environ, reason="ZOO_DATA_ROOT names no folder of datasets")
@pytest.mark.parametrize("name", [name for name, (kind, _) in RECIPES.items() if kind == "mnist"])
def test_the_recipes_of_mnist_train_on_the_official_files(name, tmp_path):
    epochs = 5 if name.endswith("gradual") else 2
    tiny = {"image_size": 28, "epochs": epochs, "limit": 500, "data_root": os.environ["ZOO_DATA_ROOT"]}
    run = zoo.train(**{**Recipe.read(find(name)), **tiny}, output=tmp_path / "run")
    assert "sample" not in run.info.dataset.source
    assert run.metrics["num_pictures"] == 10_000
    assert len(run.rows()) == epochs


def test_by_name_or_by_path_it_is_the_same_run(bars, tmp_path):
    tiny = ["tiny", bars, "--image-size", 16, "--epochs", 2, "--weights", "none", "--output"]
    runs = []
    for number, recipe in enumerate(("mnist-resnet18-layer34", BOOK / "mnist-resnet18-layer34.toml")):
        arguments = ["train", "--recipe", recipe, "--freeze-until", "body", *tiny, tmp_path / f"run{number}"]
        said = CliRunner().invoke(app, list(map(str, arguments)))
        assert said.exit_code == 0, said.output
        runs.append(tmp_path / f"run{number}")
    for name in ("recipe.toml", "best.safetensors"):
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()


def test_the_command_line_can_say_no_where_a_recipe_says_yes(bars, tmp_path):
    file = tmp_path / "yes.toml"
    file.write_text(
        'backbone = "tiny"\noptimizer = "sgd"\nnesterov = true\ndeterministic = true\nepochs = 1\nimage_size = 16\n'
    )
    output = tmp_path / "run"
    arguments = ["train", "--recipe", file, bars, "--no-nesterov", "--no-deterministic", "--output", output]
    said = CliRunner().invoke(app, list(map(str, arguments)))
    assert said.exit_code == 0, said.output
    recipe = zoo.runs.run.Run(output).recipe
    assert (recipe.nesterov, recipe.deterministic) == (False, False)


def test_a_file_is_a_recipe_too(tmp_path):
    assert find("./mnist.toml").name == "mnist.toml"
    assert find(str(tmp_path / "recipe")) == tmp_path / "recipe"
