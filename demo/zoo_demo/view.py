"""What the model sees of a picture, for the visitor's eyes: the model itself gets the whole picture."""

from __future__ import annotations

import base64
from fractions import Fraction
from io import BytesIO

import numpy as np
from PIL import Image

from zoo.specs import PreprocessSpec


def model_view(picture: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Crops and resizes as `zoo.preprocess.Preprocess` does, to within two levels of 255.

    Args:
        picture: uint8 `[H, W, 3]`.

    Returns:
        uint8 `[S, S, 3]`, S being `spec.image_size`; grey where the model sees grey.
    """
    if spec.resize == "crop":
        height, width = picture.shape[:2]
        fraction = Fraction(spec.crop_fraction).limit_denominator(4096)
        side = max(1, min(height, width) * fraction.numerator // fraction.denominator)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    image = Image.fromarray(picture).resize((spec.image_size, spec.image_size), Image.Resampling.BILINEAR)
    return np.asarray(image.convert("L").convert("RGB") if spec.channels == "grey" else image)


def data_url(picture: np.ndarray) -> str:
    """A picture, uint8 `[H, W, 3]`, as a PNG in a `data:` address."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
