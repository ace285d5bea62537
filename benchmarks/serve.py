"""`zoo serve` under load, compared with `zoo predict` over the same files.

    python benchmarks/serve.py --case MODEL.onnx FOLDER [--case MODEL.onnx FOLDER ...]

Clients on this machine, each with a connection of its own, send the pictures of FOLDER, one request after the other.
Beside them, some clients send a part of a request and then nothing, and some leave as soon as they have sent one.
Clients and server share the cores.

Counted: answered and declined (429) requests, those that were lost, the time to an answer, pictures in a run, memory
of the server before and after (before: after half as many requests, which bring it to its largest batches), its CPU
time per picture. Each pair is a service that batches, one that does not (`--batch 1`), `zoo predict` over the same
files, and LitServe (`--venv`) with the same file, clients and number of threads (`litserve_server.py`). LitServe gets
each picture as a form, as its users send files; `zoo serve` gets it as the body. LitServe has no limits of bytes,
pixels and time for a picture, and no bound of its queue. `zoo serve` decodes in threads beside the model's; LitServe
in the worker that runs the model, while another process answers the requests.

Claimed: no request is lost. With EfficientNet-Lite0, the server's CPU time per picture is at most 1.25 of that of
`zoo predict`, and its memory afterwards is within 10% of that before.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from http_load import as_body, as_form, load
from measure import HERE, Results, machine, measured, parser, rival_python
from serve_table import plot, table

from zoo.artifacts.predictor import load as load_artifact
from zoo.artifacts.predictor import read_card
from zoo.images import find_pictures
from zoo_serve.cores import core_share

CLIENTS, REQUESTS = 200, 2000
NUISANCES = 20  # clients that stall, and as many that leave
QUIET_S = 6.0  # without requests, before memory is measured
THREADS = max(1, core_share() - 1)  # of a model, as `zoo serve` chooses them
LITSERVE = "litserve==0.2.19"


class Server:
    """A running server and the processes that it started, on Linux."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def batches(self) -> tuple[float, float]:
        """Runs of the model of `zoo serve`, and the pictures in them."""
        found = dict(re.findall(r"^(zoo_batch_pictures_\w+) (\S+)$", self.get("/metrics"), re.M))
        return float(found["zoo_batch_pictures_count"]), float(found["zoo_batch_pictures_sum"])

    def pids(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:  # grows
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self) -> float:
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in self.pids()]
        return sum(int(ticks) for each in fields for ticks in each[11:13]) / os.sysconf("SC_CLK_TCK")

    def mib(self) -> float:
        """Memory of all processes; pages that several of them share count once."""
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids()]
        return sum(int(re.search(r"^Pss: +(\d+) kB", text, re.M)[1]) for text in texts) / 1024  # type: ignore[index]


