"""Trainings in a notebook, and with several processes in a script."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = {
    "train": """
import zoo
run = zoo.train("tiny", {bars!r}, epochs=2, image_size=16, augment="none", output="run")
run
""",
    "interrupt": """
from zoo.training.events import Listener

class Stop(Listener):
    def on_epoch_end(self, row, *, better):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

part = zoo.train("tiny", {bars!r}, epochs=9, image_size=16, augment="none", output="part", listeners=[Stop()])
print(part.info.status, part.info.best_epoch > 0)
""",
    "predict": """
artifact = zoo.export(run, "onnx")
zoo.load(artifact.path).predict([{picture!r}])
""",
    "wrong": 'zoo.train("tinny", {bars!r})',
    "several": 'zoo.train("tiny", {bars!r}, devices=2)',
}


def outputs(cell, kind: str) -> str:
    """All that a cell shows of a kind: text of a stream, or representations of a MIME type."""
    found = [each.get("text", "") for each in cell.outputs if each.output_type == "stream" and kind in each.name]
    return "".join(found + [each.data.get(kind, "") for each in cell.outputs if "data" in each])


@pytest.fixture(scope="module")
def notebook(bars, tmp_path_factory):
    """The cells, after they ran."""
    facts = {"bars": str(bars), "picture": str(bars / "test/bar/000.png")}
    cells = [nbformat.v4.new_code_cell(source.format(**facts)) for source in CELLS.values()]
    book = nbformat.v4.new_notebook(cells=cells)
    place = tmp_path_factory.mktemp("notebook")
    client = NotebookClient(book, timeout=120, allow_errors=True, resources={"metadata": {"path": str(place)}})
    client.execute()
    return dict(zip(CELLS, book.cells, strict=True))


def test_a_training_shows_its_table_and_its_run(notebook):
    shown = outputs(notebook["train"], "stdout")
    assert "Training" in shown
    assert "val loss" in shown
    assert "<progress" not in outputs(notebook["train"], "text/html")  # the bars are gone when they are done
    assert "run" in outputs(notebook["train"], "text/plain")


def test_an_interrupt_gives_back_the_run_so_far(notebook):
    cell = notebook["interrupt"]
    assert not [each for each in cell.outputs if each.output_type == "error"]
    *_, said, printed = outputs(cell, "stdout").splitlines()
    assert "Interrupted. part keeps epoch" in said
    assert printed == "interrupted True"


def test_a_file_predicts(notebook):
    assert "bar" in outputs(notebook["predict"], "text/plain")


def test_an_error_is_its_two_sentences(notebook):
    (error,) = [each for each in notebook["wrong"].outputs if each.output_type == "error"]
    assert len(error.traceback) == 1
    assert "zoo has no backbone named 'tinny'" in error.traceback[0]
    assert "Did you mean" in error.traceback[0]


def test_several_processes_need_a_script(notebook):
    (error,) = [each for each in notebook["several"].outputs if each.output_type == "error"]
    assert "2 processes need a script" in error.traceback[0]


SCRIPT = """
import zoo

print("begins", flush=True)
options = {{"devices": 2, "epochs": 1, "image_size": 16, "augment": "none", "batch_size": 16}}
run = zoo.train("tiny", {bars!r}, output="run", **options)
print("exported", zoo.export(run, "onnx").path.name, flush=True)
try:
    zoo.train("tiny", {bars!r}, output="again", **options)
except zoo.ZooError as error:
    print(error.code, flush=True)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_plain_script_goes_on_once(bars, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT.format(bars=str(bars)))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["begins", "begins", "exported model.onnx", "processes-ended"]


@pytest.mark.parametrize("how", ["-c", "-"])
def test_a_program_without_a_file_cannot_start_several(how, bars):
    code = f"import zoo; zoo.train('tiny', {str(bars)!r}, devices=2)"
    command = [sys.executable, *(("-c", code) if how == "-c" else ("-",))]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    assert "2 processes need a script" in done.stderr
