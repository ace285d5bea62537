import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.recipes.recipe import Recipe


def zoo(*arguments: object, cwd=None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, timeout=120)


QUICK = ("--epochs", 1, "--image-size", 16, "--augment", "none", "--batch-size", 16)


def test_help_names_every_option_of_the_recipe():
    text = CliRunner().invoke(app, ["train", "--help"], terminal_width=200).output
    for field in dataclasses.fields(Recipe)[2:]:
        assert "--" + field.name.replace("_", "-") in text


def test_it_prints_a_summary_the_figures_and_what_to_do_next(bars, tmp_path):
    result = zoo("train", "tiny", bars, *QUICK, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for fact in ("120 training, 18 validation", "18 test", "3: bar, line, slope", "full", "device", "runs/tiny-bars-"):
        assert fact in result.stderr
    run = next((tmp_path / "runs").iterdir())
    assert f"zoo export runs/{run.name} --onnx --torchscript" in result.stdout
    assert "test accuracy" in result.stdout


def test_json_is_the_run(bars, tmp_path):
    result = zoo("train", "tiny", bars, *QUICK, "--output", tmp_path / "run", "--json")
    said = json.loads(result.stdout)
    assert said["metrics"] == json.loads((tmp_path / "run" / "run.json").read_text())["metrics"]


def test_options_win_over_a_recipe(trained, tmp_path):
    output = tmp_path / "run"
    result = zoo("train", "--recipe", trained.path / "recipe.toml", "--epochs", 1, "--output", output)
    assert result.returncode == 0, result.stderr
    recipe = Recipe.make(**Recipe.read(output / "recipe.toml"))
    assert recipe == dataclasses.replace(trained.recipe, epochs=1)


@pytest.mark.parametrize(
    ("arguments", "cause", "remedy"),
    [
        (["resnet81", "mnist"], "no backbone named 'resnet81'", "resnet18"),
        (["tiny", "minst"], "no dataset named 'minst'", "mnist"),
        (["tiny", "./nowhere"], "'./nowhere' does not exist", "folder"),
        (["tiny"], "needs a dataset", "zoo train BACKBONE DATASET"),
        (["tiny", "mnist", "--val", "x"], "splits of its own", "--val"),
        (["tiny", ".", "--epochs", "0"], "epochs cannot be 0", "--epochs"),
        (["--recipe", "none.toml"], "no recipe at none.toml", "recipe.toml"),
    ],
)
def test_a_wrong_command_says_what_and_how(arguments, cause, remedy, tmp_path):
    result = zoo("train", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert cause in result.stderr
    assert remedy in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_strategy_lists_those_there_are(bars):
    result = zoo("train", "tiny", bars, "--strategy", "heads")
    assert result.returncode == 2
    assert "head" in result.stderr
    assert "finetune" in result.stderr


def test_without_torch_it_names_the_extra(bars):
    code = "import sys; sys.modules['torch'] = None; sys.argv = ['zoo', 'train', 'tiny', sys.argv[1]]\n"
    code += "from zoo.cli import main; main()"
    command = [sys.executable, "-c", code, str(bars)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "pip install 'visionzoo[train]'" in result.stderr


def test_ctrl_c_keeps_the_best_epoch(bars, tmp_path):
    output = tmp_path / "run"
    command = [sys.executable, "-m", "zoo", "train", "tiny", bars, "--epochs", "10000", "--output", output]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 90
    while not (output / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Interrupted. {output} keeps epoch" in errors
    assert "Traceback" not in errors
    info = json.loads((output / "run.json").read_text())
    assert info["status"] == "interrupted"
    assert (output / "best.safetensors").exists()
    assert not list(output.glob(".*"))
