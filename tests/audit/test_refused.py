"""`zoo check` and `zoo train` refuse the same pictures, and the exit code of `zoo check` says so."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.cli import app
from zoo.errors import DataError

from ..watch import train

FINE = dict.fromkeys(("train", "val"), (6, 6))


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)


def tree(root, counts):
    """Pictures of the classes a and b in each split, or without splits."""
    seed = 0
    for split, numbers in counts.items():
        for label, number in zip("ab", numbers, strict=True):
            for index in range(number):
                save(root / split / label / f"{index:02}.png", seed := seed + 1)
    return root


def check(root, *options):
    done = CliRunner().invoke(app, ["check", str(root), *options])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def kinds(root, *options):
    return {problem["kind"] for problem in json.loads(check(root, "--json", *options).stdout)["problems"]}


def spoil(root, *names):
    for name in names:
        (root / name).write_bytes(b"no picture")


def all_of(root, folder):
    return [f"{folder}/{path.name}" for path in (root / folder).iterdir()]


CASES = {
    "fine": (FINE, ()),
    "two pictures in all": ({"": (1, 1)}, ()),
    "one class with one picture": ({"": (5, 1)}, ()),
    "own validation, two to train on": ({"train": (1, 1), "val": (1, 1)}, ()),
    "one of them unreadable": ({"train": (1, 1), "val": (1, 1)}, ("train/a/00.png",)),
    "validation class unreadable": ({"train": (60, 60), "val": (99, 1)}, ("val/b/00.png",)),
    "train class unreadable": ({"train": (99, 1), "val": (3, 3)}, ("train/b/00.png",)),
    "too many in train": (FINE, ("train/a/00.png",)),
    "too many in val": (FINE, ("val/a/00.png",)),
    "one in a hundred, cut": ({"": (60, 60)}, ("a/00.png",)),
    "two in a hundred, cut": ({"": (50, 50)}, ("a/00.png", "b/00.png")),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_check_refuses_what_train_refuses(tmp_path, no_plots, case, seed):
    counts, spoiled = CASES[case]
    root = tree(tmp_path / "data", counts)
    spoil(root, *spoiled)
    done = check(root, "--json", "--seed", str(seed))
    found = json.loads(done.stdout)
    try:
        train(root, tmp_path, epochs=1, seed=seed)
        refused = ""
    except DataError as error:
        refused = error.code
    assert found["usable"] is not bool(refused), (refused, found["problems"])
    assert done.exit_code == (1 if refused else 0)
    assert refused or "error" not in {problem["severity"] for problem in found["problems"]}


def test_an_unreadable_validation_class_is_named(tmp_path):
    root = tree(tmp_path, {"train": (60, 60), "val": (99, 1)})
    spoil(root, "val/b/00.png")
    assert "No picture of the class 'b' can be read in val." in check(root).stdout


def test_too_few_pictures_are_an_error(tmp_path):
    root = tree(tmp_path, {"": (1, 1)})
    assert kinds(root) == {"too-few-for-validation", "few-pictures"}
    assert "`zoo train` refuses these pictures" in check(root).stdout


def test_more_unreadable_pictures_may_be_allowed(tmp_path):
    root = tree(tmp_path, FINE)
    spoil(root, "train/a/00.png")
    assert check(root).exit_code == 1
    assert check(root, "--max-unreadable", "0.2").exit_code == 0


@pytest.mark.parametrize("strict", [False, True])
def test_errors_and_with_strict_warnings_are_exit_code_1(tmp_path, strict):
    options = ["--strict"] if strict else []
    root = tree(tmp_path, FINE)
    assert check(root, *options).exit_code == 0
    (root / "train" / "a" / ".DS_Store").touch()
    assert check(root, *options).exit_code == 0  # a note is not a warning
    Image.new("RGB", (16, 16)).save(root / "train" / "a" / "blank.png")
    assert kinds(root) == {"blank"}
    assert check(root, *options).exit_code == strict
    save(root / "train" / "b" / "copy.png", 1)  # of a picture of class a
    assert check(root, *options).exit_code == 1


def test_doubtful_classes_are_warnings(tmp_path):
    root = tree(tmp_path, {"": (6, 6)})
    for index in range(6):
        save(root / "A" / f"{index}.png", 100 + index)
    os.link(root / "b" / "00.png", root / "b" / "again.png")
    found = json.loads(check(root, "--json").stdout)["problems"]
    assert [problem["kind"] for problem in found] == ["doubtful-labels", "doubtful-labels"]
    assert check(root).exit_code == 0 and check(root, "--strict").exit_code == 1
    text = check(root)
    assert text.output.count("'A' and 'a'") == text.output.count("listed more than once") == 1
