"""The run folder: what one training leaves, and how to find it again.

::

    runs/<backbone>-<dataset>-<time>/
        recipe.toml          the options, as given; `zoo train --recipe` takes it
        run.json             what was chosen, found and measured
        metrics.csv          one row per epoch
        best.safetensors     the network's weights with the lowest validation loss
        last.ckpt            weights, optimiser, schedule and random state of the last epoch
        curves.png           loss, accuracy and learning rate
        confusion.png        the confusion matrix of the final evaluation
        export/              artifacts
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.recipe import Recipe
from zoo.specs import PreprocessSpec

if TYPE_CHECKING:
    from zoo.classifier import Classifier
    from zoo.data import Dataset, Split

RUNS = Path("runs")


class Run:
    """A finished or interrupted training.

    Args:
        path: its folder. Raises `UsageError` where it holds no run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.info: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(
                f"There is no run at {self.path}.", "See `zoo list runs`, or make one with `zoo train`."
            ) from None
        self.recipe = Recipe.make(**Recipe.read(self.path / "recipe.toml"))

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.info["classes"])

    @property
    def preprocess(self) -> PreprocessSpec:
        fields = self.info["preprocess"]
        return PreprocessSpec(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})

    @property
    def metrics(self) -> dict[str, float]:
        """The final figures on the split that `info["metrics_split"]` names; empty where it was interrupted."""
        return dict(self.info.get("metrics", {}))

    def classifier(self) -> Classifier:
        """The best checkpoint: fp32, in eval mode, on the CPU."""
        from safetensors.torch import load_file

        from zoo.classifier import Classifier
        from zoo.registry import registry

        weights = self.path / "best.safetensors"
        if not weights.exists():
            raise UsageError(
                f"The run {self.name} has no checkpoint: it ended before its first epoch did.",
                "Train again with `zoo train`.",
            )
        network = registry().backbone(self.info["backbone"]).spec.build(len(self.classes))
        network.load_state_dict(load_file(weights))
        return Classifier(self.preprocess, network, self.classes).eval()

    def dataset(self) -> Dataset:
        """The pictures that it was trained on, loaded again."""
        from zoo.data.prepare import load_dataset

        return load_dataset(self.recipe)[1]

    def evaluation_split(self) -> tuple[str, Split]:
        """`("test", …)`, or `("validation", …)` where there is no test split."""
        from zoo.data.prepare import final_split

        return final_split(self.dataset(), self.recipe.seed)

    def save_info(self) -> None:
        """Writes `info` to run.json."""
        write_text(self.path / "run.json", json.dumps(self.info, indent=2, ensure_ascii=False) + "\n")


def list_runs(folder: Path = RUNS) -> list[Run]:
    """The runs in a folder, newest first."""
    found = []
    for file in folder.glob("*/run.json"):
        with suppress(UsageError):  # a damaged one must not hide the others
            found.append(Run(file.parent))
    return sorted(found, key=lambda run: str(run.info.get("created", "")), reverse=True)


def latest_run(folder: Path = RUNS) -> Run:
    """The newest run that has a checkpoint. Raises `UsageError` where there is none."""
    for run in list_runs(folder):
        if (run.path / "best.safetensors").exists():
            return run
    raise UsageError(f"There is no run under {folder}/.", "Make one, for example: zoo train resnet18 mnist")


def create_folder(recipe: Recipe, output: Path | None) -> Path:
    """Makes the folder of a new run. Raises `UsageError` where it exists already or cannot be made."""
    if output is None:
        dataset = re.sub(r"[^\w.-]+", "-", Path(recipe.dataset).stem).strip("-.") or "pictures"
        name = f"{recipe.backbone}-{dataset}-{time.strftime('%Y%m%d-%H%M%S')}"
        output = RUNS / re.sub(r"[^\w.-]+", "-", name)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise UsageError(f"The folder {output} is not empty.", "Name another one with --output.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"The folder {output} cannot be written: {error.strerror}.", "Name another one with --output."
        ) from None
    return output


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` make a file under a temporary name, then renames it: readers see the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda file: _write(file, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
