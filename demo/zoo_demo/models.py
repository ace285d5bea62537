"""The artifacts that the demo shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import read_card
from zoo.errors import UsageError, ZooError
from zoo.registry import registry
from zoo.report.html import clean
from zoo.runs.run import RUNS, list_runs
from zoo_demo.limits import MAX_MODELS, PICTURE_SECONDS
from zoo_demo.service import TOP_CLASSES, Answer, Checked, Kind, Report, Service


class Answering(Protocol):
    """The part of `zoo_demo.service.Service` that the page uses."""

    @property
    def expected_seconds(self) -> float: ...

    def ask(self, kind: Kind, body: bytes, top_k: int = TOP_CLASSES, *, first: bool = True) -> Answer: ...

    def look(self, kind: Kind, body: bytes, report: Report) -> tuple[str, bytes]: ...

    def check(self) -> list[Checked]: ...


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded artifact and its unique name on the page."""

    title: str
    card: Card
    service: Answering


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that the page cannot show, and why, as a sentence of cause and one of remedy."""

    file: str
    reason: str


def artifacts_in(folder: Path) -> list[Path]:
    """The exported files in a folder and its sub-folders, the newest first. Raises `UsageError` if there is none."""
    found: list[tuple[float, Path]] = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        with suppress(FileNotFoundError):  # it was removed meanwhile
            if not hidden and _is_artifact(path):
                found.append((path.stat().st_mtime, path))
    if not found:
        cause = f"Folder '{folder}' has no exported model."
        raise UsageError(cause, "Make one with `zoo export --onnx`, or give a file.", code="no-exported-model")
    return [path for _, path in sorted(found, reverse=True)]


def newest_artifact(runs: Path = RUNS) -> Path:
    """The artifact of the newest run that has one. Raises `UsageError` if none has.

    Of several files, it takes the ONNX file, which starts without torch.
    """
    made = list_runs(runs)
    for run in made:
        found = [path for path in (run.path / "export").glob("model.*") if _is_artifact(path)]
        if found:
            return max(found, key=lambda path: (path.suffix == ".onnx", path.stat().st_mtime))
    first = "" if made else "`zoo train resnet18 mnist` and "
    raise UsageError(
        f"Folder '{runs}' has no exported model.",
        f"Make one with {first}`zoo export --onnx`, or give a file: zoo demo model.onnx",
        code="no-exported-model",
    )


@contextmanager
def loaded(
    paths: Sequence[Path],
    device: str = "cpu",
    time_limit: float = PICTURE_SECONDS,
    *,
    left_out: list[LeftOut] | None = None,
) -> Iterator[list[Model]]:
    """Loads artifacts, each in its own process, which ends with the context.

    Args:
        paths: files, and folders of files. Of folders, at most `MAX_MODELS` are loaded.
        time_limit: seconds for one picture.
        left_out: takes the files that do not load, if others do.

    Raises:
        ArtifactError, UsageError, MissingExtraError: as `zoo.load`, or a file does not answer in time.
    """
    models: list[Model] = []
    refused: list[LeftOut] = []
    errors: list[ZooError] = []
    with ExitStack() as stack:
        for path, in_folder in _files(paths):
            if in_folder and len(models) == MAX_MODELS:
                refused.append(LeftOut(str(path), f"The page shows {MAX_MODELS} files of a folder. Name this one."))
                continue
            try:
                card = read_card(path)
                service = stack.enter_context(closing(Service(path, device, time_limit)))
            except ZooError as error:
                if in_folder and error.code == "missing-card":  # of another program
                    continue
                errors.append(error)
                # The page is for others, too: they need not know where the file lies.
                refused.append(LeftOut(str(path), str(error).replace(str(path), path.name)))
            else:
                models.append(Model(_title(card, {model.title for model in models}), card, service))
        if errors and (left_out is None or not models):
            raise errors[0]
        if not models:
            cause = "None of the files was written by zoo export."
            raise UsageError(cause, "Make one with `zoo export --onnx`.", code="no-exported-model")
        if left_out is not None:
            left_out += refused
        yield models


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was found in a folder."""
    for path in paths:
        if path.is_dir():
            yield from ((file, True) for file in artifacts_in(path))
        else:
            yield path, False


def _title(card: Card, taken: Set[str]) -> str:
    precision = "" if card.precision == "fp32" else f", {card.precision}"
    title = clean(f"{card.name} ({card.format}{precision})")
    numbered = (f"{title}, {number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([title], numbered) if name not in taken)


def _is_artifact(path: Path) -> bool:
    try:
        registry().exporter_for(path)
    except UsageError:
        return False
    return path.is_file()
