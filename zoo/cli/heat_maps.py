"""`zoo predict --heatmap`: a picture beside each answer that shows where the artifact looked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError

_MAX_STEM = 120  # bytes; a number, `.png` and the marks of an unfinished file come to a name of at most 255

if TYPE_CHECKING:
    import numpy as np

    from zoo.artifacts.predictor import Prediction, Predictor


class HeatMaps:
    """Writes heat maps into a folder that is made, or is empty. Raises `UsageError` for another."""

    def __init__(self, folder: Path, predictor: Predictor) -> None:
        from zoo.runs.folder import create_folder_at

        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            cause = f"The folder '{folder}' is not empty." if folder.is_dir() else f"'{folder}' is a file."
            raise UsageError(cause, "Name another folder with --heatmap.", code="not-empty")
        try:
            self._folder = create_folder_at(folder)
        except UsageError as error:
            raise UsageError(error.cause, "Name another folder with --heatmap.", code=error.code) from None
        self._predictor = predictor
        self._views: dict[int, np.ndarray] = {}

    def see(self, index: int, picture: np.ndarray) -> None:
        """Keeps what the network sees of a picture, uint8 `[H, W, 3]`, until its answer is there."""
        from zoo.transforms.view import framed, model_view

        spec = self._predictor.card.preprocess
        (self._views[index],) = framed(model_view(picture, spec)[None], spec)

    def add(self, index: int, file: Path, prediction: Prediction) -> None:
        """Writes the map of the picture's class to `NAME.png`, or to `NAME-2.png` for a second picture of that name."""
        from PIL import Image

        from zoo.artifacts.heat_pictures import heat_picture
        from zoo.files import write_atomically

        found = self._predictor.heat_map(self._views.pop(index), prediction.label)
        stem = _shortened(file.stem)
        path, number = self._folder / f"{stem}.png", 1
        while path.exists():
            number += 1
            path = self._folder / f"{stem}-{number}.png"
        picture = Image.fromarray(heat_picture(found))
        write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))


def _shortened(stem: str) -> str:
    """The beginning of a name that is too long for one more ending."""
    return os.fsencode(stem)[:_MAX_STEM].decode(errors="ignore") if len(os.fsencode(stem)) > _MAX_STEM else stem
