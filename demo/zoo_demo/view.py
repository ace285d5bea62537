"""What the model sees of a picture, for the visitor's eyes: the model itself gets the whole picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import resize


def model_view(picture: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Crops and resizes as the model does, without a copy of the picture, which may be large.

    Args:
        picture: uint8 `[H, W, 3]`.

    Returns:
        uint8 `[S, S, 3]`, S being `spec.image_size`; grey where the model sees grey. Within a level of what it sees.
    """
    view = np.rint(resize(picture[None], spec)[0].transpose(1, 2, 0)).astype(np.uint8)
    return np.asarray(Image.fromarray(view).convert("L").convert("RGB")) if spec.channels == "grey" else view
