"""`zoo info`: the facts about a name or an artifact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output_file import check_target, writing
from zoo.cli.run_facts import is_run, pixel_range, recipe_facts, run_facts
from zoo.errors import UnknownNameError, UsageError, nearest
from zoo.recipes.builtin import recipe_names
from zoo.specs import BackboneSpec, DatasetSpec, ExporterSpec, PreprocessSpec, PublisherSpec, Spec, WeightsSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zoo.artifacts.card import Card
    from zoo.cli.shapes import StageShape
    from zoo.registry import Registered

    Facts = list[tuple[str, str]]
    Shapes = Callable[[BackboneSpec], tuple[int, int]]


def info(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="NAME|RECIPE|RUN|ARTIFACT", help="A registered name, a recipe, a run folder, or an exported file."
        ),
    ],
    *,
    shapes: Annotated[
        bool, typer.Option("--shapes", help="Build the backbone; print each stage's output and size.")
    ] = False,
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="With --shapes: side of the picture in pixels. Default: the size of its weights."),
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="With --shapes: number of classes. Default: 1000.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model_card: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write the artifact's card as Markdown too.")
    ] = None,
) -> None:
    """Show the facts about a backbone, dataset, exporter, recipe, run or artifact.

    An artifact's card is read without loading the program in the file.
    """
    from zoo.cli.tables import warn_problems
    from zoo.registry import registry

    path = Path(subject)
    if not shapes and (image_size, classes) != (None, None):
        raise UsageError("--image-size and --classes belong to --shapes.", "Add --shapes, or leave them out.")
    if path.is_file():
        if shapes:
            raise _without_stages(subject)
        _artifact(path, as_json, model_card)
    elif model_card:
        raise UsageError(
            f"'{subject}' is not a file, and only exported files have cards.", "Name a file that zoo export wrote."
        )
    elif not shapes and is_run(path):
        _run(path, as_json)
    elif not shapes and subject in recipe_names():
        _recipe(subject, as_json)
    else:
        _names(subject, _shapes_of(image_size, classes) if shapes else None, as_json)
    warn_problems(registry().problems)


def _artifact(path: Path, as_json: bool, model_card: Path | None) -> None:
    from zoo.artifacts.predictor import read_card
    from zoo.cli.tables import print_facts

    if model_card:
        check_target(model_card, "--model-card", "A model card is a Markdown file", ".md")
    card = read_card(path)
    if model_card:
        _write_model_card(model_card, card)
    if as_json:
        typer.echo(card.model_dump_json(indent=2))
    else:
        print_facts(_card_facts(card, path))


def _write_model_card(file: Path, card: Card) -> None:
    from zoo.files import write_text
    from zoo.report.model_card import model_card

    with writing(file, "--model-card"):
        write_text(file, model_card(card))


def _card_facts(card: Card, path: Path) -> Facts:
    from zoo.data.seen import resize_in_words

    spec = card.preprocess
    how = f"{resize_in_words(spec)}{pixel_range(spec)}"
    names = ", ".join(card.classes[:10]) + (", …" if len(card.classes) > 10 else "")  # noqa: PLR2004
    facts = [
        ("artifact", f"{path} ({card.format}, {card.precision}, {path.stat().st_size / 2**20:.1f} MiB)"),
        ("name", card.name),
        ("created", card.created),
        ("classes", f"{len(card.classes)}: {names}"),
        ("input", f"{card.input}, then {_preprocessing(spec.image_size, spec.mean, spec.std)}, {how}"),
        ("export", _pairs(card.exported)),
        ("backbone", f"{card.backbone} ({card.backbone_plugin}), weights: {card.weights}"),
        ("weights licence", card.weights_licence),
        ("dataset", f"{card.dataset.name}: {card.dataset.source}".removesuffix(": ")),
        ("dataset licence", card.dataset.licence),
        *(("note", note) for note in card.dataset.notes),
        (f"metrics ({card.metrics_split})", _pairs(card.metrics)),
        ("most confused", _mistakes(card)),
        ("epochs", f"{len(card.curves)} in its curves" if card.curves else ""),
        ("parity", _pairs(card.parity)),
        ("reference outputs", _reference(card)),
        ("example pictures", str(len(card.examples) or "")),
        ("versions", _pairs(card.versions)),
        ("content hash", card.content_hash),
    ]
    # A line break in an untrusted file must not look like the next fact.
    return [(" ".join(name.split()), " ".join(value.split())) for name, value in facts]


def _mistakes(card: Card) -> str:
    found = card.confusion.mistakes[:3] if card.confusion else ()
    return ", ".join(f"{card.classes[true]} for {card.classes[guess]} ({count:,})" for true, guess, count in found)


def _reference(card: Card) -> str:
    own = card.reference
    return f"to {len(own.logits)} synthetic pictures, within {own.tolerance:g} of the spread" if own else ""


def _pairs(table: Mapping[str, Any]) -> str:
    values = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in table.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items() if not isinstance(value, dict | list))


def _preprocessing(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    numbers = (", ".join(f"{value:g}" for value in triple) for triple in (mean, std))
    return "{0} x {0} pixels, mean ({1}), std ({2})".format(size, *numbers)


def _resize(weights: WeightsSpec) -> str:
    from zoo.data.seen import resize_in_words

    size, part = weights.image_size, weights.crop_fraction
    spec = PreprocessSpec(
        image_size=size, resize=weights.resize, crop_fraction=part, interpolation=weights.interpolation
    )
    return resize_in_words(spec)


def _run(path: Path, as_json: bool) -> None:
    from zoo.cli.tables import print_facts, print_json
    from zoo.runs.run import Run

    run = Run(path)
    if as_json:
        print_json({"run": str(path), "recipe": run.recipe.options(), **run.info.facts()})
    else:
        print_facts(run_facts(run))


def _recipe(name: str, as_json: bool) -> None:
    from zoo.cli.tables import print_facts, print_json
    from zoo.recipes.builtin import description, find
    from zoo.recipes.recipe import Recipe

    if as_json:
        print_json({"recipe": name, "description": description(name), "options": Recipe.read(find(name))})
    else:
        print_facts(recipe_facts(name))


def _shapes_of(image_size: int | None, classes: int | None) -> Shapes:
    from zoo.cli.shapes import NUM_CLASSES, default_size

    return lambda spec: (image_size or default_size(spec), classes or NUM_CLASSES)


def _names(name: str, shapes: Shapes | None, as_json: bool) -> None:
    from zoo.cli.shapes import stage_shapes
    from zoo.cli.tables import print_facts, print_json, record

    entries = _named(name)
    if shapes and not any(isinstance(entry.spec, BackboneSpec) for entry in entries):
        raise _without_stages(name)
    records = []
    for entry in entries:
        records.append(record(entry, ask_provider=True))
        if not as_json:
            print_facts(_facts(entry))
        if shapes and isinstance(entry.spec, BackboneSpec):
            size, classes = shapes(entry.spec)
            stages = stage_shapes(entry.spec, size, classes)
            records[-1] |= {"image_size": size, "classes": classes, "stages": [asdict(stage) for stage in stages]}
            if not as_json:
                _print_stages(size, classes, stages)
    if as_json:
        print_json(records)


def _without_stages(name: str) -> UsageError:
    return UsageError(f"'{name}' is not a backbone, so it has no stages.", "Leave --shapes out.")


def _named(name: str) -> list[Registered[Spec]]:
    from zoo.registry import registry
    from zoo.registry.lookup import prefixes

    try:
        return registry().named(name)
    except UnknownNameError as unknown:
        if name.partition(":")[2].startswith(known := prefixes(registry().plugins())) or name.startswith(known):
            raise unknown from None
        if "/" in name:
            raise UsageError(f"No run and no file was found at {name}.", "See `zoo list runs`.") from None
        try:
            registry().exporter_for(name)
        except UsageError:
            if near := nearest(name, recipe_names()):
                raise UsageError(
                    unknown.cause, f"Did you mean the recipe {' or '.join(near)}? {unknown.remedy}"
                ) from None
            raise unknown from None
        raise UsageError(f"The file {name} was not found.", "Make one with: zoo export") from None


def _print_stages(size: int, classes: int, table: list[StageShape]) -> None:
    from zoo.cli.console import stdout
    from zoo.cli.tables import print_table

    stdout().print(f"\nstages, for pictures of {size} x {size} pixels and {classes} classes:", markup=False)
    rows = [(s.name, " x ".join(map(str, s.output or ())) or "-", f"{s.parameters:,}") for s in table]
    rows.append(("total", "", f"{sum(stage.parameters for stage in table):,}"))
    print_table(("stage", "output", "parameters"), rows)


def _facts(entry: Registered[Spec]) -> Facts:
    spec = entry.spec
    return [
        (entry.kind, entry.name),
        ("description", spec.description),
        ("plugin", _origin(entry)),
        *_spec_facts(spec),
    ]


def _origin(entry: Registered[Spec]) -> str:
    """The plugin, and the package or file that it is in."""
    name = "" if entry.plugin == entry.distribution else f"{entry.plugin} of "
    return f"{name}{entry.distribution} {entry.version}".strip()


def _spec_facts(spec: Spec) -> Facts:
    match spec:
        case BackboneSpec():
            return _backbone_facts(spec)
        case DatasetSpec():
            size = spec.native_size
            return [
                ("classes", str(spec.num_classes or "")),
                (
                    "pictures",
                    f"{size} x {size} pixels, {spec.channels}" if size else f"photos, {spec.channels}",
                ),
                ("augmentation", spec.augment),
                ("drawable", "yes" if spec.drawable else ""),
                ("licence", spec.licence),
                ("homepage", spec.homepage),
            ]
        case ExporterSpec():
            return [("suffix", spec.suffix), ("parity", f"within {spec.tolerance:g} of the logits' spread")]
        case PublisherSpec():
            return [("takes", f"files of the format {spec.format}")]
        case _:
            return []


def _backbone_facts(spec: BackboneSpec) -> Facts:
    weights = spec.weights
    only = " and no other" if spec.fixed_image_size else ""
    facts = [("smallest size", f"{spec.min_image_size} pixels{only}"), ("head", spec.head)]
    if weights is None:
        return [("weights", "none"), *facts]
    return [
        ("weights", weights.name),
        ("evaluated with", f"{_preprocessing(weights.image_size, weights.mean, weights.std)}, {_resize(weights)}"),
        ("weights licence", weights.licence),
        *facts,
    ]
