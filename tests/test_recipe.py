import pytest

from zoo.errors import UsageError
from zoo.recipe import Recipe


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
        ({"epoch": 3}, "no option 'epoch'", "epochs"),
        ({"epochs": 0}, "epochs cannot be 0", "from 1"),
        ({"epochs": "many"}, "epochs cannot be 'many'", "--epochs"),
        ({"strategy": "gradual-ish"}, "strategy cannot be 'gradual-ish'", "--strategy"),
        ({"label_smoothing": 1.0}, "label_smoothing cannot be 1.0", "below 1"),
        ({"learning_rate": -1.0}, "learning_rate cannot be -1.0", "above 0"),
        ({"max_unreadable": 1.5}, "max_unreadable cannot be 1.5", "from 0 to 1"),
    ],
)
def test_impossible_options_name_themselves(options, cause, remedy):
    with pytest.raises(UsageError) as error:
        make(**options)
    assert cause in error.value.cause
    assert remedy in error.value.remedy


def test_a_missing_backbone_is_named():
    with pytest.raises(UsageError, match="needs a backbone"):
        Recipe.make(dataset="mnist")


@pytest.mark.parametrize("content", [None, b"epochs = = 3", b"\xff\xfe"])
def test_a_recipe_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe\.toml"):
        Recipe.read(path)
