"""Makes the card of a file, from what is known of its classifier and from the results of its export."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from zoo.artifacts.card import (
    MAX_CURVE_ROWS,
    Card,
    ReferenceOutputs,
    code_of,
    first_problem,
    version_for,
)
from zoo.errors import ExportError
from zoo.progress import printable

if TYPE_CHECKING:
    from zoo.artifacts.examples import Example
    from zoo.runs.run import Run
    from zoo.specs import ExporterSpec, WriteOptions, Written

_RECORDED = ("visionzoo", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card says of a classifier, whatever its file is like.

    Attributes:
        fields: of `zoo.artifacts.card.Card`, by name.
        origin, remedy: for the error about a value that a card cannot hold: whose value it is, and what to do.
    """

    origin: str
    remedy: str
    fields: Mapping[str, Any]


def facts_of(run: Run) -> CardFacts:
    """What run.json and metrics.csv say."""
    info = run.info
    return CardFacts(
        origin=f"Run '{run.name}'",
        remedy="Fix it in the run's run.json, or train again without it.",
        fields={
            "name": printable(run.name),
            "created": info.created,
            "classes": run.classes,
            "preprocess": run.preprocess,
            "backbone": info.backbone,
            "backbone_plugin": info.backbone_plugin,
            "weights": info.weights.name,
            "weights_licence": info.weights.licence,
            "dataset": asdict(info.dataset) | {"source": _last_name(info.dataset.source), "notes": _notes(run)},
            "recipe": _shareable(run.options()),
            "metrics": run.metrics,
            "metrics_split": info.metrics_split,
            "curves": _curves(run),
            "confusion": info.confusion,
            "versions": info.versions,
        },
    )


def make_card(
    facts: CardFacts,
    exporter: ExporterSpec,
    options: WriteOptions,
    written: Written,
    *,
    parity: dict[str, Any],
    reference: ReferenceOutputs,
    content_hash: str,
    examples: tuple[Example, ...] = (),
) -> Card:
    """The card of a file. Raises `ExportError` if the facts have a value that a card cannot hold."""
    try:
        return Card(
            **{**facts.fields, "versions": {**facts.fields["versions"], **_versions()}},
            schema_version=version_for(facts.fields["preprocess"]),
            format=exporter.name,
            input=options.input,
            precision=options.precision,
            exported=dict(written.facts),
            parity=parity,
            reference=reference,
            examples=examples,
            content_hash=content_hash,
        )
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False)[0]["loc"][0]
        remedies: dict[int | str, str] = {
            "exported": "Let its function 'write' return JSON values in Written.facts.",
            "content_hash": "Let its function 'content_hash' return 'sha256:' and 64 hexadecimal digits.",
        }
        origin = f"The format {exporter.name}" if place in remedies else facts.origin
        raise ExportError(
            f"{origin} has a value that a card cannot hold: {first_problem(error)}.",
            remedies.get(place, facts.remedy),
            code=code_of(error),
        ) from None


def _notes(run: Run) -> list[str]:
    """The notes on the pictures, without the folders of the machine that trained."""
    places = [run.info.dataset.source, run.recipe.dataset, run.recipe.val, run.recipe.test]
    notes = run.info.dataset.notes
    for place in sorted((place for place in places if place and Path(place).is_absolute()), key=len, reverse=True):
        notes = [note.replace(place, _last_name(place)) for note in notes]
    return [printable(note) for note in notes]


def _curves(run: Run) -> tuple[dict[str, Any], ...]:
    rows = run.rows()
    # Evenly, with the first and the last epoch.
    shown = np.unique(np.linspace(0, len(rows) - 1, MAX_CURVE_ROWS).round().astype(int)) if rows else ()
    return tuple({name: _value(text) for name, text in rows[index].items()} for index in shown)


def _value(text: str | None) -> float | int | str | None:
    """A cell of metrics.csv; None if it is empty or a number that JSON cannot hold."""
    for kind in (int, float):
        try:
            number = kind(text or "nan")
        except ValueError:
            continue
        return number if math.isfinite(number) else None
    return text


def _shareable(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without folders of the training machine, because a card is shared with its file."""
    places: dict[str, Any] = {
        name: _last_name(options[name]) for name in ("dataset", "val", "test", "weights") if name in options
    }
    if "plugins" in options:
        places["plugins"] = [_last_name(file) for file in options["plugins"]]
    return {name: value for name, value in {**options, **places}.items() if name != "data_root"}


def _last_name(place: str) -> str:
    return printable(re.split(r"[/\\]", place.rstrip("/\\"))[-1])


def _versions() -> dict[str, str]:
    found = {}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
