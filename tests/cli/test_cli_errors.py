"""What goes wrong around a command ends with a sentence, a remedy and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.cli import app, main
from zoo.cli.console import fail, warn
from zoo.errors import ArtifactError, UnreadablePictureError
from zoo.images import read_picture

LONG = "a" * 300


@pytest.fixture
def failed(tmp_path, monkeypatch, capsys):
    """Runs a command that must fail; returns its exit code and what it says."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # or it is called `python -m pytest.zoo`
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert not said.out
        return end.value.code, said.err

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "{model}", f"{LONG}.jpg"],
        ["info", f"{LONG}.onnx"],
        ["evaluate", LONG],
        ["evaluate", "{model}", LONG],
        ["verify", "{model}", "--data", LONG],
        ["export", "{run}", "--onnx", "--output", LONG],
        ["train", "tiny", LONG],
        ["lr-find", "tiny", "{bars}", "--output", LONG],
    ],
)
def test_a_name_that_is_too_long_is_named(failed, model, trained, bars, arguments):
    code, said = failed(*(word.format(model=model, run=trained.path, bars=bars) for word in arguments))
    assert code in (1, 2)
    assert LONG in said
    assert "file name too long" in said


@pytest.mark.parametrize(
    "arguments",
    [["check", ""], ["train", "tiny", ""], ["evaluate", "{model}", ""], ["verify", "{model}", "--data", ""]],
)
def test_an_empty_name_is_that_of_no_dataset(failed, model, arguments):
    code, said = failed(*(word.format(model=model) for word in arguments))
    assert code == 2
    assert "zoo has no dataset named ''." in said


def test_a_picture_whose_name_is_too_long_cannot_be_read():
    with pytest.raises(UnreadablePictureError, match="file name too long"):
        read_picture(f"{LONG}.jpg")


@pytest.mark.parametrize("command", ["verify", "predict", "bench", "demo", "serve", "evaluate"])
def test_a_device_that_is_none_is_a_wrong_command(failed, model, command):
    code, said = failed(command, model, *["."] * (command == "predict"), "--device", "tpu")
    assert code == 2
    assert "--device" in said
    assert "'tpu'" in said
    assert "cuda" in said


@pytest.mark.parametrize("command", ["verify", "predict", "bench", "info", "demo", "serve", "evaluate"])
def test_a_file_that_is_not_there_is_a_wrong_command_and_a_damaged_one_a_failed_job(failed, tmp_path, command):
    (tmp_path / "damaged.onnx").write_bytes(b"\x08\x07")
    (tmp_path / "folder.onnx").mkdir()
    for name, code in (("absent.onnx", 2), ("folder.onnx", 2), ("damaged.onnx", 1)):
        found, said = failed(command, name, *["a.png"] * (command == "predict"))
        assert (found, name in said) == (code, True), said


@pytest.mark.parametrize(
    ("line", "cause", "remedy"),
    [
        ("export --precision bf16", "The option --precision cannot be 'bf16'.", "Choose one of fp32, fp16, int8."),
        ("evaluate a --split tst", "The option --split cannot be 'tst'.", "Choose one of test, val, train."),
        ("list runns", "The argument what cannot be 'runns'.", "Choose one of backbones, datasets, exporters,"),
        ("predict a b --top-k 0", "The option --top-k cannot be '0'.", "Give a whole number of at least 1."),
        ("predict a b --top-k x", "The option --top-k cannot be 'x'.", "Give a whole number of at least 1."),
        ("demo --port 70000", "The option --port cannot be '70000'.", "Give a whole number from 1 to 65535."),
        ("train a b --epochs 1.5", "The option --epochs cannot be '1.5'.", "Give a whole number.\n"),
        ("train a b --rotate far", "The option --rotate cannot be 'far'.", "Give a number.\n"),
        ("predict a b --topk 3", "No such option: --topk.", "Did you mean --top-k? See: zoo predict --help"),
        ("predcit a b", "No such command 'predcit'. Did you mean 'predict'?\n", "See: zoo --help"),
        ("predict", "Missing argument 'artifact'.", "See: zoo predict --help"),
        ("export --format", "Option '--format' requires an argument.", "See: zoo export --help"),
        ("train a b c", "Got unexpected extra argument(s) (c).", "See: zoo train --help"),
    ],
)
def test_a_command_line_that_cannot_be_taken_has_a_remedy(failed, line, cause, remedy):
    code, said = failed(*line.split())
    assert code == 2
    assert cause in said
    assert f"\n{remedy}" in said
    assert "Input should" not in said
    assert "Value error" not in said


def test_without_a_command_there_is_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["zoo"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert "First steps:" in said.out + said.err
    assert "Error:" not in said.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("command", ["predict", "csv", "json", "info"])
def test_output_that_cannot_be_written_is_said(model, tmp_path, command, buffered):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    arguments = {
        "predict": ["predict", model, tmp_path],
        "csv": ["predict", model, tmp_path, tmp_path / "absent.png", "--csv"],
        "json": ["predict", model, tmp_path, "--json"],
        "info": ["info", model, "--json"],
    }[command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "zoo", *map(str, arguments)],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": buffered},
        )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "Error: The output cannot be written: no space left on device.\nFree some space, or write it elsewhere.\n"
    )
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


def test_words_of_untrusted_files_in_an_error_do_not_steer_the_terminal(capsys):
    strange = "\x1b]0;owned\x07\x9b31m"
    warn(strange)
    with pytest.raises(SystemExit):
        fail(ArtifactError(strange, strange))
    said = capsys.readouterr().err
    assert said.count("]0;owned") == 3
    assert not set("\x1b\x07\x9b") & set(said)


def test_a_closed_stdout_hides_no_error():
    done = subprocess.run(
        f"{sys.executable} -m zoo info nothing.onnx >&-", shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The file nothing.onnx was not found.")


def test_a_reader_that_leaves_early_is_no_fault_of_the_cache(monkeypatch):
    def leave(_):
        raise BrokenPipeError

    monkeypatch.setattr("zoo.cli.cache.print_table", leave)
    assert isinstance(CliRunner().invoke(app, ["cache"]).exception, BrokenPipeError)
