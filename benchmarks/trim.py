"""Training steps with and without the convolution taps that see only padding (`zoo.models.conv_trim`).

    python benchmarks/trim.py

It alternates the two in one process and prints the median of the paired ratios of CPU time, plain / trimmed.
"""

import statistics
import time

import torch
import torchvision
from torch.nn import functional as F

from zoo.models.conv_trim import trimmed

CASES = (("resnet18", 28), ("mobilenet_v2", 32), ("efficientnet_b0", 32), ("shufflenet_v2_x1_0", 32), ("resnet18", 96))
BATCH_SIZE = 64
ROUNDS = 7


def step(network: torch.nn.Module, pictures: torch.Tensor) -> float:
    """Seconds of CPU for one forward and backward pass."""
    started = time.process_time()
    network.zero_grad()
    F.cross_entropy(network(pictures), torch.arange(BATCH_SIZE) % 10).backward()
    return time.process_time() - started


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batches of {BATCH_SIZE}, n = {ROUNDS}\n")
    print("| network | pixels | plain, ms | trimmed, ms | ratio |\n|---|---|---|---|---|")
    for name, size in CASES:
        torch.manual_seed(0)
        network = torchvision.models.get_model(name, num_classes=10).to(memory_format=torch.channels_last)
        pictures = torch.randn(BATCH_SIZE, 3, size, size).to(memory_format=torch.channels_last)
        plain, skipped = [], []
        for _ in range(ROUNDS + 1):
            plain.append(step(network, pictures))
            with trimmed(network, pictures[:1]):
                skipped.append(step(network, pictures))
        ratio = statistics.median(a / b for a, b in zip(plain[1:], skipped[1:], strict=True))
        times = [1000 * statistics.median(values[1:]) for values in (plain, skipped)]
        print(f"| {name} | {size} | {times[0]:.0f} | {times[1]:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
