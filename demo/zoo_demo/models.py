"""The artifacts that the demo shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import read_card
from zoo.errors import UsageError
from zoo.registry import registry
from zoo.report.html import clean
from zoo.runs.run import RUNS, list_runs
from zoo_demo.limits import PICTURE_SECONDS
from zoo_demo.service import TOP_CLASSES, Answer, Kind, Service


class Answering(Protocol):
    """The part of `zoo_demo.service.Service` that the page uses."""

    @property
    def expected_seconds(self) -> float: ...

    def ask(self, kind: Kind, body: bytes, top_k: int = TOP_CLASSES) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded artifact and its unique name on the page."""

    title: str
    card: Card
    service: Answering


def newest_artifact(runs: Path = RUNS) -> Path:
    """The artifact of the newest run that has one. Raises `UsageError` if none has.

    Of several files, it takes the ONNX file, which starts without torch.
    """
    for run in list_runs(runs):
        found = [path for path in (run.path / "export").glob("model.*") if _is_artifact(path)]
        if found:
            return max(found, key=lambda path: (path.suffix == ".onnx", path.stat().st_mtime))
    raise UsageError(
        f"Folder '{runs}' has no exported model.",
        "Make one with `zoo export --onnx`, or give a file: zoo demo model.onnx",
        code="no-exported-model",
    )


@contextmanager
def loaded(paths: Sequence[Path], device: str = "cpu", time_limit: float = PICTURE_SECONDS) -> Iterator[list[Model]]:
    """Loads artifacts, each in its own process, which ends with the context.

    Args:
        time_limit: seconds for one picture.

    Raises:
        ArtifactError, UsageError: as `zoo.load`, or a file does not answer in time.
    """
    models: list[Model] = []
    with ExitStack() as stack:
        for path in paths:
            card = read_card(path)
            service = stack.enter_context(closing(Service(path, device, time_limit)))
            models.append(Model(_title(card, {model.title for model in models}), card, service))
        yield models


def _title(card: Card, taken: Set[str]) -> str:
    title = clean(f"{card.name} ({card.format})")
    numbered = (f"{title}, {number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([title], numbered) if name not in taken)


def _is_artifact(path: Path) -> bool:
    try:
        registry().exporter_for(path)
    except UsageError:
        return False
    return path.is_file()
