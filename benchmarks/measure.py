"""Shared code of the benchmarks: measures wall time, CPU time and peak memory of processes, and writes the results."""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import venv
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SAMPLED_EVERY_S = 0.05


class ProcessError(RuntimeError):
    """A measured process ended with another code than 0. The message contains the end of its stderr."""


def measured(command: Sequence[str | Path], folder: Path, cache: Path) -> dict[str, Any]:
    """Runs a process in `folder`, with its caches in `cache`.

    Returns:
        `seconds` and `cpu_seconds` of the whole process and its children; `peak_mib`, its largest resident set,
        including pages of mapped files; `anonymous_mib`, the largest without them (Linux, else None); `stdout`,
        `stderr`.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "TORCH_HOME": str(cache)}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as printed:
        started = time.perf_counter()
        with subprocess.Popen([*map(str, command)], stdout=printed, stderr=said, env=environment, cwd=folder) as job:
            sampler = _Sampler(job.pid)
            _, status, usage = os.wait4(job.pid, 0)
            job.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
            sampler.stop()
        for file in (said, printed):
            file.seek(0)
        stdout, stderr = printed.read(), said.read()
    if job.returncode:
        raise ProcessError(f"{' '.join(map(str, command))} ended with {job.returncode}:\n{stderr[-2000:]}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
        "anonymous_mib": sampler.anonymous_mib,
        "stdout": stdout,
        "stderr": stderr,
    }


class _Sampler(threading.Thread):
    """Samples a process's memory until it is stopped. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status, self.ended = Path(f"/proc/{pid}/status"), threading.Event()
        self.anonymous_mib: float | None = None
        self.start()

    def run(self) -> None:
        while not self.ended.wait(SAMPLED_EVERY_S):
            try:
                found = re.search(r"RssAnon:\s+(\d+) kB", self.status.read_text())
            except OSError:
                return
            if found:
                self.anonymous_mib = max(self.anonymous_mib or 0.0, int(found[1]) / 1024)

    def stop(self) -> None:
        self.ended.set()
        self.join()


def zoo_train(folder: Path, cache: Path, *arguments: str | Path) -> dict[str, Any]:
    """Runs `zoo train ARGUMENTS`; returns that of `measured`, `epochs` (rows of metrics.csv) and `info` (run.json)."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run = Path(place) / "run"
        found = measured([sys.executable, "-m", "zoo", "train", *arguments, "--output", run], folder, cache)
        with (run / "metrics.csv").open(newline="") as file:
            epochs = list(csv.DictReader(file))
        return {**found, "epochs": epochs, "info": json.loads((run / "run.json").read_text())}


def median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def machine(*packages: str) -> dict[str, str]:
    """Processor, cores and versions, to print below the results."""
    try:
        names = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "threads": os.environ.get("OMP_NUM_THREADS") or "default",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", *packages)},
    }


def parser(doc: str | None, *, pairs: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pairs", type=int, default=pairs, help=f"Repetitions, alternating. Default: {pairs}.")
    made.add_argument("--quick", action="store_true", help="Run everything briefly; the results mean nothing.")
    made.add_argument(
        "--results", type=Path, help="Folder of the results. Default: beside the script, /tmp with --quick."
    )
    return made


def rival_options(doc: str | None) -> argparse.Namespace:
    """The command line of another library's loop."""
    made = argparse.ArgumentParser(description=doc)
    made.add_argument("photos")
    made.add_argument("--image-size", type=int, required=True)
    made.add_argument("--batch-size", type=int, required=True)
    made.add_argument("--epochs", type=int, required=True)
    made.add_argument("--fast", action="store_true")
    return made.parse_args()


def rival_python(folder: Path, *packages: str) -> Path:
    """The interpreter of an environment with these packages of PyPI, which sees those of this one beside them."""
    bin_folder = folder / ("Scripts" if sys.platform == "win32" else "bin")
    if not bin_folder.exists():
        venv.create(folder, with_pip=True)
    python = bin_folder / "python"
    command = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    inner = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    (inner / "outer.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


class Results:
    """Records of one run of a benchmark: NAME.json while it runs, NAME.md and NAME.png at its end."""

    def __init__(self, name: str, options: argparse.Namespace, **about: Any) -> None:
        quick = Path(tempfile.gettempdir()) / "benchmarks-quick"
        folder = options.results or (quick if options.quick else HERE)
        folder.mkdir(parents=True, exist_ok=True)
        self.stem, self.about, self.records = folder / name, about, []

    def add(self, **record: Any) -> None:
        """Keeps a record, and prints it."""
        self.records.append(record)
        print(json.dumps(record), flush=True)
        self.stem.with_suffix(".json").write_text(json.dumps({**self.about, "records": self.records}, indent=1) + "\n")

    def finish(self, table: str, figure: Any) -> None:
        about = ", ".join(f"{name} {value}" for name, value in self.about["machine"].items())
        self.stem.with_suffix(".md").write_text(f"{table}\n{about}\n")
        figure.savefig(self.stem.with_suffix(".png"), dpi=120)
        print(f"\n{table}\n{about}\n\nWritten: {self.stem}.json, .md, .png")
