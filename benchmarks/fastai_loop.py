"""fastai's training loop on a folder of photos: `Learner.fit_one_cycle` with its defaults.

It uses `Resize` on single pictures, `aug_transforms` on batches, Adam and one worker per core. The network is
torchvision's; its size and batch size are options. `--fast` adds fastai's callbacks for channels last and bf16. Its
`MixedPrecision` knows autocast only on "cuda", which PyTorch switches off without a GPU. A subclass sets the device
that is there, so that it computes in bf16. The script prints one line of JSON: the seconds of each epoch's training,
and its pictures.
"""

from __future__ import annotations

import json
import time

import torch
import torchvision
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.callback.schedule import Learner  # with fit_one_cycle
from fastai.data.transforms import Normalize
from fastai.learner import Callback
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageDataLoaders
from measure import rival_options


class Stopwatch(Callback):
    """Seconds of each epoch's training, its data included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.pictures = 0

    def before_train(self) -> None:
        self.started, self.pictures = time.perf_counter(), 0

    def before_batch(self) -> None:
        if self.training:
            self.pictures += len(self.xb[0])

    def after_train(self) -> None:
        self.seconds.append(time.perf_counter() - self.started)


class MixedPrecisionOnCPU(MixedPrecision):
    """fastai's own callback, with autocast on the CPU."""

    def before_fit(self) -> None:
        super().before_fit()
        self.autocast = torch.autocast("cpu", torch.bfloat16)


def main() -> None:
    options = rival_options(__doc__)
    loaders = ImageDataLoaders.from_folder(
        options.photos,
        valid="val",
        item_tfms=Resize(options.image_size),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
        bs=options.batch_size,
    )
    network, watch = torchvision.models.resnet18(num_classes=loaders.c), Stopwatch()
    fast = [ChannelsLast(), MixedPrecisionOnCPU(amp_mode=AMPMode.BF16)] if options.fast else []
    learner = Learner(loaders, network, cbs=[watch, *fast])
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(options.epochs)
    print(json.dumps({"seconds": watch.seconds, "pictures": watch.pictures, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
