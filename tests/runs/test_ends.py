"""How trainings end: killed, ended by a signal, beside others, and what is said about it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

import zoo
from zoo.files import remove_abandoned, temporary_name, work_folder, write_atomically
from zoo.registry import registry
from zoo.runs.folder import in_use
from zoo.runs.run import Run
from zoo.specs import LoggerSpec
from zoo.training.events import Listener
from zoo.training.listeners import open_logger

from ..refusals import refused
from ..watch import interrupt_after

OPTIONS = {"image_size": 16, "batch_size": 16, "augment": "none"}

pytestmark = pytest.mark.usefixtures("no_plots")


@pytest.fixture
def interrupted(bars, tmp_path, monkeypatch, capsys):
    """A run that was interrupted behind its second epoch; `capsys` has what it printed."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 2)
        zoo.train("tiny", bars, output=tmp_path / "run", epochs=4, progress=True, **OPTIONS)
    return tmp_path / "run"


class Ends(Listener):
    """Interrupts a training at an event."""

    def __init__(self, event, error=KeyboardInterrupt):
        def end(*_, **__):
            raise error

        setattr(self, event, end)


def test_what_an_interrupt_says_is_there(interrupted, capsys):
    said = capsys.readouterr().err
    assert f"Interrupted. {interrupted} keeps epoch " in said
    assert f"Continue with: zoo train --resume {interrupted}" in said
    assert Run(interrupted).info.status == "interrupted"


def test_a_resume_that_is_interrupted_while_it_starts_still_knows_its_epochs(interrupted, capsys):
    best = Run(interrupted).info.best_epoch
    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        zoo.resume(interrupted, progress=True, listeners=[Ends("on_fit_start")])
    assert f"keeps epoch {best}, the best so far. Continue with: zoo train --resume" in capsys.readouterr().err
    assert Run(interrupted).info.status == "interrupted"


def test_nothing_is_promised_that_is_not_there(bars, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        zoo.train("tiny", bars, output=tmp_path / "run", progress=True, listeners=[Ends("on_fit_start")], **OPTIONS)
    assert "Interrupted. No epoch had ended. Nothing else is kept." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_failed_training_says_so_in_its_file(bars, tmp_path):
    with pytest.raises(RuntimeError):
        zoo.train(
            "tiny",
            bars,
            output=tmp_path / "run",
            epochs=2,
            listeners=[Ends("on_epoch_end", RuntimeError)],
            **OPTIONS,
        )
    assert Run(tmp_path / "run").info.status == "failed"


def test_the_same_command_again_names_resume(interrupted, bars):
    with refused("not-empty", interrupted, f"zoo train --resume {interrupted}"):
        zoo.train("tiny", bars, output=interrupted, **OPTIONS)


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("no locks")])
def test_a_file_system_without_locks_is_no_obstacle(bars, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with in_use(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


def test_files_of_a_killed_process_go_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = temporary_name(tmp_path / "last.ckpt")
    mine.write_bytes(b"mine")
    abandoned = mine.with_name(mine.name.replace(str(os.getpid()), str(dead.pid)))
    abandoned.write_bytes(b"old")
    folder = tmp_path / mine.name.replace(".last.ckpt.", ".zoo-").replace(str(os.getpid()), f"{dead.pid}-x1y2")
    folder = folder.with_name(folder.name.removesuffix(".tmp"))
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"old")
    others = [tmp_path / ".zoo-mine", tmp_path / ".hidden.tmp", tmp_path / "model.onnx"]
    for each in others:
        each.touch()
    with work_folder(tmp_path) as place:
        assert not abandoned.exists()
        assert not folder.exists()
        remove_abandoned(tmp_path)
        assert place.is_dir()
    assert mine.read_bytes() == b"mine"
    assert all(each.exists() for each in others)


@pytest.mark.skipif(os.name != "posix", reason="umask is POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_are_as_readable_as_the_umask_says(tmp_path, umask, mode):
    def write(path: Path):  # as safetensors does
        path.unlink()
        path.touch(mode=0o600)

    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "best.safetensors", write)
    finally:
        os.umask(before)
    assert (tmp_path / "best.safetensors").stat().st_mode & 0o777 == mode


def test_sigterm_interrupts_a_training_and_says_how_to_continue(bars, tmp_path):
    command = [sys.executable, "-m", "zoo", "train", "tiny", str(bars), "--output", "run", "--epochs", "100000"]
    arguments = ["--image-size", "16", "--strategy", "full", "--weights", "none"]
    process = subprocess.Popen([*command, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and not (tmp_path / "run" / "last.ckpt").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Continue with: zoo train --resume run" in said
    assert "Traceback" not in said
    assert Run(tmp_path / "run").info.status == "interrupted"


def test_a_training_puts_the_handler_of_sigterm_back(bars, tmp_path):
    seen = []

    class Looks(Listener):
        def on_fit_start(self, epochs):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    zoo.train("tiny", bars, output=tmp_path / "run", epochs=1, listeners=[Looks()], **OPTIONS)
    assert seen != [signal.SIG_DFL]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("name", ["train", "resume"])
def test_without_torch_the_python_api_names_the_extra(name):
    code = f"import sys; sys.modules['torch'] = None\nimport zoo\ntry:\n    zoo.{name}\nexcept zoo.ZooError as error:\n"
    done = subprocess.run([sys.executable, "-c", f"{code}    print(error)"], capture_output=True, text=True, check=True)
    assert "pip install 'visionzoo[train]'" in done.stdout


def test_without_torch_an_export_names_the_extra(trained, tmp_path):
    code = "import sys; sys.modules['torch'] = None\nfrom zoo.cli import main\nmain()"
    command = [sys.executable, "-c", code, "export", str(trained.path), "--onnx", "--output", str(tmp_path / "x.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'visionzoo[train]'" in done.stderr
    assert "Traceback" not in done.stderr


class Odd:
    """A logger that ends the process, or takes the row apart."""

    def __init__(self, what):
        self.what, self.rows = what, 0

    def __call__(self, _):
        return self

    def log(self, row):
        self.rows += 1
        if self.what == "exits":
            sys.exit(3)
        row.clear()

    def close(self):
        if self.what == "exits at its end":
            sys.exit(3)


@pytest.mark.parametrize("what", ["exits", "clears its row", "exits at its end"])
def test_no_logger_can_end_a_training(bars, tmp_path, monkeypatch, capsys, what):
    odd = Odd(what)
    entry = registry().logger("csv")
    found = type("Found", (), {"name": "odd", "spec": LoggerSpec(name="odd", create=odd)})
    monkeypatch.setattr(type(registry()), "logger", lambda _, name: found if name == "odd" else entry)
    run = zoo.train("tiny", bars, output=tmp_path / "run", epochs=2, loggers="odd,csv", progress=True, **OPTIONS)
    assert [row["epoch"] for row in run.rows()] == ["1", "2"]
    assert run.info.status == "finished"
    assert odd.rows == (1 if what == "exits" else 2)
    assert ("The logger 'odd' failed" in capsys.readouterr().err) == (what != "clears its row")


def test_a_logger_that_exits_while_it_starts_is_named(tmp_path):
    spec = LoggerSpec(name="odd", create=lambda _: sys.exit(3))
    with refused("logger-failed", "'odd'", "SystemExit"):
        open_logger("odd", spec, tmp_path, None)