@contextmanager
def serving(command: Sequence[str | Path], ready: str) -> Iterator[Server]:
    """A server that answers to its path `ready`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    command = [*map(str, command), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment, start_new_session=True)
    server = Server(process, port)
    try:
        for _ in range(600):
            with suppress(OSError):  # not listening yet, or 503
                server.get(ready)
                break
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):  # LitServe's processes may outlive it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def under_load(
    server: Server, requests: list[bytes], options: Any, batches: Callable[[], tuple[float, float]]
) -> dict[str, Any]:
    """What is counted; `batches` gives the runs of the model so far, and the pictures in them."""
    asyncio.run(load(server.port, requests[: len(requests) // 2], options.clients, 0))
    time.sleep(QUIET_S)
    before, cpu, (runs, pictures) = server.mib(), server.cpu_seconds(), batches()
    outcomes, took = asyncio.run(load(server.port, requests, options.clients, options.nuisances))
    cpu, (later_runs, later_pictures) = server.cpu_seconds() - cpu, batches()
    time.sleep(QUIET_S)
    counts = Counter(status for status, _ in outcomes)
    seconds = sorted(took for status, took in outcomes if status == "200")
    return {
        "answered": counts.pop("200", 0),
        "declined": counts.pop("429", 0),
        "lost": sum(counts.values()),
        "p50_ms": 1e3 * seconds[len(seconds) // 2],
        "p99_ms": 1e3 * seconds[len(seconds) * 99 // 100],
        "per_second": len(seconds) / took,
        "batch": (later_pictures - pictures) / (later_runs - runs),
        "cpu_ms": 1e3 * cpu / (later_pictures - pictures),
        "mib": [before, server.mib()],
    }


def served(model: Path, bodies: list[bytes], options: Any, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "zoo", "serve", model, "--threads", str(THREADS), *more]
    with serving(command, "/health/ready") as server:
        return under_load(server, [as_body(body) for body in bodies], options, server.batches)


def served_by_litserve(model: Path, bodies: list[bytes], options: Any, python: Path) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("r") as runs:

        def batches() -> tuple[float, float]:
            runs.seek(0)
            found = [int(line) for line in runs]
            return len(found), sum(found)

        command = [python, HERE / "litserve_server.py", model, "--threads", str(THREADS), "--runs", runs.name]
        with serving(command, "/health") as server:
            check(server, model, bodies[:20])
            return under_load(server, [as_form(body) for body in bodies], options, batches)


def check(server: Server, model: Path, bodies: list[bytes]) -> None:
    """Both servers compute the same."""
    predictor = load_artifact(model)
    for body, expected in zip(bodies, predictor.predict(bodies), strict=True):
        head, _, form = as_form(body).partition(b"\r\n\r\n")
        kind = re.search(rb"Content-Type: (.+)\r", head)[1].decode()  # type: ignore[index]
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/predict", form, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert predictor.classes[found["index"]] == expected.label
        assert abs(found["probability"] - expected.probability) < 1e-3


def predicted(model: Path, files: list[Path]) -> dict[str, Any]:
    """The CPU time per picture of `zoo predict`, without that of its start."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        command = [sys.executable, "-m", "zoo", "predict", model, "--json"]
        one = measured([*command, files[0]], place, place)
        all_ = measured([*command, *files], place, place)
    return {"cpu_ms": 1e3 * (all_["cpu_seconds"] - one["cpu_seconds"]) / (len(files) - 1)}


def run(model: Path, folder: Path, options: Any, results: Results) -> None:
    files = [file.absolute() for file in find_pictures(folder)]
    files = list(itertools.islice(itertools.cycle(files), options.requests))
    bodies, card = [file.read_bytes() for file in files], read_card(model)
    case = f"{card.backbone} at {card.preprocess.image_size} pixels, {folder.name}"
    sides = {
        "batches": lambda: served(model, bodies, options),
        "single": lambda: served(model, bodies, options, "--batch", "1"),
        "predict": lambda: predicted(model.absolute(), files),
    }
    if options.venv:
        python = rival_python(options.venv.absolute(), LITSERVE)
        sides["litserve"] = lambda: served_by_litserve(model.absolute(), bodies, options, python)
    for pair in range(options.pairs):
        for side in sorted(sides, reverse=pair % 2 == 1):
            busy = os.getloadavg()[0]  # of what else runs
            found = {"clients": options.clients, "load": busy, **sides[side]()}
            results.add(case=case, side=side, pair=pair, requests=len(files), **found)


def main() -> None:
    made = parser(__doc__, pairs=3)
    made.add_argument("--case", nargs=2, type=Path, action="append", required=True, metavar=("MODEL", "FOLDER"))
    made.add_argument("--clients", type=int, default=CLIENTS)
    made.add_argument("--requests", type=int, default=REQUESTS)
    made.add_argument("--nuisances", type=int, default=NUISANCES)
    made.add_argument(
        "--venv", type=Path, help="Environment of LitServe; created if it is missing. Default: without it."
    )
    options = made.parse_args()
    if options.quick:
        options.pairs, options.requests = 1, max(options.clients, options.requests // 10)
    results = Results("serve", options, machine=machine("onnxruntime", "uvicorn"))
    for model, folder in options.case:
        run(model, folder, options, results)
    results.finish(table(results.records, options.nuisances), plot(results.records))


if __name__ == "__main__":
    main()
