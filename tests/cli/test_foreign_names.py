"""Names that are not UTF-8, and terminals that are not: every command works, and programs can read what it prints."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.artifacts.predictor import read_card
from zoo.exporting.pipeline import export
from zoo.runs.run import Run

from ..conftest import draw
from ..here import artifacts_here
from ..watch import train

CAT = "猫"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two classes in a folder, and files in them, with a byte in their names that is not UTF-8."""
    root = tmp_path_factory.mktemp("data") / os.fsdecode(b"ph\xf6tos")
    rng = np.random.default_rng(0)
    for label, name in enumerate((CAT, "\N{DOG FACE}")):
        (root / name).mkdir(parents=True)
        for index in range(8):
            file = root / name / os.fsdecode(b"caf\xe9%d.png" % index)
            Image.fromarray(draw(label, rng)).save(file)
    (root / CAT / os.fsdecode(b"n\xf6te.txt")).write_text("no picture")
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory) -> Run:
    return train(photos, tmp_path_factory.mktemp("runs"), epochs=1)


@pytest.fixture(scope="module")
def model(run, tmp_path_factory) -> Path:
    with artifacts_here():
        return export(run, "onnx", tmp_path_factory.mktemp("model") / "model.onnx").path


def zoo(*arguments, encoding="utf-8"):
    return started([sys.executable, "-m", "zoo", *map(str, arguments)], encoding)


def started(command, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert b"Traceback" not in done.stderr, done.stderr
    return done


def test_a_run_keeps_the_names(run, photos):
    again = Run(run.path)
    assert again.recipe.dataset == str(photos)
    assert again.info.dataset.source == str(photos)
    assert len(again.dataset().train) == 16


def test_a_card_holds_text_alone_and_no_folder_of_this_machine(model, photos):
    card = read_card(model)
    assert card.dataset.source == "ph\ufffdtos"
    (note,) = card.dataset.notes
    assert "n\ufffdte.txt" in note and str(photos.parent) not in note


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_predict_as_json(model, photos, encoding):
    done = zoo("predict", model, photos, "--json", encoding=encoding)
    assert done.returncode == 0
    rows = json.loads(done.stdout.decode(encoding))
    assert {Path(row["file"]) for row in rows} == set(photos.rglob("*.png"))
    assert {row["label"] for row in rows} <= {CAT, "\N{DOG FACE}"}


@pytest.mark.parametrize(("encoding", "label"), [("utf-8", CAT), ("cp1252", "\\u732b"), ("ascii", "\\u732b")])
def test_predict_as_csv(model, photos, encoding, label):
    done = zoo("predict", model, photos, "--csv", encoding=encoding)
    assert done.returncode == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode("utf-8", "surrogateescape"))))
    if encoding == "utf-8":
        assert {Path(row["file"]) for row in rows} == set(photos.rglob("*.png"))
    assert len(rows) == 16 and {row["label"] for row in rows} | {row["label_2"] for row in rows} >= {label}


# Several commands in one process, which imports torch once.
EACH = """
import json, sys
from pathlib import Path

from zoo.cli import main

codes, answer = [], Path(sys.argv[1])
for arguments in json.loads(sys.argv[2]):
    sys.argv[1:] = arguments
    try:
        main()
        codes.append(0)
    except SystemExit as ended:
        codes.append(ended.code or 0)
answer.write_text(json.dumps(codes))
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_tables_under_other_encodings(encoding, model, run, photos, tmp_path):
    commands = [
        ("predict", model, photos),
        ("check", photos),
        ("evaluate", run.path),
        ("info", model),
        ("predict", model, photos / os.fsdecode(b"g\xf6ne.png")),
    ]
    given = json.dumps([list(map(str, command)) for command in commands])
    started([sys.executable, "-c", EACH, str(tmp_path / "codes"), given], encoding)
    assert json.loads((tmp_path / "codes").read_text()) == [0, 0, 0, 0, 1]


def test_a_list_file_in_another_encoding_finds_names_of_the_same_bytes(photos, tmp_path):
    listed = tmp_path / "list.csv"
    names = [os.fsencode(path.relative_to(photos)) for path in sorted((photos / CAT).glob("*.png"))]
    plain = [name.replace(CAT.encode(), b"cat") for name in names]
    (tmp_path / "cat").symlink_to(photos / CAT)
    rows = zip(plain, [b"a", b"b"] * 4, strict=True)
    listed.write_bytes(b"path,label\n" + b"".join(b"%s,%s\n" % row for row in rows))
    done = zoo("check", listed, "--encoding", "latin-1", "--json")
    assert json.loads(done.stdout)["splits"]["train"]["pictures"] == 8, done.stderr
