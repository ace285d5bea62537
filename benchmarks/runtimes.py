"""How far the logits of other runtimes are from PyTorch's: for an ONNX file of `zoo export`, and for one with `Resize`.

    python benchmarks/runtimes.py PHOTOS [--python OTHER/bin/python ...] [--web FOLDER/node_modules]

40 pictures of many sizes: photos of a folder, and half-toned digits, enlarged and shrunk. The network is the pretrained
EfficientNet-Lite0. Each interpreter runs onnxruntime, OpenVINO or OpenCV, whichever it has. The unit is the spread of
the logits: their standard deviation from picture to picture. It prints a table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from zoo.images import read_picture
from zoo.models.classifier import Classifier
from zoo.registry import registry
from zoo.specs import PreprocessSpec, WriteOptions
from zoo_exporters import onnx, windows

SIDES = (56, 150, 224, 300, 448, 560, 700, 1000, 1400, 2000)
CHILD = """
import sys, importlib, numpy as np
name, model, folder, out = sys.argv[1:]
module = importlib.import_module(name)
print(module.__version__, flush=True)
if name == "onnxruntime":
    session = module.InferenceSession(model, providers=["CPUExecutionProvider"])
    run = lambda image: session.run(["logits"], {"image": image})[0]
elif name == "openvino":
    compiled = module.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    run = lambda image: compiled(image)["logits"]
elif name == "cv2":
    net = module.dnn.readNetFromONNX(model)
    def run(image):
        net.setInput(image, "image")
        return net.forward("logits")
else:
    from onnx.reference import ReferenceEvaluator
    session = ReferenceEvaluator(model)
    run = lambda image: session.run(["logits"], {"image": image})[0]
images = [np.load(f"{folder}/{number}.npy") for number in range(int(len(__import__("os").listdir(folder)) / 2))]
np.save(out, np.concatenate([run(image) for image in images]))
"""
WEB = """
const [modules, model, folder, out] = process.argv.slice(1);
const fs = require("fs"), ort = require(modules + "/onnxruntime-web");
console.log(JSON.parse(fs.readFileSync(modules + "/onnxruntime-web/package.json")).version);
ort.env.wasm.numThreads = 1;
(async () => {
  const bytes = new Uint8Array(fs.readFileSync(model));
  const session = await ort.InferenceSession.create(bytes, {executionProviders: ["wasm"]});
  const rows = [];
  const shapes = JSON.parse(fs.readFileSync(folder + "/../shapes.json"));
  for (let i = 0; i < shapes.length; i++) {
    const image = new ort.Tensor("uint8", new Uint8Array(fs.readFileSync(`${folder}/${i}.raw`)), shapes[i]);
    rows.push(Array.from((await session.run({image}, ["logits"])).logits.data));
  }
  fs.writeFileSync(out, JSON.stringify(rows));
})().catch(error => { console.error(String(error)); process.exit(1); });
"""


def pictures(photos: Path) -> list[np.ndarray]:
    """20 photos, ten of them resized, and 20 half-toned digits."""
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    found = [read_picture(path) for path in paths[:: max(1, len(paths) // 20)][:20]]
    for number, side in enumerate(SIDES):
        resized = Image.fromarray(found[number]).resize((side, max(1, side * 3 // 4)))
        found[number] = np.asarray(resized)
    with np.load(Path(__file__).parents[1] / "plugins/zoo_torchvision/data/mnist_sample.npz") as sample:
        digits = next(value for value in sample.values() if value.ndim == 3)[:20]
    for number, digit in enumerate(digits):
        side = SIDES[number % len(SIDES)]
        small = Image.fromarray(digit).resize((side, side)).convert("1").convert("RGB")
        found.append(np.asarray(small if number < len(SIDES) else small.resize((side // 2, side // 2), Image.NEAREST)))
    return [np.ascontiguousarray(one) for one in found]


def files(folder: Path) -> tuple[dict[str, Path], Classifier]:
    """A file as it is exported, and one with `Resize`."""
    backbone = registry().backbone("efficientnet_lite0").spec
    network = backbone.build(1000)
    network.load_state_dict(backbone.weights.load())
    weights = backbone.weights
    spec = PreprocessSpec(image_size=224, mean=weights.mean, std=weights.std)
    classifier = Classifier(network, [str(n) for n in range(1000)], spec, check=False).eval()
    made = {"products": folder / "products.onnx", "resize": folder / "resize.onnx"}
    onnx.write(classifier, made["products"], WriteOptions())
    with patch.object(windows, "in_plain_operators", lambda _: None):
        onnx.write(classifier, made["resize"], WriteOptions())
    return made, classifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--python", action="append", default=[], help="another interpreter, with a runtime")
    parser.add_argument("--web", type=Path, help="a folder node_modules that has onnxruntime-web")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made, classifier = files(folder)
        shown = [image[None] for image in pictures(options.photos)]
        (folder / "images").mkdir()
        for number, image in enumerate(shown):
            np.save(folder / "images" / f"{number}.npy", image)
            (folder / "images" / f"{number}.raw").write_bytes(image.tobytes())
        (folder / "shapes.json").write_text(json.dumps([image.shape for image in shown]))
        with torch.inference_mode():
            right = np.concatenate([classifier(torch.from_numpy(image.copy())).numpy() for image in shown])
        print("| runtime | version | products | `Resize` |\n|---|---|---|---|")
        for python in [sys.executable, *options.python]:
            for name in ("onnxruntime", "openvino", "cv2", "onnx"):
                known = subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False)
                if known.returncode == 0 and (name != "onnx" or python != sys.executable):
                    row(name, [python, "-c", CHILD, name], made, folder, right)
        if options.web:
            row("onnxruntime-web", ["node", "-e", WEB, str(options.web.absolute())], made, folder, right)


def row(name: str, command: list[str], made: dict[str, Path], folder: Path, right: np.ndarray) -> None:
    """Prints a row. `right`: the classifier's logits."""
    spread = float(np.sqrt(right.astype(np.float64).var(axis=0).mean()))
    cells, version = [], "?"
    for path in made.values():
        out = folder / ("out.json" if name.endswith("web") else "out.npy")
        done = subprocess.run(
            [*command, str(path), str(folder / "images"), str(out)], capture_output=True, text=True, check=False
        )
        version = (done.stdout.split() or [version])[0]
        if done.returncode:
            cells.append("fails: " + (done.stderr.strip().splitlines() or [str(done.returncode)])[-1][:90])
            continue
        found = np.array(json.loads(out.read_text())) if out.suffix == ".json" else np.load(out)
        cells.append(f"{np.abs(found - right).max() / spread:.1e}")
    print(f"| {name} | {version} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
