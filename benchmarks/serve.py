"""`zoo serve` under load, compared with `zoo predict` over the same files.

    python benchmarks/serve.py --case MODEL.onnx FOLDER [--case MODEL.onnx FOLDER ...]

Clients on this machine, each with a connection of its own, send the pictures of FOLDER, one request after the other.
Beside them, some clients send a part of a request and then nothing, and some leave as soon as they have sent one.
Clients and server share the cores.

Counted: answered and declined (429) requests, those that were lost, the time to an answer, pictures in a run, memory
of the server before and after (before: after half as many requests, which bring it to its largest batches), its CPU
time per picture. Each pair is a service that batches, one that does not (`--batch 1`), and `zoo predict` over the
same files.

Claimed: no request is lost. With EfficientNet-Lite0, the server's CPU time per picture is at most 1.25 of that of
`zoo predict`, and its memory afterwards is within 10% of that before.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from measure import Results, machine, measured, median, parser

from zoo.artifacts.predictor import read_card
from zoo.images import find_pictures

CLIENTS, REQUESTS = 200, 2000
NUISANCES = 20  # clients that stall, and as many that leave
QUIET_S = 6.0  # without requests, before memory is measured
PATIENCE_S = 300.0  # for all requests
CLAIMED_CPU, CLAIMED_MEMORY = 1.25, 1.1

Outcomes = list[tuple[str, float]]  # status and seconds of each answer


class Server:
    """A running `zoo serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def figures(self) -> dict[str, float]:
        return {name: float(value) for name, value in re.findall(r"^([a-z_]+) (\S+)$", self.get("/metrics"), re.M)}


@contextmanager
def serving(model: Path, *options: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "zoo", "serve", str(model), "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    server = Server(process, port)
    try:
        for _ in range(600):
            with suppress(OSError):  # not listening yet, or 503
                server.get("/health/ready")
                break
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def client(port: int, bodies: Iterator[bytes], outcomes: Outcomes) -> None:
    """Sends bodies over one connection until there are none left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        began = time.perf_counter()
        try:
            writer.write(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
            outcomes.append((head.split(b" ", 2)[1].decode(), time.perf_counter() - began))
            if declined := re.search(rb"retry-after: (\d+)", head):
                await asyncio.sleep(int(declined[1]))
        except (OSError, EOFError):
            outcomes.append(("lost", time.perf_counter() - began))
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def stalling(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n" + bytes(1000))
    await asyncio.sleep(PATIENCE_S)


async def leaving(port: int, body: bytes) -> None:
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with suppress(OSError):
            await writer.drain()
        writer.transport.abort()
        await asyncio.sleep(0.5)


async def load(port: int, bodies: Sequence[bytes], clients: int, nuisances: int) -> tuple[Outcomes, float]:
    """Sends each body once. Returns status and seconds of each answer, and the seconds of all."""
    outcomes: Outcomes = []
    beside = [asyncio.ensure_future(stalling(port)) for _ in range(nuisances)]
    beside += [asyncio.ensure_future(leaving(port, bodies[0])) for _ in range(nuisances)]
    began, left = time.perf_counter(), iter(bodies)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(client(port, left, outcomes) for _ in range(clients)))
    took = time.perf_counter() - began
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    outcomes += [("lost", PATIENCE_S)] * (len(bodies) - len(outcomes))
    return outcomes, took


def served(model: Path, bodies: list[bytes], options: Any, *more: str) -> dict[str, Any]:
    with serving(model, *more) as server:
        asyncio.run(load(server.port, bodies[: len(bodies) // 2], options.clients, 0))
        time.sleep(QUIET_S)
        before = server.figures()
        outcomes, took = asyncio.run(load(server.port, bodies, options.clients, options.nuisances))
        after = server.figures()
        time.sleep(QUIET_S)
        quiet = server.figures()["process_resident_memory_bytes"]
    runs = {name: after[name] - before[name] for name in after}
    counts = Counter(status for status, _ in outcomes)
    seconds = sorted(took for status, took in outcomes if status == "200")
    return {
        "answered": counts.pop("200", 0),
        "declined": counts.pop("429", 0),
        "lost": sum(counts.values()),
        "p50_ms": 1e3 * seconds[len(seconds) // 2],
        "p99_ms": 1e3 * seconds[len(seconds) * 99 // 100],
        "per_second": len(seconds) / took,
        "batch": runs["zoo_batch_pictures_sum"] / runs["zoo_batch_pictures_count"],
        "cpu_ms": 1e3 * runs["process_cpu_seconds_total"] / runs["zoo_batch_pictures_sum"],
        "mib": [each / 2**20 for each in (before["process_resident_memory_bytes"], quiet)],
    }


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
    for pair in range(options.pairs):
        for side in sorted(sides, reverse=pair % 2 == 1):
            results.add(case=case, side=side, pair=pair, requests=len(files), clients=options.clients, **sides[side]())


def table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| pictures | answered, declined, lost | p50, p99 ms | pictures in a run | per second: batches / single "
        "| server's CPU / `zoo predict` | CPU ms | memory after / before |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in dict.fromkeys(record["case"] for record in records):
        of = {
            side: [r for r in records if (r["case"], r["side"]) == (case, side)]
            for side in ("batches", "single", "predict")
        }
        own = of["batches"]
        gain = [a["per_second"] / b["per_second"] for a, b in zip(own, of["single"], strict=True)]
        cpu = [a["cpu_ms"] / b["cpu_ms"] for a, b in zip(own, of["predict"], strict=True)]
        counts = ", ".join(f"{sum(r[what] for r in own):,}" for what in ("answered", "declined", "lost"))
        lines.append(
            f"| {case} | {counts} | {median(r['p50_ms'] for r in own):.0f}, {median(r['p99_ms'] for r in own):.0f} "
            f"| {median(r['batch'] for r in own):.1f} | {shown(gain)} | {shown(cpu)} "
            f"| {median(r['cpu_ms'] for r in own):.2f}, {median(r['cpu_ms'] for r in of['predict']):.2f} "
            f"| {shown([r['mib'][1] / r['mib'][0] for r in own])} |"
        )
    first = records[0]
    claims = f"at most {CLAIMED_CPU} of the CPU time and {CLAIMED_MEMORY} of the memory with EfficientNet-Lite0"
    return "\n".join(lines) + (
        f"\n\n{first['clients']} clients, {first['requests']:,} requests, beside {NUISANCES} clients that stall and "
        f"{NUISANCES} that leave. Claimed: none lost; {claims}. Clients and server share the cores: times and pictures "
        "per second depend on what else runs, the ratios less.\n"
    )


def shown(values: list[float]) -> str:
    return f"**{median(values):.2f}** ({min(values):.2f} to {max(values):.2f})"


def plot(records: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    cases = list(dict.fromkeys(record["case"] for record in records))
    figure = Figure(figsize=(8, 1.2 + 0.8 * len(cases)), layout="constrained")
    axes = figure.subplots()
    for place, case in enumerate(cases):
        for shift, side, colour in ((-0.2, "batches", "tab:blue"), (0.2, "single", "tab:grey")):
            found = [r["per_second"] for r in records if (r["case"], r["side"]) == (case, side)]
            bar = axes.barh(place + shift, median(found), 0.38, color=colour, label=side if not place else None)
            axes.bar_label(bar, fmt="%.0f", label_type="center", color="white")
    axes.set_yticks(range(len(cases)), cases)
    axes.invert_yaxis()
    axes.set(xlabel="pictures per second", xlim=(0, None))
    axes.legend()
    return figure


def main() -> None:
    made = parser(__doc__, pairs=3)
    made.add_argument("--case", nargs=2, type=Path, action="append", required=True, metavar=("MODEL", "FOLDER"))
    made.add_argument("--clients", type=int, default=CLIENTS)
    made.add_argument("--requests", type=int, default=REQUESTS)
    made.add_argument("--nuisances", type=int, default=NUISANCES)
    options = made.parse_args()
    if options.quick:
        options.pairs, options.requests = 1, max(options.clients, options.requests // 10)
    results = Results("serve", options, machine=machine("onnxruntime", "uvicorn"))
    for model, folder in options.case:
        run(model, folder, options, results)
    results.finish(table(results.records), plot(results.records))


if __name__ == "__main__":
    main()
