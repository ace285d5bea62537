"""What a command writes beside its answer: only in the place of a file of the same kind, and known before the work."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.cli.output_file import check_target, writing
from zoo.errors import UsageError


@pytest.mark.parametrize(
    ("command", "option", "suffix"),
    [
        ("evaluate", "--report", ".html"),
        ("info", "--model-card", ".md"),
        ("bench", "--plot", ".png"),
        ("preview", "--output", ".png"),
    ],
)
def test_no_file_of_another_kind_is_replaced(model, bars, tmp_path, monkeypatch, *, command, option, suffix):
    def never(*_, **__):
        raise AssertionError("the work began")

    for work in (
        "evaluation.evaluate.evaluate",
        "artifacts.predictor.read_card",
        "benchmarking.rounds.measure",
        "training.preview.make_preview",
    ):
        monkeypatch.setattr(f"zoo.{work}", never)
    content = model.read_bytes()
    subject = bars if command == "preview" else model
    cases = [
        (model, f"'{model}' has another suffix"),
        (tmp_path / "page", "has another suffix"),
        (tmp_path, "is a folder"),
        ("", "is a folder"),
        (tmp_path / "absent" / f"a{suffix}", "The folder"),
        (tmp_path / f"{'a' * 300}{suffix}", "cannot be written: file name too long"),
        (tmp_path / f"{'a' * 250}{suffix}", "cannot be written: file name too long"),  # under its temporary name
    ]
    for target, reason in cases:
        done = CliRunner().invoke(app, [command, str(subject), option, str(target)])
        assert isinstance(done.exception, UsageError), (target, done.output)
        assert reason in done.exception.cause
        assert option in done.exception.remedy
    assert model.read_bytes() == content
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


def test_an_earlier_one_may_be_replaced(model, tmp_path):
    target = tmp_path / "MODEL.MD"
    target.write_text("older")
    assert CliRunner().invoke(app, ["info", str(model), "--model-card", str(target)]).exit_code == 0
    assert "## " in target.read_text()


def test_what_is_there_is_left_alone_by_the_check(tmp_path):
    page = tmp_path / "page.HTM"
    page.write_text("older")
    check_target(page, "--report", "A report is an HTML page", ".html", ".htm")
    assert (page.read_text(), len(list(tmp_path.iterdir()))) == ("older", 1)


def test_what_the_system_refuses_is_a_wrong_command(tmp_path):
    with pytest.raises(UsageError, match="cannot be written: no space left") as error, writing(tmp_path, "--plot"):
        raise OSError(28, "No space left on device")
    assert "--plot" in error.value.remedy
