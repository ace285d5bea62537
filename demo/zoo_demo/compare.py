"""Several models on the same pictures: what each answers, and where they disagree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median

from zoo.errors import UsageError
from zoo_demo.answers import Answers, asked
from zoo_demo.batch import Batch, Row
from zoo_demo.labelled import true_classes
from zoo_demo.limits import MAX_COMPARED
from zoo_demo.models import Model
from zoo_demo.service import Answer
from zoo_demo.texts import Language, say
from zoo_demo.uploads import Uploads


def chosen(titles: str, answers: Answers, language: Language) -> list[Model]:
    """The models with these titles.

    Args:
        titles: a list in JSON.

    Raises:
        UsageError: there are fewer than two or more than `MAX_COMPARED`, or one does not exist.
    """
    try:
        read = json.loads(titles)
    except (ValueError, TypeError, RecursionError):
        read = None
    named = list(dict.fromkeys(map(str, read))) if isinstance(read, list) else []
    if not 2 <= len(named) <= MAX_COMPARED:  # noqa: PLR2004
        cause = say("compare.number", language, n=len(named))
        remedy = say("compare.number-remedy", language, most=MAX_COMPARED)
        raise UsageError(cause, remedy, code="number-of-models")
    return [answers.model(title, language) for title in named]


def on_picture(models: Sequence[Model], picture: object, uploads: Uploads, language: Language) -> list[Answer]:
    """What each model answers to an upload; nothing if there is none. Raises `ZooError`."""
    if not isinstance(picture, Mapping):
        return []
    body = uploads.read(picture.get("path"))
    return asked(lambda: [model.service.ask("file", body) for model in models], language)


def groups(labels: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Each label with the numbers of those who gave it, the most frequent first."""
    found: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        found.setdefault(label, []).append(number)
    return sorted(found.items(), key=lambda group: -len(group[1]))


def largest_difference(answers: Sequence[Answer]) -> float | None:
    """How far the probabilities of the first model's best class are apart; None if not all of them are known."""
    label = answers[0].top[0][0]
    shares = [dict(answer.top).get(label) for answer in answers]
    known = [share for share in shares if share is not None]
    return max(known) - min(known) if len(known) == len(answers) else None


def same_classes(models: Sequence[Model]) -> bool:
    """Whether the models know the same classes, in whatever order."""
    return len({frozenset(model.card.classes) for model in models}) == 1


def labels_of(row: Row) -> list[str]:
    """The best class by each model."""
    return [prediction.label for prediction in row.predictions]


def disagreements(batch: Batch) -> list[tuple[int, Row]]:
    """The pictures to which not all models answer the same class, with their places in the batch."""
    return [(number, row) for number, row in enumerate(batch.rows) if len(set(labels_of(row))) > 1]


def agreement(batch: Batch, one: int, other: int) -> float:
    """The share of the pictures, of at least one, to which two models answer the same class."""
    return sum(labels_of(row)[one] == labels_of(row)[other] for row in batch.rows) / len(batch.rows)


def latency_ms(batch: Batch, number: int) -> float:
    """The median over the pictures, of at least one."""
    return median(row.latencies_ms[number] for row in batch.rows)


def accuracy(batch: Batch, number: int, model: Model) -> float | None:
    """The share of right answers of a model, if all pictures lie in folders with the names of its classes."""
    true, _ = true_classes([row.file for row in batch.rows], model.card.classes)
    if true is None:
        return None
    right = [model.card.classes[label] == labels_of(row)[number] for label, row in zip(true, batch.rows, strict=True)]
    return sum(right) / len(right)
