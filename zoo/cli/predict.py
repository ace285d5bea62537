"""`zoo predict`: classify files and folders with an artifact."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import stderr
from zoo.cli.options import ArtifactDevice
from zoo.cli.signals import ending
from zoo.errors import UsageError
from zoo.progress import printable

if TYPE_CHECKING:
    import numpy as np

    from zoo.artifacts.predictor import Prediction, Predictor
    from zoo.cli.heat_maps import HeatMaps
    from zoo.data.pictures import FilePictures

Results = Generator[tuple[Path, "Prediction | str"], None, None]
FEW = 4  # pictures a core: fewer are classified one batch after the other
MAX_WORKERS = 16  # each needs memory for a batch
SHOWN_EVERY_S = 0.1
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@ending()
def predict(
    artifact: Annotated[Path, typer.Argument(help="A file that `zoo export` wrote.")],
    pictures: Annotated[
        list[str], typer.Argument(metavar="FILES_OR_FOLDERS...", help="Pictures, or folders of pictures.")
    ],
    *,
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to list.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    heatmap: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a heat map of each picture: what its class depends on."),
    ] = None,
    device: ArtifactDevice = "cpu",
) -> None:
    """Classify pictures with an exported file.

    Folders are searched with all their sub-folders. Pictures that cannot be read are named on stderr; the others
    are classified, and the exit code is 1. Other files in folders are counted on stderr.
    """
    from zoo.artifacts.predictor import load
    from zoo.cli.heat_maps import HeatMaps
    from zoo.cli.predictions import CsvWriter, JsonWriter, TableWriter
    from zoo.data.pictures import FilePictures

    if as_json and as_csv:
        raise UsageError("--json and --csv cannot be used together.", "Choose one of them.")
    files, foreign = _files(pictures)
    predictor = load(artifact, device, workers=_workers(len(files), device))
    top_k = min(top_k, len(predictor.classes))
    maps = None if heatmap is None else HeatMaps(heatmap, predictor)  # before anything is printed
    writer = JsonWriter() if as_json else CsvWriter(top_k) if as_csv else TableWriter()
    given = FilePictures(files, predictor.card.preprocess.pixel_range)
    failed, shown = 0, time.monotonic()
    with (
        writer,
        stderr().status(f"classifying {len(files)} pictures") as status,
        closing(_classify(predictor, given, top_k, maps)) as results,
    ):
        for done, (file, found) in enumerate(results, start=1):
            if time.monotonic() - shown > SHOWN_EVERY_S:
                status.update(f"classified {done} of {len(files)} pictures")
                shown = time.monotonic()
            if isinstance(found, str):
                failed += 1
                stderr().print(printable(found), style="yellow", markup=False)
            else:
                writer.add(file, found)
                if maps is not None:
                    maps.add(done - 1, file, found)
    for path in foreign:
        cause = f"'{path}' cannot be read: zoo does not decode {path.suffix.lower()} files."
        stderr().print(printable(cause), style="yellow", markup=False)
    failed += len(foreign)
    for sentence in given.log.warnings(trained=True):
        stderr().print(printable(sentence), style="yellow", markup=False)
    if failed:
        total = len(files) + len(foreign)
        stderr().print(f"{failed} of {total} pictures could not be read.", style="bold yellow")
        raise typer.Exit(1)


def _workers(pictures: int, device: str) -> int:
    """How many batches run at once: for a few pictures, and on a GPU, all of the machine works on one."""
    from zoo.data.prefetch import count_cores

    cores = count_cores()
    return 1 if device != "cpu" or pictures < FEW * cores else min(MAX_WORKERS, cores)


def _files(given: list[str]) -> tuple[list[Path], list[Path]]:
    """The pictures to classify, and those in folders that have a format which is not decoded."""
    from zoo.cli.console import warn
    from zoo.images import search

    files: list[Path] = []
    foreign: list[Path] = []
    for text in given:
        if not text:
            raise UsageError("The name of a picture is empty.", "Leave it out, or write . for this folder.")
        path = Path(text)  # which makes one slash of two
        if ADDRESS.match(text) and not path.exists():
            raise UsageError(f"'{text}' is an address, not a file.", "Download it, then name the file.")
        if not path.is_dir():
            files.append(path)
            continue
        found = search(path)
        for note in found.notes(path):
            warn(note)
        if not found.pictures:
            raise UsageError(f"There are no pictures in '{path}'.", "Name a folder that has some.")
        files += found.pictures
        foreign += found.foreign
    return files, foreign


def _classify(predictor: Predictor, pictures: FilePictures, top_k: int, maps: HeatMaps | None) -> Results:
    """Yields each file in order, with its prediction or what is wrong with it."""
    from zoo.artifacts.predictor import BATCH_SIZE
    from zoo.data.prefetch import decode
    from zoo.errors import TooLittleMemoryError, UnreadablePictureError

    files = pictures.paths
    results: dict[int, Prediction | str] = {}  # those that wait for one in front of them

    def readable() -> Iterator[tuple[int, np.ndarray]]:
        for index, picture in decode(pictures):
            if isinstance(picture, UnreadablePictureError):
                results[index] = str(picture)
            else:
                if maps is not None:
                    maps.see(index, picture)
                yield index, picture

    def failed(index: int, _: TooLittleMemoryError) -> None:
        results[index] = str(TooLittleMemoryError(f"'{files[index]}'"))

    done, batch_size = 0, min(BATCH_SIZE, -(-len(files) // predictor.workers))
    with closing(predictor.stream(readable(), batch_size, failed=failed)) as answers:
        for indices, logits in answers:
            results.update(zip(indices, predictor.predictions(logits, top_k), strict=True))
            while done in results:
                yield files[done], results.pop(done)
                done += 1
    yield from ((files[index], results[index]) for index in range(done, len(files)))
