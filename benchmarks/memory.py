"""The cost of giving memory back: training steps with glibc's defaults and with `keep_freed_memory`.

    python benchmarks/memory.py [--pairs 3]

Each measurement is a separate process, alternating, in fp32: one step to warm up, then the median of four.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

CASES = (("resnet18", 224, 32), ("efficientnet_b0", 224, 32), ("mobilenet_v3_small", 224, 32), ("resnet18", 28, 64))
STEP = """
import json, resource, statistics, sys, time, torch
from torch.nn import functional as F
from zoo.processes.memory import keep_freed_memory
from zoo.registry import registry

name, size, batch, keep = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "keep"
if keep:
    keep_freed_memory()
network = registry().backbone(name).spec.build(10).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
pictures = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
labels = torch.randint(0, 10, (batch,))
times = []
for _ in range(5):
    started = time.perf_counter()
    F.cross_entropy(network(pictures), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.perf_counter() - started)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": statistics.median(times[1:]), "mebibytes": peak}))
"""


def step(name: str, size: int, batch: int, how: str) -> dict[str, float]:
    command = [sys.executable, "-c", STEP, name, str(size), str(batch), how]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    print("| network | pixels | pictures/s given back | kept | ratio | peak MiB given back / kept |")
    print("|---|---|---|---|---|---|")
    for name, size, batch in CASES:
        runs = [(step(name, size, batch, "give"), step(name, size, batch, "keep")) for _ in range(pairs)]
        give, keep = (statistics.median(run[side]["seconds"] for run in runs) for side in (0, 1))
        ratio = statistics.median(before["seconds"] / after["seconds"] for before, after in runs)
        peaks = [statistics.median(run[side]["mebibytes"] for run in runs) for side in (0, 1)]
        print(
            f"| {name} | {size} | {batch / give:.1f} | {batch / keep:.1f} | **{ratio:.2f}** "
            f"| {peaks[0]:,.0f} / {peaks[1]:,.0f} |"
        )


if __name__ == "__main__":
    main()
