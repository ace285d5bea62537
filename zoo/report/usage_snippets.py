"""The code of model cards: how to use an artifact without visionzoo, in a few lines of Python."""

from __future__ import annotations

from fractions import Fraction

from zoo.artifacts.card import Card
from zoo.transforms.preprocess_numpy import shorter_side

_OPENED = {
    "onnx": """import json
import numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("model.onnx")
classes = json.loads(session.get_modelmeta().custom_metadata_map["zoo.card"])["classes"]
""",
    "torchscript": """import json
import numpy as np, torch
from PIL import Image, ImageOps

files = {"card.json": ""}
model = torch.jit.load("model.pt", _extra_files=files)
classes = json.loads(files["card.json"])["classes"]
""",
    "pt2": """import json
import numpy as np, torch
from PIL import Image, ImageOps

files = {"card.json": ""}
model = torch.export.load("model.pt2", extra_files=files).module()
classes = json.loads(files["card.json"])["classes"]
""",
}
_PICTURE = 'picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")\n'
_ONNX = "logits = session.run(['logits'], {session.get_inputs()[0].name: images})[0]\n"
_TORCH = "logits = model(torch.from_numpy(images))[0].detach().numpy()\n"
_ZOO = """import zoo

print(zoo.load("model").predict(["picture.jpg"]))
"""


def usage(card: Card) -> str:
    """Markdown: a block of code that classifies one picture. It holds only fixed words and checked numbers."""
    if card.format not in _OPENED:
        return f"```python\n{_ZOO}```"
    images = _pixels() if card.input == "pixels" else _tensor(card)
    run = _ONNX if card.format == "onnx" else _TORCH
    return f"```python\n{_OPENED[card.format]}{_PICTURE}{images}{run}print(classes[logits[0].argmax()])\n```"


def _pixels() -> str:
    return "images = np.array(picture)[None]\n"


def _tensor(card: Card) -> str:
    """As `zoo.transforms.preprocess_numpy` does it."""
    spec, lines = card.preprocess, []
    size, bicubic = spec.image_size, spec.interpolation == "bicubic"
    target, box = f"({size}, {size})", ""
    if spec.resize == "shorter":
        side = shorter_side(spec)
        lines += [
            f"target = [{side} * length // min(picture.size) for length in picture.size]",
            f"left, top = [round((length - {size}) / 2) for length in target]",
        ]
        target, box = "target", f".crop((left, top, left + {size}, top + {size}))"
    if spec.resize == "crop":
        part = Fraction(spec.crop_fraction).limit_denominator(4096)
        lines += [
            f"side = max(1, min(picture.size) * {part.numerator} // {part.denominator})",
            "left, top = (picture.width - side) // 2, (picture.height - side) // 2",
            "picture = picture.crop((left, top, left + side, top + side))",
        ]
    if bicubic:  # as a picture of 8 bits: Pillow limits both of its sums to them
        lines.append(f"picture = picture.resize({target}, 3){box}  # bicubic, within one level of 255")
        lines.append("planes = np.asarray(picture, np.float32).transpose(2, 0, 1)")
    else:
        lines += [
            "planes = [Image.fromarray(plane) for plane in np.asarray(picture, np.float32).transpose(2, 0, 1)]",
            f"planes = np.stack([plane.resize({target}, 2){box} for plane in planes])  # bilinear",
        ]
    if spec.channels == "grey":
        lines.append("planes = np.stack([np.tensordot((0.299, 0.587, 0.114), planes, 1)] * 3)")
    mean, std = list(spec.mean), list(spec.std)
    lines.append(f"images = ((planes.T / 255 - {mean}) / {std}).T[None].astype(np.float32)")
    return "".join(f"{line}\n" for line in lines)
