import dataclasses

import pytest

from zoo.errors import UsageError
from zoo.recipes.parsing import RANGES
from zoo.recipes.recipe import Recipe

from ..refusals import refused


def make(**options):
    return Recipe.make(backbone="resnet18", dataset="mnist", **options)


def test_a_recipe_survives_its_file(tmp_path):
    recipe = make(epochs=3, learning_rate=0.5, val="a b/ä.txt", deterministic=True, strategy="head")
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.toml(), encoding="utf-8")
    assert Recipe.make(**Recipe.read(path)) == recipe


@pytest.mark.parametrize(
    ("options", "cause", "remedy"),
    [
        ({"epoch": 3}, "Unknown option 'epoch'", "epochs"),
        ({"epochs": 0}, "epochs cannot be 0", "from 1"),
        ({"epochs": "many"}, "epochs cannot be 'many'", "--epochs"),
        ({"strategy": "gradual-ish"}, "strategy cannot be 'gradual-ish'", "--strategy"),
        ({"label_smoothing": 1.0}, "label_smoothing cannot be 1.0", "below 1"),
        ({"learning_rate": -1.0}, "learning_rate cannot be -1.0", "above 0"),
        ({"max_unreadable": 1.5}, "max_unreadable cannot be 1.5", "from 0 to 1"),
        ({"accumulate": 0}, "accumulate cannot be 0", "from 1"),
        ({"layer_decay": 1.5}, "layer_decay cannot be 1.5", "to 1"),
        ({"dropout": 1.0}, "dropout cannot be 1.0", "below 1"),
        ({"ema": 1.0}, "ema cannot be 1.0", "below 1"),
        ({"views": 0}, "views cannot be 0", "from 1"),
        ({"momentum": 1.0}, "momentum cannot be 1.0", "below 1"),
        ({"clip_norm": 0.0}, "clip_norm cannot be 0.0", "above 0"),
        ({"grey": 1.1}, "grey cannot be 1.1", "from 0 to 1"),
        ({"mixup": -0.1}, "mixup cannot be -0.1", "from 0"),
        ({"learning_rate": float("nan")}, "learning_rate cannot be nan", "above 0"),
        ({"flip": "diagonal"}, "flip cannot be 'diagonal'", "--flip"),
        ({"mean": "0.1,0.2,x"}, "mean cannot be '0.1,0.2,x'", "--mean"),
        ({"std": "-1"}, "std cannot be '-1'", "--std"),
        ({"zoom": "1"}, "zoom cannot be '1'", "0.9,1.1"),
        ({"time_budget": "-5s"}, "time_budget cannot be '-5s'", "90s, 10m or 1.5h"),
        ({"cache_budget": "4 apples"}, "cache_budget cannot be '4 apples'", "500MB"),
        ({"disk_budget": "lots"}, "disk_budget cannot be 'lots'", "--disk-budget a size"),
        ({"milestones": "0,5"}, "milestones cannot be '0,5'", "rising"),
        ({"milestones": ""}, "milestones cannot be ''", "--milestones"),
        ({"class_weights": "cat"}, "class_weights cannot be 'cat'", "cat=2,dog=0.5"),
        ({"class_weights": {"cat": -1}}, "class_weights cannot be 'cat=-1'", "from 0"),
        ({"mean": "nan"}, "mean cannot be 'nan'", "--mean"),
        ({"unfreeze_at": "3", "strategy": "full"}, "unfreeze_at has no effect", "--strategy gradual"),
    ],
)
def test_impossible_options_name_themselves(options, cause, remedy):
    with pytest.raises(UsageError) as error:
        make(**options)
    assert cause in error.value.cause
    assert remedy in error.value.remedy


def test_a_missing_backbone_is_named():
    with refused("missing-option", "backbone"):
        Recipe.make(dataset="mnist")


