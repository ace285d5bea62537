"""What never ends is ended: by a limit, by the first signal, and with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import zoo.processes.threads
from zoo import parity
from zoo.artifacts.predictor import read_card
from zoo.errors import UsageError
from zoo.exporting.pipeline import export
from zoo.parity.process import fresh_process
from zoo.parity.references import reference_of
from zoo.parity.refusal import LateError
from zoo.parity.verify import verify
from zoo.processes.threads import Threads, aside
from zoo.registry import registry
from zoo.specs import PreprocessSpec

from ..endless import ended, members, start, wait_for, write_loop, write_slow_to_open
from ..refusals import refused

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux to list processes")
SPEC = PreprocessSpec(image_size=28)
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143}  # exit codes
PICTURES = np.zeros((2, 9, 9, 3), np.uint8)

# Formats as ONNX: `endless` is written as a file that never answers; `slow` waits before each answer, `odd` does what
# its pictures say.
PLUGIN = """
import os
import time

import numpy as np

from zoo.hookspecs import hookimpl
from zoo.specs import ExporterSpec, Written


def write(classifier, path, options):
    path.write_bytes(b"")
    return Written()


def never(path, options):
    def run(images):
        while True:
            time.sleep(1)

    return run


def slow(path, options):
    def run(images):
        time.sleep(0.5)
        return images.mean((1, 2), dtype=np.float32)

    return run


@hookimpl
def zoo_exporters():
    for name, load in {"endless": never, "slow": slow}.items():
        yield ExporterSpec(
            name=name,
            suffix=f".{name}",
            write=write,
            write_card=lambda path, text: path.write_text(text),
            read_card=lambda path: path.read_text(),
            content_hash=lambda path: "sha256:0",
            load=load,
        )
"""


@pytest.fixture(scope="module", autouse=True)
def formats(tmp_path_factory, tiny_plugin):
    """Makes the formats known to this process and to those that it starts."""
    site = tmp_path_factory.mktemp("formats")
    (site / "zoo_formats.py").write_text(PLUGIN)
    metadata = site / "zoo_formats-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-formats\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[zoo]\nformats = zoo_formats\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
        registry.cache_clear()
        yield
    registry.cache_clear()
    sys.modules.pop("zoo_formats", None)


@pytest.fixture(scope="module")
def endless(tmp_path_factory) -> Path:
    return write_loop(tmp_path_factory.mktemp("endless") / "endless.onnx")


@pytest.fixture
def odd(tmp_path) -> Path:
    from ..endless import card

    path = tmp_path / "model.odd"
    path.write_text(card(format="odd").sealed())
    return path


def filled(value: int) -> np.ndarray:
    return np.full((2, 9, 9, 3), value, np.uint8)


# Limits


def test_verify_ends_within_its_limit(endless, bars):
    process = start("verify", endless, "--time-limit", "1", "--data", bars)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The artifact does not run: it gave no answer within 1 seconds." in said
    assert "The artifact gave no answer within 1 seconds." in said
    assert said.count("--time-limit 2") == 2


def test_the_limit_is_of_one_answer(tmp_path):
    path = tmp_path / "model.slow"
    with fresh_process(path, SPEC, time_limit=2.5) as artifact:
        begun = time.monotonic()
        for _ in range(6):
            artifact(PICTURES)
    assert time.monotonic() - begun > 2.5
    late = pytest.raises(LateError, match=r" 0\.1 seconds.* --time-limit 0\.2")
    with late, fresh_process(path, SPEC, time_limit=0.1) as artifact:
        artifact(PICTURES)


def test_a_file_that_takes_its_time_keeps_its_answers(tmp_path):
    path = write_loop(tmp_path / "slow.onnx", 20_000)
    assert verify(path, time_limit=30).findings["numbers"].summary.startswith("The logits of 7 synthetic pictures")


def test_opening_has_a_limit_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.parity.process.OPENING_SECONDS", 2.0)
    path = write_slow_to_open(tmp_path / "model.onnx")
    with pytest.raises(LateError, match=r" 2 seconds"), fresh_process(path, time_limit=1) as artifact:
        artifact(PICTURES)


def test_the_checks_of_an_export_end(trained, place):
    process = start("export", trained.path, "--format", "endless", "--time-limit", "1", "--output", place / "model")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "The artifact gave no answer within 1 seconds." in said
    assert "--time-limit 2" in said
    assert list(place.iterdir()) == []


def test_so_do_those_that_come_after_the_first(trained, endless, place, monkeypatch):
    reference = reference_of(trained, "quick")
    card = read_card(endless)
    late = pytest.raises(LateError, match=r" 1 seconds")
    with late, fresh_process(endless, card.preprocess, time_limit=1) as artifact:
        parity.check_final(artifact, card)
    monkeypatch.setattr(parity, "check", lambda *_, **__: {"spread": 1.0})
    with pytest.raises(LateError, match=r" 1 seconds"):
        export(trained, "endless", place / "model", reference=reference, time_limit=1)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5"])
def test_a_limit_is_a_number_of_seconds(endless, trained, seconds):
    for refuse in (lambda: verify(endless, time_limit=seconds), lambda: export(trained, time_limit=seconds)):
        with refused("time-limit", "time_limit", repr(seconds), kind=UsageError):
            refuse()


# Signals


@linux
@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("predict", signal.SIGINT),
        ("predict many", signal.SIGTERM),
        ("predict opening", signal.SIGINT),
        ("evaluate", signal.SIGTERM),
        pytest.param("predict", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("predict many", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("predict opening", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("evaluate", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_the_first_signal_ends_a_call_that_never_ends(endless, bars, tmp_path, command, how):
    name, _, kind = command.partition(" ")
    model = write_slow_to_open(tmp_path / "model.onnx") if kind == "opening" else endless
    picture = bars / "test/bar/000.png"
    process = start(name, model, picture if name == "predict" and kind != "many" else bars)
    wait_for_work(process.pid)
    found, said, seconds = ended(process, how)
    assert found == ENDS[how]
    assert said.endswith("Interrupted.\n")
    assert "Traceback" not in said
    assert seconds < 5


def wait_for_work(pid: int) -> None:
    """Until a process has onnxruntime, and has computed for longer than it takes from there to the first answer."""
    wait_for(lambda: "onnxruntime" in Path(f"/proc/{pid}/maps").read_text())
    begun = _cpu_seconds(pid)
    wait_for(lambda: _cpu_seconds(pid) > begun + 1)


def _cpu_seconds(pid: int) -> float:
    """Of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ctrl_c_ends_a_prediction_from_python(endless):
    code = (
        "import sys, numpy, zoo; model = zoo.load(sys.argv[1]); print(flush=True); "
        "model.predict([numpy.zeros((9, 9, 3), 'u1')])"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code, str(endless)], stdout=pipe, stderr=pipe, text=True)
    process.stdout.readline()
    time.sleep(1)
    assert ended(process, signal.SIGINT)[1].endswith("KeyboardInterrupt\n")


