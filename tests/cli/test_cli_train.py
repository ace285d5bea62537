import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from zoo.cli import app, main
from zoo.cli.option_groups import FIRST, GROUPS
from zoo.cli.train import _figures
from zoo.recipes.recipe import Recipe
from zoo.recipes.values import flag
from zoo.runs.info import Parameters
from zoo.runs.run import Run


@pytest.fixture
def zoo(tmp_path, monkeypatch, capsys):
    """Runs the command in this process, which has imported torch; `test_screens.py` starts it as users do."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        stdout, stderr = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code or 0, stdout=stdout, stderr=stderr)

    return run


QUICK = ("--epochs", 1, "--image-size", 16, "--augment", "none", "--batch-size", 16)


def test_help_all_names_every_option_once_in_its_group():
    text = CliRunner().invoke(app, ["train", "--help-all"], terminal_width=100).output
    assert max(map(len, text.splitlines())) <= 100
    for name in [field.name for field in dataclasses.fields(Recipe)[2:]] + ["recipe", "output", "resume", "json"]:
        assert len(re.findall(rf"^  {flag(name)}[ /]", text, re.MULTILINE)) == 1, name
        assert sum(name in names for names in GROUPS.values()) == 1, name
    assert [title for title in GROUPS if f"\n{title}:\n" in text] == list(GROUPS)
    assert "\nOther:\n  --help-all" in text


def test_help_shows_what_most_people_need_and_where_the_rest_is():
    text = CliRunner().invoke(app, ["train", "--help"], terminal_width=200).output
    assert max(map(len, text.splitlines())) <= 120
    options = re.findall(r"^  (?:-h, )?--([a-z-]+)", text, re.MULTILINE)
    assert options == [name.replace("_", "-") for name in FIRST] + ["help-all", "help"]
    assert "--help-all" not in CliRunner().invoke(app, ["preview", "--help"]).output


def test_commands_stand_in_the_order_of_use():
    text = CliRunner().invoke(app, ["--help"]).output
    names = re.findall(r"^  ([a-z-]+)  ", text.partition("Commands:")[2], re.MULTILINE)
    assert [name for name in names if name in ("check", "train", "evaluate", "export", "predict", "cache")] == [
        "check", "train", "evaluate", "export", "predict", "cache",
    ]  # fmt: skip


def test_it_prints_a_summary_the_figures_and_what_to_do_next(zoo, bars, tmp_path):
    result = zoo("train", "tiny", bars, *QUICK)
    assert result.returncode == 0, result.stderr
    for fact in ("120 training, 18 validation", "18 test", "3: bar, line, slope", "full", "device", "runs/tiny-bars-"):
        assert fact in result.stderr
    run = next((tmp_path / "runs").iterdir())
    assert f"zoo export runs/{run.name} --onnx --torchscript" in result.stdout
    assert "test accuracy" in result.stdout


@pytest.mark.usefixtures("no_plots")
def test_json_is_the_run(zoo, bars, tmp_path):
    result = zoo("train", "tiny", bars, *QUICK, "--output", tmp_path / "run", "--json")
    said = json.loads(result.stdout)
    assert said["metrics"] == json.loads((tmp_path / "run" / "run.json").read_text())["metrics"]


@pytest.mark.usefixtures("no_plots")
def test_options_win_over_a_recipe(zoo, trained, tmp_path):
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
        (["--recipe", "none.toml"], "none.toml was not found", "recipe.toml"),
    ],
)
def test_a_wrong_command_says_what_and_how(zoo, arguments, cause, remedy, tmp_path):
    result = zoo("train", *arguments)
    assert result.returncode == 2
    assert cause in result.stderr
    assert remedy in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_strategy_lists_those_there_are(zoo, bars):
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


@pytest.mark.usefixtures("no_plots")
def test_a_part_of_the_pictures_is_said_in_the_run_and_the_card(zoo, bars, tmp_path):
    output = tmp_path / "run"
    result = zoo("train", "tiny", bars, *QUICK, "--limit", 31, "--output", output)
    assert result.returncode == 0, result.stderr
    assert "31 training (of 120: --limit), 18 validation" in result.stderr
    note = "Trained on 31 of 120 training pictures (--limit)."
    assert json.loads((output / "run.json").read_text())["dataset"]["notes"][-1] == note
    exported = zoo("export", output, "--onnx", "--output", tmp_path / "model.onnx")
    assert exported.returncode == 0, exported.stderr
    assert note in zoo("info", tmp_path / "model.onnx").stdout
    assert "31 training pictures" in zoo("info", output).stdout


def test_info_of_a_run_is_what_came_of_it(zoo, trained):
    text = zoo("info", trained.path).stdout
    for fact in ("finished", "tiny", "3: bar, line, slope", f"{trained.info.best_epoch}, val_loss", "test figures"):
        assert fact in text
    assert json.loads(zoo("info", trained.path, "--json").stdout)["metrics"] == trained.metrics


def finished(precision="bf16", split="validation", top1=0.84):
    """What the command prints of a run whose kept epoch had 86% of 50 validation pictures."""
    info = SimpleNamespace(
        metrics_split=split,
        plan=SimpleNamespace(precision=precision, frozen_precision=precision),
        validation={"val_loss": 0.5, "val_top1": 0.86},
        best_epoch=2,
        training_seconds=90.0,
        parameters=Parameters(total=12345, trainable=345),
    )
    figures = {"top1": top1, "loss": 0.5, "num_pictures": 50}
    return _figures(SimpleNamespace(info=info, metrics=figures))


def test_the_figures_at_the_end():
    assert finished(split="test").splitlines() == [
        "Final:  test accuracy 84.00%, loss 0.5000, 50 pictures",
        "Best:   epoch 2, validation accuracy 86.00%, loss 0.5000",
        "Time:   90 s of training",
        "Size:   12,345 parameters, 345 of them trainable",
    ]


def test_two_figures_of_one_split_are_explained_where_they_differ():
    assert "rounded to 8 bits, and computed in bf16)" in finished()
    assert "rounded to 8 bits)" in finished(precision="fp32")
    assert "8 bits" not in finished(top1=0.86)
    assert "8 bits" not in finished(split="test")


def test_a_run_that_holds_idle_options_opens(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "older")
    with (tmp_path / "older" / "recipe.toml").open("a") as file:
        file.write("step_epochs = 3\n")  # its schedule is cosine
    assert Run(tmp_path / "older").recipe == trained.recipe


@pytest.mark.parametrize("text", ["{}", '{"status": "running"}', "[]"])
def test_info_of_a_damaged_run_says_so(zoo, trained, tmp_path, text):
    (tmp_path / "recipe.toml").write_text((trained.path / "recipe.toml").read_text())
    (tmp_path / "run.json").write_text(text)
    done = zoo("info", tmp_path)
    assert done.returncode == 2
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr
