"""Epochs of training pictures without a network, of zoo or of ImageFolder with a DataLoader. `decode.py` runs it.

It prints one line of JSON: milliseconds per picture in each epoch, the pictures of an epoch, the seconds of decoding.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

# A function that begins an epoch; the seconds of decoding; the number of decoded pictures; the pictures in an epoch.
Epochs = tuple[Callable[[], Iterable[Any]], float, int, int]


def zoo_batches(options: argparse.Namespace) -> Epochs:
    """The batches that `zoo train` feeds its network."""
    import torch

    from zoo.processes.memory import keep_freed_memory
    from zoo.progress import Reporter
    from zoo.recipes.recipe import Recipe
    from zoo.training.batches import Views, chunks
    from zoo.training.setup import decode_splits, prepare, resolve

    keep_freed_memory()
    recipe = Recipe.make(
        backbone="resnet18",
        dataset=options.photos,
        weights="none",
        image_size=options.image_size,
        augment="photos",
        jitter=options.jitter,
    )
    job = prepare(resolve(recipe), Reporter(quiet=True))
    started = time.perf_counter()
    stores = decode_splits(job, Reporter(quiet=True))
    seconds = time.perf_counter() - started
    chance = torch.Generator().manual_seed(0)
    views = Views(*stores, job.policy, chance, torch.device("cpu"))

    def epoch() -> Iterable[Any]:
        return map(views.varied, chunks(torch.randperm(len(stores[0])), options.batch_size))

    return epoch, seconds, sum(len(store) for store in stores), len(stores[0])


def folder_batches(options: argparse.Namespace) -> Epochs:
    """The usual input of a PyTorch training, with one persistent worker per core."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    amount = options.jitter
    steps = [
        transforms.RandomResizedCrop(options.image_size),
        transforms.RandomHorizontalFlip(),
        *([transforms.ColorJitter(amount, amount, amount)] if amount else []),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ]
    pictures = datasets.ImageFolder(options.photos, transforms.Compose(steps))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    loader = DataLoader(pictures, options.batch_size, shuffle=True, num_workers=cores, persistent_workers=True)
    return lambda: iter(loader), 0.0, len(pictures), len(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("zoo", "folder"))
    parser.add_argument("photos")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--jitter", type=float, required=True, help="Jitter of brightness, contrast and saturation.")
    options = parser.parse_args()
    make = zoo_batches if options.side == "zoo" else folder_batches
    begin, decoding, decoded, pictures = make(options)
    seconds = []
    for _ in range(options.epochs):
        started = time.perf_counter()
        for _batch in begin():
            pass
        seconds.append(time.perf_counter() - started)
    # Per picture, because zoo sets a tenth aside for validation and decodes it with the others.
    times = [1000 * epoch / pictures for epoch in seconds]
    times[0] += 1000 * decoding / decoded
    print(json.dumps({"ms_per_picture": times, "pictures": pictures, "decoding_seconds": decoding}))


if __name__ == "__main__":
    main()
