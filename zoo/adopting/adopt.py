"""Makes a run of weights that were trained elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.adopting.classes import HOW, read_classes
from zoo.adopting.input import Channels, choose_preprocess
from zoo.data.prepare import registered_dataset
from zoo.data.splits import evenly
from zoo.errors import UsageError, ZooError
from zoo.evaluation.pictures import EvalSet, choose, evaluate
from zoo.files import file_sha256, write_atomically
from zoo.progress import Reporter, timestamp
from zoo.recipes.recipe import Recipe
from zoo.registry import Registered, registry
from zoo.runs.folder import create_folder
from zoo.runs.info import DatasetInfo, Parameters, Plan, RunInfo, WeightsInfo, library_versions
from zoo.runs.kept import keep_pictures
from zoo.runs.run import RUNS, Run, anchored
from zoo.specs import BackboneSpec, Interpolation, PreprocessSpec, ResizeMode

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation
    from zoo.evaluation.looking import Look
    from zoo.models.classifier import Classifier

ELSEWHERE = "The network was trained elsewhere. The pictures of its training are not known."
FIGURES_OF = "The pictures named here are those of its evaluation."
UNKNOWN = "unknown pictures"
# What the recipe of an adopted run says of its preprocessing.
PREPROCESSING = ("image_size", "mean", "std", "resize", "interpolation", "pixel_range")


def adopt(
    backbone: str,
    weights: Path | str,
    classes: str | Path | Sequence[str] | None = None,
    *,
    data: Path | str | None = None,
    output: Path | str | None = None,
    image_size: int | None = None,
    resize: ResizeMode | None = None,
    interpolation: Interpolation | None = None,
    crop_fraction: float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    channels: Channels = "rgb",
    pixel_range: str | Sequence[float] | None = None,
    data_root: str | None = None,
    diagnose: bool = False,
    progress: bool = False,
) -> Run:
    """Makes a run of weights that were trained elsewhere, to evaluate, export and serve it.

    Args:
        backbone: a registered name.
        weights: a state dict, or a checkpoint that holds one; see `zoo.models.weights_files`.
        classes: the K names in the order of the logits, or where they are: see `zoo.adopting.classes`. By default those
            of the run that the file lies in.
        data: pictures to evaluate on: the name of a dataset, a folder or a list file.
        output: the run folder to make; by default one under `runs/`.
        image_size, resize, interpolation, crop_fraction, mean, std, pixel_range: as in `zoo.specs.PreprocessSpec`. By
            default those of the backbone's published weights.
        channels: `bgr` for a network that was trained on pictures of OpenCV; mean and std are then in this order too.
            `grey` for one that was trained on luma in three channels.
        data_root: folder that holds the named datasets.
        diagnose: whether to look for a mistake in these options in any case, and not only where the accuracy is that of
            guesses.
        progress: whether to print what `zoo adopt` prints.

    Returns:
        The run. `metrics` are its figures on `data`; `info.dataset.notes` says what was found.

    Raises:
        UsageError: an option is impossible, or the output is not empty.
        WeightsError: the file cannot be read, or does not fit the network and the classes.
        DataError: the pictures cannot be read, or are of other classes.
    """
    options: dict[str, Any] = {"image_size": image_size, "mean": mean, "std": std, "pixel_range": pixel_range}
    recipe = Recipe.make(
        backbone=backbone,
        dataset="" if data is None else anchored(data),
        **{name: value for name, value in options.items() if value is not None},
    )
    path = Path(weights).expanduser()
    home = _run_of(path)
    if classes is None and home is None:
        raise UsageError("The classes of the weights are not known.", HOW, code="missing-classes")
    names = home.classes if classes is None and home else read_classes(classes or ())
    found = registry().backbone(backbone)
    spec = choose_preprocess(
        found.spec,
        recipe,
        home.preprocess if home else None,
        resize=resize,
        interpolation=interpolation,
        crop_fraction=crop_fraction,
        channels=channels,
    )
    values = {name: getattr(spec, name) for name in PREPROCESSING}
    root = str(Path(data_root).expanduser().absolute()) if data_root else None
    file = registry().added_file(found.plugin)
    recipe = replace(recipe, **values, data_root=root, plugins=(file.path,) if file else ())
    folder = Path(output) if output else RUNS / f"{backbone.replace('/', '-')}-adopted-{time.strftime('%Y%m%d-%H%M%S')}"
    adoption = _Adoption(found, path, spec, names, recipe, swapped=channels == "bgr")
    return adoption.into(folder, Reporter(quiet=not progress), diagnose=diagnose)


def _run_of(path: Path) -> Run | None:
    """The run whose weights these are."""
    if path.name not in ("best.safetensors", "last.ckpt"):
        return None
    try:
        return Run(path.parent)
    except ZooError:
        return None


@dataclass(frozen=True, slots=True)
class _Adoption:
    """What was decided; `swapped` is whether the network takes blue, green and red."""

    backbone: Registered[BackboneSpec]
    weights: Path
    spec: PreprocessSpec
    classes: tuple[str, ...]
    recipe: Recipe
    swapped: bool

    def into(self, folder: Path, reporter: Reporter, *, diagnose: bool) -> Run:
        """Loads, evaluates and writes. Nothing is written before all of it is possible."""
        classifier = self._classifier()
        eval_set = self._pictures()
        found, look = self._evaluate(classifier, eval_set, reporter) if eval_set else (None, None)
        notes = self._findings(classifier, found, reporter, diagnose=diagnose) if found else []
        run = Run(folder, replace(self.recipe, weights="none"), self._info(classifier, eval_set, notes))
        run = self._write(run, classifier, reporter)
        if found and look:
            _record(run, found, look, reporter)
        return run

    def _classifier(self) -> Classifier:
        from zoo.models.channels import swap_channels
        from zoo.models.checked import build_network
        from zoo.models.classifier import Classifier
        from zoo.models.pretrained import load_all

        network, _ = build_network(self.backbone, len(self.classes))
        load_all(network, self.backbone.spec, self.weights, len(self.classes))
        if self.swapped:
            swap_channels(network, self.spec.image_size)
        return Classifier(network, self.classes, self.spec).eval()

    def _pictures(self) -> EvalSet | None:
        return choose(self.recipe.place, self.classes, None, own=False) if self.recipe.dataset else None

    def _evaluate(self, classifier: Classifier, eval_set: EvalSet, reporter: Reporter) -> tuple[Evaluation, Look]:
        import torch

        from zoo.evaluation.evaluation import classifier_stream
        from zoo.evaluation.looking import classifier_looking

        stream = classifier_stream(classifier, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        with reporter.bar(f"Evaluating {eval_set.split_name} pictures", len(eval_set.split)) as advance:
            found = evaluate(stream, eval_set, self.classes, advance)
        for note in eval_set.notes:
            reporter.warn(note)
        for sentence in found.unreadable:
            reporter.warn(f"Left out: {sentence}")
        return found, partial(classifier_looking, classifier, stream)

    def _findings(self, classifier: Classifier, found: Evaluation, reporter: Reporter, *, diagnose: bool) -> list[str]:
        """What the accuracy says about the options, one sentence each."""
        from zoo.adopting.mistakes import find_mistake, is_chance, passes, sample_size

        chance = is_chance(found)
        if not chance and not diagnose:
            return []
        notes = []
        if chance:
            top1 = found.figures["top1"]
            notes.append(f"The accuracy of {top1:.2%} is not better than that of guesses: an option is probably wrong.")
        steps = passes(classifier.spec) * sample_size(len(found.indices))
        with reporter.bar("Trying other options", steps) as advance:
            better = find_mistake(classifier, found, swapped=self.swapped, seed=self.recipe.seed, advance=advance)
        if better:
            notes.append(better.sentence)
        elif diagnose or chance:
            notes.append(
                "No usual mistake explains it: normalisation, channels, crop, resize and order of classes were tried."
            )
        for note in notes:
            reporter.warn(note)
        return notes

    def _info(self, classifier: Classifier, eval_set: EvalSet | None, notes: Sequence[str]) -> RunInfo:
        backbone = self.backbone
        total = sum(parameter.numel() for parameter in classifier.network.parameters())
        dataset = DatasetInfo(name=UNKNOWN, source="", notes=[ELSEWHERE])
        if eval_set:
            registered = registered_dataset(self.recipe.dataset)
            dataset = DatasetInfo(
                name=eval_set.dataset,
                source=eval_set.source,
                licence=eval_set.licence,
                drawable=registered.drawable if registered else False,
                notes=[ELSEWHERE, FIGURES_OF, *eval_set.notes, *notes],
            )
        swapped = " The input of its first layer was changed from BGR to RGB." if self.swapped else ""
        return RunInfo(
            created=timestamp(),
            backbone=backbone.name,
            backbone_plugin=backbone.release,
            plugins=[file] if (file := registry().added_file(backbone.plugin)) else [],
            weights=WeightsInfo(
                name=self.weights.name,
                pretrained=True,
                note=f"Trained elsewhere; the file had the SHA-256 {file_sha256(self.weights)}.{swapped}",
            ),
            dataset=dataset,
            classes=list(self.classes),
            parameters=Parameters(total=total, trainable=0),
            plan=_no_plan(self.spec),
            versions=library_versions(),
            status="adopted",
        )

    def _write(self, run: Run, classifier: Classifier, reporter: Reporter) -> Run:
        from safetensors.torch import save_file

        folder, _ = create_folder(run.recipe, run.path)
        best = folder / "best.safetensors"
        state = {name: value.detach().cpu().contiguous() for name, value in classifier.network.state_dict().items()}
        write_atomically(best, lambda path: save_file(state, path))
        run.info.weights_sha256 = file_sha256(best)
        # A training that starts from this recipe takes weights, classes and preprocessing from here.
        recipe = replace(run.recipe, weights=str(best.absolute()))
        reporter.say(f"Adopted {self.weights} as {folder}")
        run = Run(folder, recipe, run.info)
        run.save()
        return run


def _record(run: Run, found: Evaluation, look: Look, reporter: Reporter) -> None:
    """Writes the figures of an adopted run, some of its pictures, and the report."""
    from zoo.report.page import draw_run

    run.info.metrics_split, run.info.metrics = found.split_name, found.figures
    run.info.confusion = found.confusion_facts()
    run.info.unreadable = list(found.unreadable)
    run.save()
    order = evenly(found.labels, run.recipe.seed)
    try:
        keep_pictures(run.path, found.split, run.classes, found.indices[order].tolist())
    except OSError as error:
        reporter.warn(f"No pictures were kept in the run: {error}")
    try:
        draw_run(run, found, look)
    except Exception as error:  # whatever drawing libraries raise, the figures are safe
        reporter.warn(f"The report could not be drawn: {str(error) or type(error).__name__}")


def _no_plan(spec: PreprocessSpec) -> Plan:
    """What run.json says of a training that nobody here has seen."""
    return Plan(
        strategy="none",
        epochs=0,
        preprocess=spec,
        augment="none",
        varied=False,
        views=1,
        learning_rate=0.0,
        weight_decay=0.0,
        phases=(),
        fixed_statistics=False,
        device="cpu",
        precision="fp32",
        frozen_precision="fp32",
    )
