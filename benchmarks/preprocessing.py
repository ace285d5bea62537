"""`Preprocess` against the transforms of torchvision and timm, on twenty photos.

    python benchmarks/preprocessing.py --photos FOLDER

FOLDER holds photos (`*.jpg`) at any depth; twenty are taken evenly. torchvision's are those of the published weights,
once for each crop, resize and interpolation. timm's are `create_transform` for three crop fractions. Both work on
Pillow images and round to 8 bits. Ours are PyTorch, numpy and the ONNX file in onnxruntime.

Claimed: at least 99.9% of the values differ by at most one step of 8 bits. `PreprocessSpec` cannot express timm's
`crop_mode="border"`, nor its `squash` with a crop fraction below 1.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import nn

from zoo.models.classifier import Classifier
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD, LoadOptions, PreprocessSpec, WriteOptions
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import preprocess, shorter_side
from zoo_exporters.plugin import zoo_exporters
from zoo_torchvision.catalogue import CATALOGUE

COUNT = 20
ONNX = next(exporter for exporter in zoo_exporters() if exporter.name == "onnx")
Look = Callable[[Any], torch.Tensor]


def torchvision_cases() -> Iterator[tuple[str, PreprocessSpec, Look]]:
    """One of the catalogue's weights for each distinct preprocessing."""
    seen = set()
    for name, entry in (pair for rows in CATALOGUE.values() for pair in rows.items()):
        look: Any = torchvision.models.get_model_weights(name)[entry.weights.name].transforms()
        crop, resize, filtered = look.crop_size[0], look.resize_size[0], look.interpolation.value
        if (crop, resize, filtered) in seen:
            continue
        seen.add((crop, resize, filtered))
        spec = PreprocessSpec(
            image_size=crop,
            mean=tuple(look.mean),
            std=tuple(look.std),
            resize="shorter",
            crop_fraction=crop / resize,
            interpolation=filtered,
        )
        yield f"torchvision, {name}", spec, look


def timm_cases() -> Iterator[tuple[str, PreprocessSpec, Look]]:
    for filtered in ("bilinear", "bicubic"):
        for mode, fraction in (("center", 0.875), ("center", 0.95), ("center", 1.0), ("squash", 1.0)):
            published = {"input_size": (3, 224, 224), "interpolation": filtered, "crop_pct": fraction}
            published |= {"crop_mode": mode, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
            look = create_transform(**resolve_data_config(pretrained_cfg=published), is_training=False)
            resize = "shorter" if mode == "center" else "squash"
            spec = PreprocessSpec(image_size=224, resize=resize, crop_fraction=fraction, interpolation=filtered)
            yield f"timm, {mode}", spec, look


def levels(values: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Normalised float32 `[3, S, S]` as 0..255."""
    mean, std = (np.array(each, np.float64).reshape(3, 1, 1) for each in (spec.mean, spec.std))
    return 255 * (values * std + mean)


def in_onnx(spec: PreprocessSpec, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file whose logits are the preprocessed values."""
    path = folder / "model.onnx"
    ONNX.write(Classifier(nn.Flatten(), ("a", "b"), spec, check=False).eval(), path, WriteOptions())
    runtime = ONNX.load(path, LoadOptions())
    return lambda picture: runtime(picture[None]).reshape(3, spec.image_size, spec.image_size)


def row(name: str, spec: PreprocessSpec, look: Look, photos: list[Image.Image], folder: Path) -> str:
    module, exported = Preprocess(spec), in_onnx(spec, folder)
    ways: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        lambda picture: module(torch.from_numpy(picture)[None])[0].numpy(),
        lambda picture: preprocess(picture[None], spec)[0],
        exported,
    )
    cells = []
    theirs = [levels(look(photo).numpy(), spec) for photo in photos]
    for way in ways:
        found = (levels(way(np.array(photo)), spec) for photo in photos)
        distances = np.concatenate([np.abs(a - b).ravel() for a, b in zip(found, theirs, strict=True)])
        # One step of 8 bits, and what normalising in float32 rounds.
        cells.append(f"{100 * np.mean(distances <= 1.001):.4f}%, {distances.max():.2f}")
    resized = f"{spec.image_size} of {shorter_side(spec)}"
    return f"| {name} | {resized} | {spec.interpolation} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    files = sorted(parser.parse_args().photos.glob("**/*.jpg"))
    photos = [Image.open(files[index]).convert("RGB") for index in np.linspace(0, len(files) - 1, COUNT).astype(int)]
    print(f"torchvision {torchvision.__version__}, timm {timm.__version__}, {len(photos)} photos\n")
    print("| transforms | pixels | interpolation | PyTorch | numpy | onnxruntime |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for case in (*timm_cases(), *torchvision_cases()):
            print(row(*case, photos, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
