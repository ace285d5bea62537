"""An ONNX file behind LitServe, for `serve.py`: what a program of its users would look like.

Pillow decodes a picture of a form, and the pictures of a batch that have one size share a run of onnxruntime. The file
is the one that `zoo serve` runs: it takes pixels, uint8 `[N, H, W, 3]`, so that resizing and normalising are in it.

Batches have at most 32 pictures, like those of `zoo serve`. They wait 10 ms for more: without a wait, LitServe's loop
keeps a core busy while nothing comes. One worker runs the model, with as many threads as that of `zoo serve`.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict

import litserve
import numpy as np
import onnxruntime
from PIL import Image

BATCH_SIZE, BATCH_TIMEOUT_S = 32, 0.01


class Classifier(litserve.LitAPI):
    """Pictures in forms, field `files`; the most probable class out."""

    def __init__(self, model: str, threads: int, runs: str) -> None:
        super().__init__(max_batch_size=BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S)
        self.model, self.threads, self.runs = model, threads, runs

    def setup(self, device: str) -> None:  # noqa: ARG002
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        self.session = onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.log = os.open(self.runs, os.O_WRONLY | os.O_APPEND)

    def decode_request(self, request):
        with Image.open(request["files"].file) as image:
            return np.asarray(image.convert("RGB"))

    def batch(self, inputs):
        return inputs  # LitServe would stack them, and they may have several sizes

    def predict(self, pictures):
        of_size = defaultdict(list)
        for index, picture in enumerate(pictures):
            of_size[picture.shape].append(index)
        found = [(0, 0.0)] * len(pictures)
        for indices in of_size.values():
            (logits,) = self.session.run(["logits"], {self.input: np.stack([pictures[index] for index in indices])})
            shares = np.exp(logits - logits.max(1, keepdims=True))
            shares /= shares.sum(1, keepdims=True)
            for index, row in zip(indices, shares, strict=True):
                found[index] = (int(row.argmax()), float(row.max()))
            os.write(self.log, b"%d\n" % len(indices))
        return found

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        index, share = output
        return {"index": index, "probability": share}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("model")
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--threads", type=int, required=True)
    made.add_argument("--runs", required=True, help="File that gets the number of pictures of each run, a line each.")
    options = made.parse_args()
    api = Classifier(options.model, options.threads, options.runs)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
