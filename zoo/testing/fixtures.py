"""Fixtures for the tests of plugins. pytest finds them in every environment with visionzoo; all begin with `zoo_`.

Each has the scope of a session and lies in a temporary folder. Tests do not change what they get.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from zoo.runs.run import Run
    from zoo.testing.rules import Report

CLASSES = ("bar", "line", "slope")
COUNTS = {"train": 40, "val": 6, "test": 6}  # pictures of each class
_SIZES = ((24, 24), (24, 30), (36, 24))


def draw(label: int, rng: np.random.Generator, size: tuple[int, int] = (24, 24)) -> np.ndarray:
    """A bright bar on noise, uint8 `[H, W, 3]`: upright for label 0, level for 1, rising for 2."""
    import numpy as np

    picture = rng.integers(0, 80, (*size, 3), dtype=np.uint8)
    rows, columns = np.indices(size)
    offset = rng.integers(-3, 4)
    distance = (
        abs(columns - size[1] / 2 + offset),
        abs(rows - size[0] / 2 + offset),
        abs(rows / size[0] + columns / size[1] - 1) * min(size) / 1.5,
    )[label]
    picture[distance < min(size) / 8] = rng.integers(180, 256, 3)
    return picture


def write_folder(root: Path, counts: dict[str, int], *, seed: int = 0, classes: Sequence[str] = CLASSES) -> Path:
    """Writes a folder per split and class with PNG files of several sizes, `counts` of each class. Returns `root`."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for label, name in enumerate(classes):
            place = root / split / name
            place.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(draw(label, rng, _SIZES[index % len(_SIZES)])).save(place / f"{index:03}.png")
    return root


@pytest.fixture(scope="session")
def zoo_arrays() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By split, pictures of one size, uint8 `[N, 24, 24, 3]`, and labels, int64 `[N]`. Any network learns them."""
    import numpy as np

    rng = np.random.default_rng(0)
    found = {}
    for split, count in COUNTS.items():
        labels = np.tile(np.arange(len(CLASSES)), count)
        found[split] = (np.stack([draw(int(label), rng) for label in labels]), labels)
    return found


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per split, with a folder per class: PNG files of several sizes."""
    return write_folder(tmp_path_factory.mktemp("zoo") / "folder", COUNTS)


@pytest.fixture(scope="session")
def zoo_list_file(zoo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file with the columns `path` and `label`, of the training pictures of `zoo_folder`."""
    path = tmp_path_factory.mktemp("zoo") / "pictures.csv"
    rows = [f"{each},{each.parent.name}" for each in sorted((zoo_folder / "train").rglob("*.png"))]
    path.write_text("\n".join(["path,label", *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def zoo_idx_folder(
    zoo_arrays: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The grey pictures of `zoo_arrays` as the four gzipped IDX files of MNIST."""
    folder = tmp_path_factory.mktemp("zoo") / "idx"
    folder.mkdir()
    for split, name in {"train": "train", "test": "t10k"}.items():
        pictures, labels = zoo_arrays[split]
        grey = pictures[..., 1]
        header = struct.pack(">4BIII", 0, 0, 8, 3, *grey.shape)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + grey.tobytes()))
        header = struct.pack(">4BI", 0, 0, 8, 1, len(labels))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.astype("u1").tobytes()))
    return folder


def _tiny(num_classes: int) -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        nn.Linear(64, num_classes),
    )


@pytest.fixture(scope="session")
def zoo_run(zoo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished training of a tiny network on `zoo_folder`: two seconds."""
    import zoo

    return zoo.train(
        _tiny,
        str(zoo_folder),
        output=tmp_path_factory.mktemp("zoo") / "run",
        epochs=4,
        image_size=24,
        batch_size=16,
        augment="none",
        learning_rate=0.01,
    )


@pytest.fixture(scope="session")
def zoo_artifact(zoo_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from the name of a format to a file of `zoo_run` in it. Each is exported once."""
    import zoo

    made: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in made:
            made[name] = zoo.export(zoo_run, name, tmp_path_factory.mktemp("zoo") / "model").path
        return made[name]

    return export


@pytest.fixture(scope="session")
def zoo_check_plugin() -> Callable[..., Report]:
    """`zoo.testing.check_plugin`."""
    from zoo.testing import check_plugin

    return check_plugin
