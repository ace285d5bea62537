"""What an export starts from: a run, or a classifier of the user and pictures to compare it on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoo.data.types import Split
from zoo.errors import UsageError
from zoo.exporting.card_writing import CardFacts, facts_of
from zoo.exporting.examples import licence_of_run
from zoo.exporting.options import check_path
from zoo.parity.references import Reference, reference_of
from zoo.specs import Depth, Precision, PreprocessSpec

if TYPE_CHECKING:
    from zoo.artifacts.pictures import Picture
    from zoo.evaluation.given import Data
    from zoo.models.classifier import Classifier
    from zoo.runs.run import Run

Say = Callable[[str], None]


class Source(Protocol):
    """What the pipeline needs to know.

    Attributes:
        title: for progress.
        folder: where a file goes that has no other place.
        preprocess: of the classifier.
        seed: of the choice of pictures for a calibration, and of examples.
        labelled: whether the classes of its pictures are known.
    """

    @property
    def title(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def preprocess(self) -> PreprocessSpec: ...
    @property
    def seed(self) -> int: ...
    @property
    def labelled(self) -> bool: ...

    def licence(self) -> str | None:
        """Of the pictures of a named dataset, empty if nobody knows. None for the user's own pictures."""
        ...

    def reference(self, depth: Depth, say: Say) -> Reference:
        """The classifier and its logits for all cases of a parity check. Raises `ParityError`, `DataError`."""
        ...

    def facts(self, say: Say) -> CardFacts: ...

    def calibration_splits(self) -> tuple[Split, Split]:
        """Pictures that set the ranges of int8, and pictures on which its loss of accuracy is measured."""
        ...


@dataclass(frozen=True, slots=True)
class RunSource:
    """The classifier of a run, and the pictures that it was trained and evaluated on."""

    run: Run

    @property
    def title(self) -> str:
        return str(self.run.path)

    @property
    def folder(self) -> Path:
        return self.run.path / "export"

    @property
    def preprocess(self) -> PreprocessSpec:
        return self.run.preprocess

    @property
    def seed(self) -> int:
        return self.run.recipe.seed

    @property
    def labelled(self) -> bool:
        return True

    def licence(self) -> str | None:
        return licence_of_run(self.run)

    def reference(self, depth: Depth, say: Say) -> Reference:
        return reference_of(self.run, depth, say)

    def facts(self, say: Say) -> CardFacts:  # noqa: ARG002
        return facts_of(self.run)

    def calibration_splits(self) -> tuple[Split, Split]:
        from zoo.data.prepare import training_splits

        return training_splits(self.run.dataset(), self.run.recipe.seed, self.run.recipe.limit)


def source_of(
    run: Run | Classifier | Path | str,
    *,
    precision: Precision,
    data: Path | str | None = None,
    pictures: Data | Iterable[Picture] | None = None,
) -> Source:
    """What the first argument of `zoo.export` is.

    Args:
        data: the new place of a run's pictures.
        pictures: of a classifier, as `classifier_source` takes them.

    Raises:
        UsageError: it is neither a run nor a classifier, or the other arguments belong to the other of these.
    """
    from zoo.runs.run import Run

    if not isinstance(run, Run | str | os.PathLike) and (classifier := _classifier(run)):
        if data is not None:
            cause = "A classifier has no recorded pictures that data could replace."
            raise UsageError(cause, "Give them as pictures.", code="impossible-option")
        from zoo.exporting.classifier_source import classifier_source

        return classifier_source(classifier, pictures, precision)
    if pictures is not None:
        cause = "A run is compared on its own pictures, so pictures cannot be given."
        raise UsageError(cause, "If they have moved, give their place as data.", code="impossible-option")
    opened = run if isinstance(run, Run) else Run(check_path("run", run))  # type: ignore[arg-type]
    return RunSource(opened if data is None else opened.moved(data))


def _classifier(value: object) -> Classifier | None:
    """The value if it is a classifier. Raises `UsageError` for another network."""
    from torch import nn

    from zoo.models.classifier import Classifier

    if isinstance(value, Classifier):
        return value
    if isinstance(value, nn.Module):
        raise UsageError(
            f"The option run cannot be a {type(value).__name__}, which has no classes and no preprocessing.",
            "Wrap it: zoo.Classifier(network, classes, preprocess)",
            code="impossible-option",
        )
    return None