@pytest.mark.parametrize("content", [None, b"epochs = = 3", b"\xff\xfe"])
def test_a_recipe_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe\.toml"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("given", "expected", "written"),
    [
        ("90", 90, "1.5m"),
        ("90s", 90, "1.5m"),
        ("10m", 600, "10m"),
        ("1.5h", 5400, "1.5h"),
        (" 2 m", 120, "2m"),
        (7.25, 7.25, "7.25s"),
        ("61s", 61, "61s"),
    ],
)
def test_times_are_read_and_written(given, expected, written):
    recipe = make(time_budget=given)
    assert recipe.time_budget == expected
    assert recipe.options()["time_budget"] == written
    assert make(time_budget=written) == recipe


@pytest.mark.parametrize(
    ("given", "expected", "written"),
    [
        ("0", 0, "0"),
        ("1KB", 1000, "1KB"),
        ("1KiB", 1024, "1KiB"),
        ("1.5GiB", 3 * 2**29, "1536MiB"),
        ("500 MB", 500_000_000, "500MB"),
        (77, 77, "77"),
    ],
)
def test_sizes_are_read_and_written(given, expected, written):
    recipe = make(disk_budget=given)
    assert recipe.disk_budget == expected
    assert recipe.options()["disk_budget"] == written
    assert make(disk_budget=written) == recipe


@pytest.mark.parametrize(
    ("name", "given", "value", "written"),
    [
        ("mean", "0.5", (0.5, 0.5, 0.5), "0.5"),
        ("std", "0.1, 0.2, 0.3", (0.1, 0.2, 0.3), "0.1,0.2,0.3"),
        ("mean", (0.1234567891, 0, 1), (0.1234567891, 0.0, 1.0), "0.1234567891,0,1"),
        ("zoom", "0.9,1.1", (0.9, 1.1), "0.9,1.1"),
        ("crop", [0.35, 1], (0.35, 1.0), "0.35,1"),
        ("loggers", "csv, tensorboard", ("csv", "tensorboard"), "csv,tensorboard"),
        ("class_weights", "cat=2, a=b=0.5", {"cat": 2.0, "a=b": 0.5}, "cat=2,a=b=0.5"),
        ("class_weights", {"cat": 2}, {"cat": 2.0}, "cat=2"),
        ("class_weights", "balanced", "balanced", "balanced"),
    ],
)
def test_text_becomes_a_value_and_text_again(name, given, value, written):
    recipe = make(**{name: given})
    assert getattr(recipe, name) == value
    assert recipe.options()[name] == written
    assert make(**{name: written}) == recipe


def test_every_option_that_is_written_as_text_says_how():
    kinds = {field.name: field.type for field in dataclasses.fields(Recipe)}
    several = {
        name for name, kind in kinds.items() if "tuple" in kind or "dict" in kind or "RGB" in kind or "Pair" in kind
    }
    several.remove("plugins")  # paths, which may hold commas: the command line repeats the option
    assert several < Recipe.written().keys()


def test_a_file_may_hold_lists_of_numbers(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        'backbone = "tiny"\ndataset = "x"\nschedule = "multistep"\nmilestones = [3, 5]\nmean = [0.1, 0.2, 0.3]'
    )
    recipe = Recipe.make(**Recipe.read(path))
    assert recipe.milestones == (3, 5)
    assert recipe.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("line", "number"), [("epcohs = 3", 4), ("'epcohs' = 3", 4), ("[epcohs]", 4), ("epcohs.x = 3", 4)]
)
def test_an_unknown_key_names_its_line_and_the_nearest(tmp_path, line, number):
    path = tmp_path / "recipe.toml"
    path.write_text(f'backbone = "tiny"\n# epcohs\ndataset = "x"\n{line}\n')
    with refused("unknown-option", f"line {number}", "'epcohs'", "Did you mean epochs?"):
        Recipe.read(path)


def test_every_number_has_a_range_that_holds_its_default():
    recipe = make()
    for name, (low, high, _) in RANGES.items():
        value = getattr(recipe, name)
        assert value is None or low <= value <= high
