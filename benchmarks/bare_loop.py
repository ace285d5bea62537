"""The ceiling of `throughput.py`: only training steps, over pictures that are in memory as tensors.

The network is torchvision's. Precision, layout, augmentation, optimiser, batch size and the allocator's setting
(`zoo.processes.memory`) are those of `zoo train`. It prints one line of JSON: the seconds and the pictures of each
epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time

import numpy as np
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from zoo.data.prepare import load_dataset, training_splits
from zoo.models.conv_trim import trimmed
from zoo.processes.memory import keep_freed_memory
from zoo.recipes.recipe import Recipe
from zoo.transforms.augment import POLICIES, Policy, augment, draw

MARGIN = 8 / 7  # crops are cut from pictures this much larger, as zoo's are


def digits(data_root: str | None) -> tuple[Tensor, Tensor, int]:
    """The training pictures of `zoo train resnet18 mnist`, uint8 `[N, 28, 28, 3]`, their labels, the class count."""
    dataset = load_dataset(Recipe.make(backbone="resnet18", dataset="mnist", data_root=data_root))[1]
    train = training_splits(dataset, seed=0)[0]
    pixels = np.stack([train.pictures[index] for index in range(len(train))])
    return torch.from_numpy(pixels), torch.from_numpy(train.labels), len(dataset.classes)


def photos(folder: str, size: int) -> tuple[Tensor, Tensor, int]:
    """The photos of `folder/train`, decoded to squares: uint8 `[N, R, R, 3]`."""
    side = round(size * MARGIN)
    square = v2.Compose([v2.PILToTensor(), v2.Resize(side, antialias=True), v2.CenterCrop(side)])
    pictures = torchvision.datasets.ImageFolder(f"{folder}/train", square)
    images, labels = zip(*pictures, strict=True)
    return torch.stack(images).permute(0, 2, 3, 1).contiguous(), torch.tensor(labels), len(pictures.classes)


def view(images: Tensor, policy: Policy, size: int, chance: torch.Generator) -> Tensor:
    """The augmentation that `zoo.training.batches` applies."""
    return augment(images, draw(policy, len(images), chance), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=("digits", "photos"))
    parser.add_argument("--photos")
    parser.add_argument("--data-root")
    parser.add_argument("--policy", required=True)
    parser.add_argument("--precision", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--trim", action="store_true", help="Skip the taps that see only padding, as zoo does.")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    size, chance = options.image_size, torch.Generator().manual_seed(0)
    pixels, labels, classes = (
        digits(options.data_root) if options.case == "digits" else photos(options.photos, options.image_size)
    )
    network = torchvision.models.resnet18(num_classes=classes).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    policy, seconds = POLICIES[options.policy], []
    example = torch.zeros(1, 3, size, size).to(memory_format=torch.channels_last)
    with trimmed(network, example) if options.trim else contextlib.nullcontext():
        network.train()
        for _ in range(options.epochs):
            started = time.perf_counter()
            for indices in torch.randperm(len(labels)).split(options.batch_size):
                if len(indices) == 1:
                    continue  # BatchNorm cannot compute statistics of a single picture
                inputs = (view(pixels[indices], policy, size, chance) - 127.5) / 127.5
                with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
                    logits = network(inputs.contiguous(memory_format=torch.channels_last))
                F.cross_entropy(logits.float(), labels[indices]).backward()
                optimizer.step()
                optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds, "pictures": len(labels), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
