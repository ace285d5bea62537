"""Exports a classifier of the user: the pictures that it is compared on, and what its card says."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.artifacts.card import PluginVersion
from zoo.data import Dataset, FilePictures, Pictures, Split, as_pictures
from zoo.errors import DataError, UsageError
from zoo.exporting.card_writing import CardFacts
from zoo.images import find_pictures
from zoo.parity.references import Reference, told_reference
from zoo.progress import timestamp
from zoo.specs import Depth, Precision, PreprocessSpec

if TYPE_CHECKING:
    from zoo.artifacts.pictures import Picture
    from zoo.evaluation.given import Data
    from zoo.models.classifier import Classifier

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSource:
    """A classifier of the user, and the pictures that it is compared on.

    Attributes:
        classifier: fp32, in eval mode, on the CPU. Nobody else uses it.
        split_name: what results call the pictures.
        split: all pictures; labels of -1 where they are unknown.
        compared: those for the parity check.
        calibrating: those for the calibration of int8, none of `compared`; empty for other precisions.
        notes: about the pictures, for the card.
        terms: the licence of the pictures, as `Source.licence`.
    """

    classifier: Classifier
    split_name: str
    split: Split
    compared: Split
    calibrating: Split
    notes: tuple[str, ...] = ()
    terms: str | None = None
    seed: int = 0
    folder: Path = field(default_factory=Path)

    @property
    def title(self) -> str:
        return type(self.classifier.network).__name__

    @property
    def preprocess(self) -> PreprocessSpec:
        return self.classifier.spec

    @property
    def labelled(self) -> bool:
        return bool((self.split.labels >= 0).all())

    def licence(self) -> str | None:
        return self.terms

    def reference(self, depth: Depth, say: Say) -> Reference:
        return told_reference(self.classifier, self.split_name, self.compared, depth, say)

    def facts(self, say: Say) -> CardFacts:
        """Facts of the network, and its figures on the pictures if they have labels."""
        network = type(self.classifier.network)
        measured = self._measured(say) if self.labelled else {"metrics": {}, "metrics_split": ""}
        return CardFacts(
            origin="The classifier",
            remedy="Change it, and export again.",
            fields=dict(
                name=network.__name__,
                created=timestamp(),
                classes=self.classifier.classes,
                preprocess=self.preprocess,
                backbone=network.__name__,
                backbone_plugin=_package_of(network),
                weights="trained elsewhere",
                dataset={
                    "name": "unknown pictures",
                    "notes": ["The network was trained outside visionzoo: its card knows nothing of it.", *self.notes],
                },
                recipe={},
                versions={},
                **measured,
            ),
        )

    def _measured(self, say: Say) -> dict[str, Any]:
        import torch

        from zoo.evaluation.evaluation import classifier_stream
        from zoo.evaluation.pictures import EvalSet, evaluate

        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            say(f"measuring the classifier ({done:,} of {len(self.split):,} {self.split_name})")

        # The stream lays out the weights anew, which must not reach the file.
        stream = classifier_stream(copy.deepcopy(self.classifier), torch.device("cpu"))
        chosen = EvalSet(dataset="", source="", split_name=self.split_name, split=self.split)
        found = evaluate(stream, chosen, self.classifier.classes, advance)
        return {
            "metrics": found.figures,
            "metrics_split": self.split_name,
            "confusion": found.confusion_facts(),
        }

    def calibration_splits(self) -> tuple[Split, Split]:
        from zoo.data.splits import split_validation

        return split_validation(self.calibrating, len(self.classifier.classes), 0.25, self.seed)


def _package_of(network: type) -> PluginVersion:
    """The package that has the code of the network; for the user's own code, its module."""
    module = network.__module__.partition(".")[0]
    package = next(iter(packages_distributions().get(module, [])), None)
    return PluginVersion(distribution=package or module, version=version(package) if package else "")


def classifier_source(
    classifier: Classifier, pictures: Data | Iterable[Picture] | None, precision: Precision
) -> ClassifierSource:
    """A source from a classifier.

    Args:
        pictures: what `zoo.evaluation.given.given_set` takes; a folder of pictures without classes; or pictures as
            `zoo.artifacts.predictor.Predictor.predict` takes them.
        precision: of the file. Anything but fp32 needs labels. For int8, one half of the pictures of each class is for
            the calibration, and the other half for the parity check.

    Raises:
        UsageError: there are no pictures, or none with labels for fp16 and int8.
        DataError: the pictures cannot be read, or have classes that the classifier does not know.
    """
    if pictures is None:
        raise UsageError(
            "An export of a classifier needs pictures to compare the file on.",
            "Give pictures of its classes: zoo.export(classifier, 'model.onnx', pictures='photos')",
            code="export-without-pictures",
        )
    name, split, notes = _splits(classifier, pictures)
    if precision != "fp32" and not (split.labels >= 0).all():
        raise UsageError(
            f"An export in {precision} needs pictures with labels, to measure the accuracy that it loses.",
            "Give a folder with one folder per class, or export in fp32.",
            code="export-without-labels",
        )
    compared, calibrating = split, split.subset(np.arange(0))
    if precision == "int8":
        from zoo.data.splits import split_validation

        calibrating, compared = split_validation(split, len(classifier.classes), 0.5)
    return ClassifierSource(
        classifier=copy.deepcopy(classifier).cpu().float().eval(),
        split_name=name,
        split=split,
        compared=compared,
        calibrating=calibrating,
        notes=notes,
        terms=_terms(pictures),
    )


def _terms(pictures: Data | Iterable[Picture]) -> str | None:
    """The licence of pictures that were named as a registered dataset."""
    from zoo.data.prepare import registered_dataset

    spec = registered_dataset(os.fspath(pictures)) if isinstance(pictures, str | os.PathLike) else None
    return spec.licence if spec else None


def _splits(classifier: Classifier, pictures: Data | Iterable[Picture]) -> tuple[str, Split, tuple[str, ...]]:
    from zoo.evaluation.given import given_set

    pixel_range = classifier.spec.pixel_range
    if not isinstance(pictures, str | os.PathLike | Dataset | Split | Mapping):
        return "given", _given(pictures, classifier.classes, pixel_range), ()
    try:
        found = given_set(pictures, classifier.classes, pixel_range)
    except DataError as error:
        if error.code != "folder-without-classes" or not isinstance(pictures, str | os.PathLike):
            raise
        files = find_pictures(Path(pictures).expanduser())
        if not files:
            raise
        return "given", _unlabelled(FilePictures(files, pixel_range)), ()
    name = "given" if found.split_name == "all" else found.split_name
    return name, found.split, found.notes


def _given(pictures: Any, classes: tuple[str, ...], pixel_range: tuple[float, float] | None) -> Split:
    """Pictures of this process, with labels if they are a pair or a dataset of pairs."""
    from zoo.evaluation.given import has_labels, labelled_split

    if has_labels(pictures):
        return labelled_split(pictures, classes).within(pixel_range)
    several = list(pictures) if isinstance(pictures, Iterator) else pictures
    return _unlabelled(as_pictures(several)).within(pixel_range)


def _unlabelled(pictures: Pictures) -> Split:
    return Split(pictures, np.full(len(pictures), -1, np.int64))
