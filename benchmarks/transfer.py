"""The tutorial's loop compared with `zoo train --recipe mnist-resnet18-head`, as whole processes, alternating.

    python benchmarks/transfer.py resnet18 efficientnet_lite0 --pairs 1

Both sides see the bundled sample (4,000 + 1,000 digits) at 224 pixels for ten epochs, with empty caches. A third
process measures the minimum: one pass of the frozen network over the training pictures and one fp32 pass over the test
pictures. The benchmark writes transfer.md and transfer.png beside this file, and adds its records to transfer.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from measure import HERE, measured

PASS = """
import json, sys, time, torch
from zoo.processes.memory import keep_freed_memory
from zoo.training.devices import computes_bf16
from zoo.registry import registry
from zoo.models.split import without_batchnorm

keep_freed_memory()
network = registry().backbone(sys.argv[1]).spec.build(10).eval().to(memory_format=torch.channels_last)
batch = torch.randn(32, 3, 224, 224).contiguous(memory_format=torch.channels_last)
fused = without_batchnorm(network, batch[:2]).to(memory_format=torch.channels_last)

def seconds(module, count, low):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
        module(batch)
        started = time.perf_counter()
        for _ in range(count // 32):
            module(batch)
    return (time.perf_counter() - started) * count / (count // 32 * 32)

low = computes_bf16("cpu")
print(json.dumps({"low": low, "pass": seconds(fused, 4000, low), "test": seconds(network, 1000, False)}))
"""


def one_pair(backbone: str, epochs: int) -> dict:
    recipe = ["--recipe", "mnist-resnet18-head", backbone, "mnist", "--epochs", str(epochs), "--json"]
    commands = {
        "passes": [sys.executable, "-c", PASS, backbone],
        "zoo": [str(Path(sys.executable).with_name("zoo")), "train", *recipe],
        "plain": [sys.executable, str(HERE / "plain_loop.py"), backbone, "--epochs", str(epochs)],
    }
    pair: dict = {}
    for side, command in commands.items():
        with tempfile.TemporaryDirectory() as folder:
            job = measured(command, Path(folder), Path(folder))
        printed = json.loads(job["stdout"].splitlines()[-1])
        found = {"seconds": job["seconds"], "cpu_seconds": job["cpu_seconds"], "mebibytes": job["peak_mib"], **printed}
        if side == "zoo":
            found["accuracy"] = found["metrics"]["top1"]
        wanted = ("seconds", "cpu_seconds", "mebibytes", "accuracy", "low", "pass", "test")
        pair[side] = {key: found[key] for key in wanted if key in found}
        print(backbone, side, json.dumps(pair[side]), flush=True)
    return {**pair, "ratio": pair["plain"]["seconds"] / pair["zoo"]["seconds"]}


def table(results: dict[str, list[dict]], epochs: int) -> str:
    lines = [
        "| backbone | epochs | plain loop | zoo | ratio | CPU time plain / zoo | accuracy plain / zoo "
        "| peak memory plain / zoo | zoo above its two passes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for backbone, pairs in results.items():

        def median(side: str, key: str, pairs: list[dict] = pairs) -> float:
            return statistics.median(pair[side][key] for pair in pairs)

        above = statistics.median(p["zoo"]["seconds"] - p["passes"]["pass"] - p["passes"]["test"] for p in pairs)
        lines.append(
            f"| {backbone} | {epochs} | {median('plain', 'seconds'):,.0f} s | {median('zoo', 'seconds'):.1f} s "
            f"| **{statistics.median(pair['ratio'] for pair in pairs):.1f}** "
            f"| {median('plain', 'cpu_seconds'):,.0f} / {median('zoo', 'cpu_seconds'):.0f} s "
            f"| {median('plain', 'accuracy'):.1%} / {median('zoo', 'accuracy'):.1%} "
            f"| {median('plain', 'mebibytes'):,.0f} / {median('zoo', 'mebibytes'):,.0f} MiB | {above:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def plot(results: dict[str, list[dict]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 1.1 * len(results)), layout="constrained")
    axes = figure.subplots()
    for row, pairs in enumerate(results.values()):
        for offset, side, colour in ((-0.2, "plain", "tab:grey"), (0.2, "zoo", "tab:blue")):
            seconds = statistics.median(pair[side]["seconds"] for pair in pairs)
            axes.barh(row + offset, seconds, 0.36, color=colour, label=side if row == 0 else None)
            axes.text(seconds, row + offset, f" {seconds:,.0f} s", va="center")
    axes.set_yticks(range(len(results)), results)
    axes.set(xlabel="wall time of the whole process in seconds")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.legend(["plain PyTorch loop", "zoo train"], loc="lower right")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+", choices=("resnet18", "efficientnet_lite0"))
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    store = HERE / "transfer.json"
    results = json.loads(store.read_text()) if store.exists() else {}
    for backbone in options.backbones:
        results[backbone] = [one_pair(backbone, options.epochs) for _ in range(options.pairs)]
        store.write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "transfer.md").write_text(table(results, options.epochs))
    plot(results, HERE / "transfer.png")
    print(table(results, options.epochs))


if __name__ == "__main__":
    main()
