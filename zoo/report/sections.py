"""The facts of a report besides its figures: where the model, its pictures and its weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.artifacts.card import Card
    from zoo.evaluation.evaluation import Evaluation
    from zoo.runs.run import Run

# Titles, and under each of them names and values; empty values are not shown.
Sections = Mapping[str, Mapping[str, str]]


def sections_of(source: Run | Card | None) -> Sections:
    """The facts of a run, or of an artifact by its card; none of a classifier of the user."""
    from zoo.artifacts.card import Card

    if source is None:
        return {}
    return card_sections(source) if isinstance(source, Card) else run_sections(source)


def run_sections(run: Run) -> Sections:
    """The facts of a run, finished or not. Facts that an older version did not record are left out."""
    info, weights, seconds = run.info, run.info.weights, run.info.training_seconds
    machine = asdict(info.machine) if info.machine else {}
    return {
        "Model": {
            "backbone": _joined(info.backbone, info.backbone_plugin),
            "weights": weights.name,
            "about the weights": weights.note,
            "weights licence": weights.licence,
            **_preprocessing(asdict(run.preprocess)),
        },
        "Trained on": _data(asdict(info.dataset)),
        "Training": {
            "status": info.status,
            "begun": info.created,
            "took": "" if seconds is None else f"{seconds:,.0f} s",
            "epoch kept": _text(info.best_epoch or None),
            **({} if run.adopted else _plan(asdict(info.plan))),
        },
        "Recipe": {name.replace("_", " "): _text(value) for name, value in run.options().items()},
        "Made with": {**info.versions, **_texts(machine)},
    }


def card_sections(card: Card) -> Sections:
    """The facts of an artifact."""
    return {
        "Model": {
            "artifact": f"{card.name} ({card.format}, {card.precision}, takes {card.input})",
            "backbone": _joined(card.backbone, card.backbone_plugin),
            "weights": card.weights,
            "weights licence": card.weights_licence,
            **_preprocessing(asdict(card.preprocess)),
        },
        "Trained on": _data(card.dataset.model_dump()),
        f"Figures in its card ({card.metrics_split})": _texts(card.metrics),
        "Recipe": {name.replace("_", " "): _text(value) for name, value in card.recipe.items()},
        "Made with": {"created": card.created, **_texts(card.exported), **card.versions},
    }


def chosen_section(chosen: Evaluation) -> Sections:
    """The facts about the pictures of an evaluation."""
    return {
        "Evaluated on": {
            "dataset": chosen.dataset,
            "source": chosen.source,
            "split": chosen.split_name,
            "licence": chosen.licence,
        }
    }


def _data(dataset: Mapping[str, Any]) -> dict[str, str]:
    facts = {name: _text(dataset.get(name)) for name in ("name", "source", "licence")}
    return {**facts, "notes": " ".join(_text(note) for note in dataset.get("notes") or ())}


def _preprocessing(fields: Mapping[str, Any]) -> dict[str, str]:
    if "image_size" not in fields:
        return {}
    how = ", ".join(_text(fields[name]) for name in ("resize", "interpolation") if name in fields)
    facts = {"image size": f"{fields['image_size']} pixels, {how}"}
    if fields.get("pixel_range"):
        facts["values"] = "{:g}..{:g}, of pictures with more than 8 bits".format(*fields["pixel_range"])
    return facts


def _plan(plan: Mapping[str, Any]) -> dict[str, str]:
    reasons = plan.get("reasons") or {}
    facts = {}
    for name, value in plan.items():
        title = name.replace("_", " ")
        if name != "reasons":
            facts[title] = _text(value) + (f" ({reasons[title]})" if title in reasons else "")
    return facts


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name.replace("_", " "): _text(value) for name, value in values.items()}


def _joined(name: object, plugin: object) -> str:
    return f"{_text(name)} ({_text(plugin)})" if plugin else _text(name)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
