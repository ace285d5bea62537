"""The run folder: what one training leaves, or `zoo adopt` makes, and how to find it again.

::

    runs/<backbone>-<dataset>-<time>/
        recipe.toml          the options, as given; `zoo train --recipe` takes it
        run.json             what was chosen, found and measured: `zoo.runs.info`
        metrics.csv          one row per epoch
        best.safetensors     the network's weights with the lowest validation loss
        last.ckpt            what `zoo train --resume` needs: weights, optimiser, schedule, random states
        curves.png           loss, accuracy and learning rate
        confusion.png        the confusion matrix of the final evaluation
        report.html          all of it on one page, with the most confident mistakes
        pictures/            a few evaluation pictures, for exports after the dataset has moved
        export/              artifacts
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ArtifactError, DataError, MissingExtraError, UsageError
from zoo.files import file_sha256, write_text
from zoo.recipes.parsing import without_effect
from zoo.recipes.recipe import Recipe
from zoo.runs.backbones import backbone_of
from zoo.runs.info import RunInfo
from zoo.runs.kept import kept_pictures
from zoo.runs.plugins import names_of
from zoo.runs.shown import html_of, line_of
from zoo.specs import PreprocessSpec

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.data import Dataset, Split
    from zoo.models.classifier import Classifier
    from zoo.recipes.place import PicturePlace

RUNS = Path("runs")
# The options of a recipe that an adopted run has.
ADOPTED = (
    *("backbone", "dataset", "weights", "image_size", "resize", "interpolation", "mean", "std", "pixel_range"),
    "data_root",
)


class Run:
    """A finished or interrupted training, or adopted weights.

    Args:
        path: its folder.
        recipe, info: of a run that is not written yet. By default they are read from the folder.

    Raises:
        UsageError: the folder has no run, or a damaged one.
    """

    def __init__(self, path: Path | str, recipe: Recipe | None = None, info: RunInfo | None = None) -> None:
        self.path = Path(path)
        self.info = info or _read_info(self.path)
        self.recipe = recipe or _read_recipe(self.path)

    __repr__, _repr_html_ = line_of, html_of

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.info.classes)

    @property
    def preprocess(self) -> PreprocessSpec:
        return self.info.plan.preprocess

    @property
    def adopted(self) -> bool:
        """Whether its weights were trained elsewhere: `zoo adopt` made it."""
        return self.info.status == "adopted"

    @property
    def place(self) -> PicturePlace:
        """Where its pictures are. Raises `DataError` where it was adopted without any."""
        if not self.recipe.dataset:
            raise DataError(
                f"The run {self.name} has no pictures: it was adopted without --data.",
                f"Name some, for example: zoo export {self.path} --onnx --data PICTURES",
                code="run-without-pictures",
            )
        return self.recipe.place

    def options(self) -> dict[str, Any]:
        """The recipe's options as people write them; of an adopted run those that it has."""
        options = self.recipe.options()
        return {name: options[name] for name in ADOPTED if options.get(name)} if self.adopted else options

    @property
    def metrics(self) -> dict[str, float]:
        """The final figures on the split `info.metrics_split`; empty where the run was interrupted."""
        return dict(self.info.metrics)

    def rows(self) -> list[dict[str, str]]:
        """Of metrics.csv, one per epoch; none where the run logs to other places alone."""
        try:
            with (self.path / "metrics.csv").open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    def weights(self) -> dict[str, Tensor]:
        """The best checkpoint's state dict, on the CPU.

        Raises `ArtifactError` where it cannot be read, or is not the one whose figures the run records.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.path / "best.safetensors"
        try:
            found = load_file(path)
            known = self.info.weights_sha256 in ("", file_sha256(path))  # older runs record none
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from None
        if not known:
            raise ArtifactError(
                f"The weights of the run {self.name} were exchanged: {path} is not the file that run.json records.",
                f"Restore the file, or make a run of the new one: zoo adopt {self.info.backbone} {path}",
                code="weights-exchanged",
            )
        return found

    def classifier(self, weights: Mapping[str, Tensor] | None = None) -> Classifier:
        """The best checkpoint, or other weights: fp32, in eval mode, on the CPU. Raises `ArtifactError`."""
        try:
            from zoo.models.checked import loaded_network
            from zoo.models.classifier import Classifier
        except ModuleNotFoundError:
            raise MissingExtraError("Loading the network of a run", "train") from None
        entry = backbone_of(self)
        state = self.weights() if weights is None else weights
        try:
            network = loaded_network(entry, len(self.classes), state, self.preprocess.image_size)
        except RuntimeError as error:
            raise self._unreadable(error) from None
        return Classifier(network, self.classes, self.preprocess, check=False).eval()

    def _unreadable(self, error: Exception) -> ArtifactError:
        reason = "it is missing" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        return ArtifactError(
            f"The weights of the run {self.name} cannot be read: {reason}.", "Train again with `zoo train`."
        )

    def dataset(self) -> Dataset:
        """The pictures that it was trained on, loaded again. Raises `DataError` where they are not found."""
        from zoo.data.prepare import load_dataset

        try:
            with names_of(self):
                found = load_dataset(self.place)[1]
        except UsageError as error:
            gone = {
                "missing-dataset": f"are not at '{self.recipe.dataset}' any more",
                "unknown-name": f"came from a dataset '{self.recipe.dataset}' that is not known here",
            }
            if error.code not in gone:
                raise
            raise DataError(
                f"The pictures of the run {self.name} {gone[error.code]}.",
                "Name their place: zoo export RUN --data FOLDER, or zoo train --resume RUN FOLDER",
                code="pictures-moved",
            ) from None
        if self.adopted:  # their order is that of the weights, and some may lack pictures
            return self._in_own_classes(found)
        if found.classes != self.classes:
            raise DataError(
                f"The pictures at '{self.recipe.dataset}' have other classes than the run {self.name}.",
                "Name the pictures that it was trained on.",
                code="other-classes",
            )
        return found

    def _in_own_classes(self, found: Dataset) -> Dataset:
        from zoo.data.labels import in_classes

        train, val, test = (
            split and in_classes(split, found.classes, self.classes, self.recipe.dataset)
            for split in (found.train, found.val, found.test)
        )
        assert train is not None
        return replace(found, classes=self.classes, train=train, val=val, test=test)

    def evaluation_split(self) -> tuple[str, Split]:
        """`("test", …)`, or `("validation", …)` for a dataset without a test split.

        Where the dataset is not found: `("kept test", …)`, the pictures that the run kept.
        """
        from zoo.data.prepare import final_split

        try:
            return final_split(self.dataset(), self.recipe.seed)
        except DataError as error:
            kept = kept_pictures(self.path, self.classes) if error.code == "pictures-moved" else None
            if kept is None:
                raise
            return f"kept {self.info.metrics_split}", kept

    def moved(self, dataset: Path | str) -> Run:
        """The run with its pictures in another place, a path or a name; nothing is written."""
        from zoo.data.prepare import registered_dataset

        place = str(dataset)
        named = self.adopted or registered_dataset(place) is not None
        recipe = replace(self.recipe, dataset=anchored(place)) if named else self.recipe.moved(place)
        return Run(self.path, recipe, self.info)

    def save(self) -> None:
        """Writes recipe.toml and run.json."""
        write_text(self.path / "recipe.toml", self.recipe.toml())
        write_text(self.path / "run.json", self.info.text())


def anchored(dataset: Path | str) -> str:
    """The place of pictures for a recipe: a registered name, or an absolute path."""
    from zoo.data.prepare import registered_dataset

    name = str(dataset)
    return name if registered_dataset(name) else str(Path(name).expanduser().absolute())


def _read_info(folder: Path) -> RunInfo:
    try:
        return RunInfo.parse((folder / "run.json").read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(
            f"No run was found at {folder}.",
            "See `zoo list runs`, or make one with `zoo train`.",
            code="run-missing",
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(
            f"The run.json in {folder} is damaged, or a newer version wrote it.",
            "Restore it, train again, or update visionzoo.",
            code="run-damaged",
        ) from None


def _read_recipe(folder: Path) -> Recipe:
    options = Recipe.read(folder / "recipe.toml")
    # An older run may hold options that had no effect then either.
    for name in without_effect(options, Recipe.defaults()):
        del options[name]
    return Recipe.make(**options)


def list_runs(folder: Path = RUNS) -> list[Run]:
    """The runs in a folder, newest first."""
    found = []
    for file in folder.glob("*/run.json"):
        with suppress(UsageError):  # a damaged one must not hide the others
            found.append(Run(file.parent))
    return sorted(found, key=lambda run: run.info.created, reverse=True)


def latest_run(folder: Path = RUNS) -> Run:
    """The newest run that has a checkpoint. Raises `UsageError` where there is none."""
    for run in list_runs(folder):
        if (run.path / "best.safetensors").exists():
            return run
    raise UsageError(
        f"No run was found under {folder}/.", "Make one, for example: zoo train resnet18 mnist", code="run-missing"
    )
