"""`zoo predict --heatmap`: a picture beside each answer that shows where the artifact looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.artifacts.predictor import Prediction, Predictor


class HeatMaps:
    """Writes heat maps into a folder that is made, or is empty. Raises `UsageError` for another."""

    def __init__(self, folder: Path, predictor: Predictor) -> None:
        from zoo.runs.folder import create_folder_at

        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            cause = f"The folder '{folder}' is not empty." if folder.is_dir() else f"'{folder}' is a file."
            raise UsageError(cause, "Name another folder with --heatmap.", code="not-empty")
        self._folder = create_folder_at(folder)
        self._predictor = predictor

    def add(self, file: Path, prediction: Prediction) -> None:
        """Writes the map of the picture's class to `NAME.png`, or to `NAME-2.png` for a second picture of that name."""
        from PIL import Image

        from zoo.artifacts.heat_pictures import heat_picture
        from zoo.files import write_atomically

        found = self._predictor.heat_map(file, prediction.label)
        path, number = self._folder / f"{file.stem}.png", 1
        while path.exists():
            number += 1
            path = self._folder / f"{file.stem}-{number}.png"
        picture = Image.fromarray(heat_picture(found))
        write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
