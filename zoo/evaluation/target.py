"""What can be evaluated: a run, an exported file, or a classifier of the user."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifacts.heat_maps import looking_of
from zoo.errors import MissingExtraError, UsageError
from zoo.evaluation.looking import Loaded
from zoo.recipes.place import PicturePlace

if TYPE_CHECKING:
    from zoo.artifacts.card import Card
    from zoo.artifacts.predictor import Predictor
    from zoo.evaluation.pictures import EvalSet
    from zoo.models.classifier import Classifier
    from zoo.runs.run import Run
    from zoo.specs import PreprocessSpec

    Model = Run | Predictor | Classifier | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalTarget:
    """A trained model, not loaded yet.

    Attributes:
        title: for people.
        classes: its K classes, in the order of its logits.
        seed: of its training, which tells how a validation split was cut.
        home: where the pictures of its training are, None where nobody knows.
        trained_on: the name of those pictures, for comparison.
        source: what it was found as; None for a classifier of the user.
        preprocess: of the model.
        load: takes `auto`, `cpu` or `cuda`; returns the model.
        recorded: the figures that it came with, and the split that they are of.
        run: whether it is a run, and not a file.
        adopted: whether it was trained elsewhere: nobody knows on what.
    """

    title: str
    classes: tuple[str, ...]
    seed: int
    home: PicturePlace | None
    trained_on: str
    source: Run | Card | None
    preprocess: PreprocessSpec
    load: Callable[[str], Loaded]
    recorded: tuple[dict[str, Any], str]
    run: bool
    adopted: bool = False

    @property
    def pixel_range(self) -> tuple[float, float] | None:
        """By which its pictures are read: `zoo.specs.PreprocessSpec.pixel_range`."""
        return self.preprocess.pixel_range


def target_of(model: Model) -> EvalTarget:
    """What a caller gives: a run, a predictor, a classifier, or the path of a run or of a file.

    Raises:
        UsageError: it is something else, or there is nothing at the path.
        ArtifactError: the file is damaged or foreign.
    """
    from zoo.artifacts.predictor import Predictor
    from zoo.runs.run import Run

    if isinstance(model, str | os.PathLike):
        return find_target(Path(model))
    if isinstance(model, Run):
        return _of_run(model)
    if isinstance(model, Predictor):
        card = model.card
        return _of_card(card, card.name, lambda device: _predicting(model, device))
    classifiers = sys.modules.get("zoo.models.classifier")  # which takes a second to import
    if classifiers and isinstance(model, classifiers.Classifier):
        return _of_classifier(model)
    raise UsageError(
        f"The option model cannot be an object of type {type(model).__name__}.",
        "Give a run, an exported file, a zoo.Predictor or a zoo.Classifier.",
        code="impossible-option",
    )


def find_target(path: Path) -> EvalTarget:
    """The run in a folder, or the artifact in a file.

    Raises:
        UsageError: there is neither.
        ArtifactError: the file is damaged or foreign.
    """
    if path.is_dir():
        from zoo.runs.plugins import load_recorded
        from zoo.runs.run import Run

        run = Run(path)
        load_recorded(run)  # its dataset may be theirs; what is missing is said when the network is loaded
        return _of_run(run)
    if not path.exists():
        raise UsageError(f"No run and no file was found at {path}.", "See `zoo list runs`, or name an exported file.")
    from zoo.artifacts.predictor import read_card

    return _of_artifact(path, read_card(path))


def _running(make: Callable[[], Classifier], device: str) -> Loaded:
    """A classifier on `auto`, `cpu` or `cuda`."""
    try:
        import torch

        from zoo.evaluation.evaluation import classifier_stream
        from zoo.evaluation.looking import classifier_looking
    except ImportError:
        raise MissingExtraError("Evaluating a run", "train") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("PyTorch finds no CUDA GPU on this machine.", "Leave out --device, or give --device cpu.")
    chosen = "cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda"
    classifier = make()
    stream = classifier_stream(classifier, torch.device(chosen))
    return Loaded(stream, partial(classifier_looking, classifier, stream))


def _predicting(predictor: Predictor, device: str) -> Loaded:
    if device != "auto":
        cause = "A loaded predictor has its device already."
        raise UsageError(cause, "Leave out device, or choose it in zoo.load.", code="impossible-option")
    return _loaded(predictor)


def _loaded(predictor: Predictor) -> Loaded:
    return Loaded(predictor.stream, partial(looking_of, predictor))


def _of_run(run: Run) -> EvalTarget:

    return EvalTarget(
        title=f"{run.info.backbone} on {run.info.dataset.name}",
        classes=run.classes,
        seed=run.recipe.seed,
        home=run.recipe.place if run.recipe.dataset else None,
        trained_on=run.recipe.dataset,
        source=run,
        preprocess=run.preprocess,
        load=lambda device: _running(run.classifier, device),
        recorded=(run.metrics, run.info.metrics_split),
        run=True,
        adopted=run.adopted,
    )


def _of_artifact(path: Path, card: Card) -> EvalTarget:
    def load(device: str) -> Loaded:
        from zoo.artifacts.predictor import load as load_artifact

        return _loaded(load_artifact(path, "cpu" if device == "auto" else device))

    return _of_card(card, path.name, load)


def _of_card(card: Card, name: str, load: Callable[[str], Loaded]) -> EvalTarget:
    seed = card.recipe.get("seed", 0)
    seed = seed if isinstance(seed, int) and 0 <= seed < 2**32 else 0
    return EvalTarget(
        title=f"{name}: {card.backbone} on {card.dataset.name}",
        classes=card.classes,
        seed=seed,
        home=_home(card, seed),
        trained_on=card.dataset.name,
        source=card,
        preprocess=card.preprocess,
        load=load,
        recorded=(card.metrics, card.metrics_split),
        run=False,
    )


def _of_classifier(classifier: Classifier) -> EvalTarget:
    # A copy: evaluating moves it and lays out its weights anew.
    return EvalTarget(
        title=type(classifier.network).__name__,
        classes=classifier.classes,
        seed=0,
        home=None,
        trained_on="unknown pictures",
        source=None,
        preprocess=classifier.spec,
        load=lambda device: _running(lambda: copy.deepcopy(classifier).float().eval(), device),
        recorded=({}, ""),
        run=False,
    )


def _home(card: Card, seed: int) -> PicturePlace | None:
    """A card names no folder of the machine that trained: only a registered dataset can be found again."""
    from zoo.registry import registry

    name = card.dataset.name
    # A folder `mnist` leaves its name as the source too.
    is_folder = card.recipe.get("dataset") != name or card.dataset.source == name
    known = name in {entry.name for entry in registry().datasets()}
    return PicturePlace(dataset=name, seed=seed) if known and not is_folder else None


def place_of(
    target: EvalTarget, dataset: str | None, *, encoding: str | None, data_root: str | None
) -> tuple[PicturePlace, bool]:
    """Where the pictures of an evaluation are, and whether the model was trained on that dataset.

    Raises:
        UsageError: no dataset was named, and the model's own cannot be found.
    """
    home = target.home
    if dataset is None and target.adopted and home is None:
        raise UsageError(
            "This run has no pictures: it was adopted without --data.",
            "Name the pictures to evaluate on: zoo evaluate RUN PICTURES",
            code="run-without-pictures",
        )
    if dataset is None and home is None:
        raise UsageError(
            f"The pictures that this model was trained on ('{target.trained_on}') are not a registered dataset.",
            "Name the pictures to evaluate on: zoo evaluate ARTIFACT DATASET",
        )
    if home is not None and (dataset is None or _same(dataset, home.dataset)):
        place = replace(home, data_root=data_root or home.data_root, pixel_range=target.pixel_range)
        return place, not target.adopted
    assert dataset is not None  # refused above
    place = PicturePlace(
        dataset=dataset,
        seed=target.seed,
        encoding=encoding or "utf-8",
        data_root=data_root,
        pixel_range=target.pixel_range,
    )
    return place, False


def _same(dataset: str, own: str) -> bool:
    """Whether two places of recipes are one: the same name, or the same path."""
    from zoo.data.prepare import registered_dataset

    registered = [registered_dataset(name) for name in (dataset, own)]
    if any(registered):
        return all(registered) and registered[0].name == registered[1].name  # type: ignore[union-attr]
    return Path(dataset).expanduser().resolve() == Path(own).expanduser().resolve()


def warnings_of(target: EvalTarget, eval_set: EvalSet, *, own: bool) -> list[str]:
    """What makes the figures on the chosen pictures too good, as far as it can be known."""
    if own or target.adopted:
        return []
    if target.run and target.home is not None:
        found = _count_trained(target.home, eval_set)
        total = len(eval_set.split)
        return [f"{found} of these {total} pictures were trained on: the figures are too good."] if found else []
    if eval_set.dataset == target.trained_on and eval_set.split_name in ("all", "train"):
        return [
            f"The model was trained on '{eval_set.dataset}': if these are the same pictures, the figures are too good."
        ]
    return []


def _count_trained(home: PicturePlace, eval_set: EvalSet) -> int:
    from zoo.data.prepare import load_dataset, registered_dataset
    from zoo.errors import ZooError
    from zoo.evaluation.pictures import trained_on

    try:
        if registered_dataset(home.dataset):
            return 0  # its files are not where a user would name them
        return trained_on(eval_set.split, load_dataset(home)[1], home.seed, home.limit)
    except ZooError:  # the pictures of the training are gone: nothing can be compared
        return 0
