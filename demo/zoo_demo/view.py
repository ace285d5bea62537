"""The view of a picture as the model sees it, for the visitor. The model itself gets the whole picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import resize


def model_view(picture: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Crops and resizes like the model, without a copy of the picture, which may be large.

    Args:
        picture: uint8 `[H, W, 3]`.

    Returns:
        uint8 `[S, S, 3]` with S = `spec.image_size`; grey if the model sees grey. It differs from the model's input by
        at most one level.
    """
    view = np.rint(resize(picture[None], spec)[0].transpose(1, 2, 0)).astype(np.uint8)
    return np.asarray(Image.fromarray(view).convert("L").convert("RGB")) if spec.channels == "grey" else view
