"""What a plugin does to the whole process when it loads: undone, or named."""

import ctypes
import importlib.metadata
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image, ImageFile

from zoo.processes.state import ProcessEndError, exit_refused, stdout_kept
from zoo.registry import Registry, core, patience
from zoo.registry.discovery import Plugin
from zoo.registry.loading import FaultyPluginError, isolated

BODY = """
import signal, time
from PIL import Image, ImageFile
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: None)
ImageFile.LOAD_TRUNCATED_IMAGES = True
Image.MAX_IMAGE_PIXELS = None
time.sleep({seconds})


@hookimpl
def zoo_backbones():
    signal.signal(signal.SIGUSR1, lambda *_: None)
    yield BackboneSpec(name="rude", build=print, head="fc", stages=print)
"""


@pytest.fixture
def rude(tmp_path, monkeypatch):
    """The registry of a plugin that changes what belongs to everybody."""

    def make(seconds: float = 0) -> Registry:
        module = f"rude_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(BODY.format(seconds=seconds))
        metadata = tmp_path / "rude-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rude\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[zoo]\nrude = {module}\n")
        monkeypatch.syspath_prepend(tmp_path)
        found = importlib.metadata.distributions(path=[str(tmp_path)])
        return Registry(entry for each in found for entry in each.entry_points)

    return make


@pytest.mark.skipif(os.name != "posix", reason="the C library has another name")
def test_what_a_library_prints_through_c_goes_to_stderr(capfd):
    library = ctypes.CDLL(None)
    library.fdopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(library.fdopen(1, b"w"))  # C's own stdout has no buffer where PYTHONUNBUFFERED is set
    library.fputs(b"mine ", file)
    with stdout_kept():
        library.fputs(b"of a plugin ", file)
    library.fputs(b"mine again", file)
    library.fflush(None)
    assert capfd.readouterr() == ("mine mine again", "of a plugin ")


def test_signal_handlers_and_pillows_settings_stay(rude):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    pillow = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    host = rude()
    assert host.backbone("rude").name == "rude"
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert pillow == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    assert host.problems == []


def test_a_plugin_that_is_slow_to_import_is_named_and_works(rude, monkeypatch):
    monkeypatch.setattr(core, "SLOW_SECONDS", 0.1)
    host = rude(seconds=0.2)
    assert host.backbone("rude").name == "rude"
    (problem,) = host.problems
    assert problem.plugin.distribution == "rude"
    assert "seconds: commands that need it wait" in problem.cause
    assert "pip uninstall rude" in problem.remedy
    assert host.plugins()[0].state == "loaded"


@pytest.mark.parametrize(("name", "arguments"), [("_exit", (0,)), ("abort", ())])
def test_code_of_a_plugin_cannot_end_the_process(name, arguments):
    def stubborn():
        try:
            getattr(os, name)(*arguments)
        except Exception:
            os._exit(5)

    real = (os._exit, os.abort)
    words = r"Importing it called os\.\w+\(\d?\), which would end zoo"
    with pytest.raises(FaultyPluginError, match=words), isolated("Importing it"):
        stubborn()
    assert (os._exit, os.abort) == real


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_ends_as_it_should():
    with exit_refused():
        child = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,))
        child.start()
        child.join()
    assert child.exitcode == 7


def test_the_exit_code_may_be_given_by_name(monkeypatch):
    ended = []

    def end(status):
        ended.append(status)

    monkeypatch.setattr(os, "_exit", end)
    with exit_refused():
        with pytest.raises(ProcessEndError, match=r"os\._exit\(3\)"):
            os._exit(status=3)
        thread = threading.Thread(target=lambda: os._exit(status=4))
        thread.start()
        thread.join()
    assert ended == [4]


def test_another_thread_may_end_the_process(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with exit_refused():
        thread = threading.Thread(target=lambda: os._exit(3))
        thread.start()
        thread.join()
        with pytest.raises(ProcessEndError):
            os._exit(4)
    os._exit(5)
    assert ended == [3, 5]


def test_descriptor_1_is_stderr_until_the_last_thread_is_done(capfd):
    inside, leave = threading.Event(), threading.Event()

    def second():
        with stdout_kept():
            inside.set()
            leave.wait(10)

    with stdout_kept():
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait(10)
    os.write(1, b"plugin\n")
    leave.set()
    thread.join()
    os.write(1, b"result\n")
    print("printed")
    sys.stdout.flush()
    assert capfd.readouterr() == ("result\nprinted\n", "plugin\n")


def test_text_from_before_is_not_lost(tmp_path):
    script = (
        "import os, sys; from zoo.processes.state import stdout_kept\n"
        "print('before')\n"
        "with stdout_kept(): print('in'); os.write(1, b'raw\\n'); sys.__stdout__.write('kept\\n')\n"
        "print('after')"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", script], env=buffered, capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert set(done.stderr.split()) == {"in", "raw", "kept"}


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_descriptor_is_no_matter(closed):
    script = f"import os; os.close({closed})\nfrom zoo.processes.state import stdout_kept\nwith stdout_kept(): pass"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_plugin_that_does_not_end_is_named_while_it_loads(monkeypatch, capsys):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.04)
    watch = patience.Patience().watch
    for _ in range(2):
        with watch(Plugin("main", "outer", "1.0", None)), watch(Plugin("main", "sleepy", "1.0", None)):
            time.sleep(0.3)
        said = capsys.readouterr().err
        assert said.count("Importing the plugin 'sleepy:main' takes long.") == 1
        assert "zoo plugins disable sleepy" in said
        time.sleep(0.1)  # the thread ends, and another one begins