# Processes that are left


def _commands(endless: Path, trained, place: Path) -> dict[str, tuple[object, ...]]:
    return {
        "verify": ("verify", endless),
        "bench": ("bench", endless, "--threads", "1", "--batch-sizes", "1"),
        "export": ("export", trained.path, "--format", "endless", "--output", place / "model"),
    }


@linux
@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("verify", signal.SIGKILL),
        ("bench", signal.SIGTERM),
        ("export", signal.SIGKILL),
        pytest.param("verify", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("bench", signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("export", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_no_process_is_left(endless, trained, place, command, how):
    process = start(*_commands(endless, trained, place)[command])
    (child,) = wait_for(lambda: [pid for pid in members(process.pid) if pid != process.pid])
    if command == "export":
        time.sleep(1)  # its format computes nothing
    else:
        wait_for_work(child)
    code, said, _ = ended(process, how)
    assert code == (143 if how == signal.SIGTERM else -9)
    assert how == signal.SIGKILL or said.endswith("Interrupted.\n")
    wait_for(lambda: not members(process.pid), 10)


@linux
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_a_training_is_left(bars, tmp_path, monkeypatch, how):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    output = tmp_path / "run"
    options = ("--image-size", "16", "--batch-size", "16", "--epochs", "1000", "--devices", "2", "--output", output)
    process = start("train", "tiny", bars, *options)
    wait_for(lambda: (output / "metrics.csv").exists() or process.poll() is not None, 120)
    (rank,) = [pid for pid in members(process.pid) if pid != process.pid]
    if how == signal.SIGKILL:
        os.kill(rank, signal.SIGSTOP)  # it notices nothing by itself
    ended(process, how, 120)
    wait_for(lambda: not members(process.pid), 10)


def test_a_child_whose_parent_is_gone_ends_at_its_guard():
    code = "from zoo.processes.children import guard; guard(); print('it went on')"
    environment = os.environ | {"ZOO_PARENT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@linux
def test_where_the_kernel_does_not_end_it_a_thread_does(tmp_path):
    (tmp_path / "watched.py").write_text(
        "import sys, time\nfrom zoo.processes.children import guard\nsys.platform = 'another'\nguard()\n"
        "print('guarded', flush=True)\ntime.sleep(1000)\n"
    )
    code = (
        "import time\nfrom zoo.processes.children import Child\nchild = Child('watched')\n"
        "print(child.stdout.readline(), flush=True)\ntime.sleep(1000)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
    assert b"guarded" in process.stdout.readline()
    process.kill()
    process.communicate()
    wait_for(lambda: not members(process.pid), 10)


def test_no_torch_is_imported():
    code = "import sys, zoo.parity.process, zoo.processes.threads; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Threads


def test_another_thread_computes_for_the_main_one():
    assert aside(threading.get_ident) == aside(threading.get_ident) != threading.get_ident()
    found = []
    thread = threading.Thread(target=lambda: found.append(aside(threading.get_ident) == threading.get_ident()))
    thread.start()
    thread.join()
    assert found == [True]
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 / 0)


def test_an_interrupted_wait_leaves_the_thread_behind(monkeypatch):
    monkeypatch.setattr(zoo.processes.threads, "GRACE_SECONDS", 0.1)
    others = zoo.processes.threads.busy()  # what an earlier test left behind, which may never end
    gate = threading.Event()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        aside(gate.wait)
    assert zoo.processes.threads.busy()
    assert aside(lambda: 5) == 5
    gate.set()
    wait_for(lambda: others or not zoo.processes.threads.busy())


def test_a_pool_gives_up_what_does_not_end(monkeypatch):
    monkeypatch.setattr(zoo.processes.threads, "GRACE_SECONDS", 0.1)
    gate = threading.Event()
    with Threads(2) as pool:
        pool.submit(gate.wait)
        assert pool.submit(lambda: 7).result() == 7
    gate.set()
    with Threads(1) as pool:
        first, second = pool.submit(time.sleep, 0.2), pool.submit(int)
        assert second.cancel()
        assert first.result() is None
