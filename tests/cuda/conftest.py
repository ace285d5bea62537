"""What a GPU changes, and at the end a table of what was and was not run.

`ZOO_TEST_DEVICE=cpu` is a dry run on a machine without a GPU: it tries the tests themselves.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision

from zoo.training import devices
from zoo.training.distributed import World

from ..watch import train

DEVICE = os.environ.get("ZOO_TEST_DEVICE", "cuda")
# No test is about these, on any machine.
UNTESTED = ("several machines", "Apple and Intel GPUs", "the demo's own worker on a GPU")


@pytest.fixture(scope="session", autouse=True)
def device() -> str:
    """`cuda`, or `cpu` in a dry run."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    return DEVICE


@pytest.fixture
def gpu(device) -> None:
    """For a test that nothing on a CPU can stand for."""
    if device == "cpu":
        pytest.skip("a dry run: a CPU has nothing like it")


@pytest.fixture(autouse=True)
def half_precision(device, monkeypatch) -> None:
    """Lets a dry run train in fp16 with a scaler, which `zoo train` refuses on a CPU."""
    if device != "cpu":
        return
    choose, make = devices.choose_machine, World.fabric

    def allow(asked, precision):
        return ("cpu", "fp16", {}) if precision == "fp16" else choose(asked, precision)

    def fabric(self, precision):
        if precision != "fp16":
            return make(self, precision)
        return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))

    monkeypatch.setattr("zoo.training.plan.choose_machine", allow)
    monkeypatch.setattr("zoo.training.train.choose_machine", allow)
    monkeypatch.setattr(World, "fabric", fabric)


@pytest.fixture
def learn(bars, tmp_path, device):
    """A short training on the GPU."""
    return partial(train, bars, tmp_path, device=device, epochs=6, learning_rate=0.01)


@pytest.fixture
def tell(record_property):
    """Puts a measured figure into the table."""
    return partial(record_property, "figure")


# --- The table


@dataclass
class Row:
    """The tests of one file."""

    ran: int = 0
    failed: int = 0
    left_out: int = 0
    seconds: float = 0.0


@dataclass
class Table:
    subjects: dict[str, str] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    def add(self, report: pytest.TestReport) -> None:
        file, _, test = report.nodeid.partition("::")
        row = self.rows.setdefault(file, Row())
        row.seconds += report.duration
        if report.skipped:
            row.left_out += 1
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.left_out.setdefault(reason.removeprefix("Skipped: "), []).append(test)
        elif report.failed:
            row.failed += 1
        row.ran += report.when == "call" and not report.skipped
        if report.when == "call":
            self.figures += [f"{test}: {text}" for name, text in report.user_properties if name == "figure"]

    def lines(self) -> list[str]:
        found = [f"{'ran':>5} {'failed':>6} {'not run':>7} {'seconds':>8}  what"]
        for file, row in sorted(self.rows.items()):
            figures = f"{row.ran:>5} {row.failed:>6} {row.left_out:>7} {row.seconds:>8.1f}"
            found.append(f"{figures}  {self.subjects.get(file, file)}")
        found.append(f"{'':>21}{sum(row.seconds for row in self.rows.values()):>8.1f}  together")
        found += ["", "Measured:", *(f"  {figure}" for figure in self.figures)] if self.figures else []
        for reason, tests in self.left_out.items():
            all_of_them = len(tests) == sum(row.ran + row.left_out for row in self.rows.values())
            found += [
                "",
                f"Not run ({reason}):",
                *(["  all of them"] if all_of_them else (f"  {test}" for test in tests)),
            ]
        return [*found, "", f"Without a test: {', '.join(UNTESTED)}."]


TABLE = Table()


def pytest_itemcollected(item: pytest.Item) -> None:
    about = getattr(item, "module", None).__doc__ or ""
    TABLE.subjects[item.nodeid.partition("::")[0]] = about.partition("\n")[0].rstrip(".")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or not report.passed:
        TABLE.add(report)
    elif (file := report.nodeid.partition("::")[0]) in TABLE.rows:
        TABLE.rows[file].seconds += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    asked_for = "cuda" in config.option.markexpr
    if TABLE.rows and (asked_for or any(row.ran or row.failed for row in TABLE.rows.values())):
        terminalreporter.section("what a GPU changes" if DEVICE == "cuda" else "a dry run on a CPU")
        for line in [*machine(), "", *TABLE.lines()]:
            terminalreporter.line(line)


def machine() -> list[str]:
    """What was computed on, and with what."""
    names = ("torch", "torchvision", "lightning-fabric", "onnxruntime", "onnxruntime-gpu")
    packages = ", ".join(f"{name} {found}" for name in names if (found := package(name)))
    if not torch.cuda.is_available():
        return ["No CUDA GPU.", f"Python {platform.python_version()}, {packages}"]
    gpus = []
    for number in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(number)
        memory, capability = f"{found.total_memory / 2**30:.0f} GiB", f"{found.major}.{found.minor}"
        gpus.append(f"{found.name}, {memory}, compute capability {capability}")
    libraries = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return [*gpus, f"Python {platform.python_version()}, {packages}, {libraries}"]


def package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
