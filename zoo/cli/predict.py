"""`zoo predict`: classify files and folders with an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import stderr
from zoo.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from zoo.artifact import Prediction, Predictor

CHUNK = 256  # files whose results wait for each other, so that they come out in order


def predict(
    artifact: Annotated[Path, typer.Argument(help="A file that `zoo export` wrote.")],
    pictures: Annotated[
        list[Path], typer.Argument(metavar="FILES_OR_FOLDERS...", help="Pictures, or folders of pictures.")
    ],
    *,
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to list.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Classify pictures with an exported file.

    Folders are searched with all their sub-folders. Files that cannot be read are named on stderr; the others
    are classified, and the exit code is 1.
    """
    from zoo.artifact import load
    from zoo.cli.predictions import CsvWriter, JsonWriter, TableWriter

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other.", "Choose one of them.")
    files = _files(pictures)
    predictor = load(artifact, device)
    top_k = min(top_k, len(predictor.classes))
    writer = JsonWriter() if as_json else CsvWriter(top_k) if as_csv else TableWriter()
    failed = 0
    with writer, stderr().status(f"classifying {len(files)} pictures") as status:
        for done, (file, found) in enumerate(_classify(predictor, files, top_k), start=1):
            status.update(f"classified {done} of {len(files)} pictures")
            if isinstance(found, str):
                failed += 1
                stderr().print(found, style="yellow", markup=False)
            else:
                writer.add(file, found)
    if failed:
        stderr().print(f"{failed} of {len(files)} pictures could not be read.", style="bold yellow")
        raise typer.Exit(1)


def _files(given: list[Path]) -> list[Path]:
    from zoo.images import find_pictures

    files: list[Path] = []
    for path in given:
        found = find_pictures(path) if path.is_dir() else [path]
        if not found:
            raise UsageError(f"There are no pictures in '{path}'.", "Name a folder that holds some.")
        files += found
    return files


def _classify(predictor: Predictor, files: list[Path], top_k: int) -> Iterator[tuple[Path, Prediction | str]]:
    """Each file in order, with its prediction, or with what is wrong with it."""
    from zoo.data.stream import decode
    from zoo.data.types import FilePictures
    from zoo.errors import UnreadablePictureError

    for start in range(0, len(files), CHUNK):
        part = files[start : start + CHUNK]
        results: dict[int, Prediction | str] = {}

        def readable(part: list[Path], results: dict[int, Prediction | str]) -> Iterator[tuple[int, np.ndarray]]:
            for index, picture in decode(FilePictures(part)):
                if isinstance(picture, UnreadablePictureError):
                    results[index] = picture.cause
                else:
                    yield index, picture

        for indices, logits in predictor.stream(readable(part, results)):
            results.update(zip(indices, predictor.predictions(logits, top_k), strict=True))
        yield from ((file, results[index]) for index, file in enumerate(part))
