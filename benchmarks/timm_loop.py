"""timm's training loop on a folder of photos, built from the package like the train.py of its repository.

Dataset, loader, augmentation, loss, optimiser and schedule are that script's defaults (SGD at 0.05, weight decay 2e-5,
label smoothing 0.1, 4 workers). Network, size and batch size are those of zoo. `--fast` adds its options
`--amp --amp-dtype bfloat16 --channels-last`. The script prints one line of JSON: the seconds of each epoch, and its
pictures.
"""

from __future__ import annotations

import contextlib
import json
import time

import torch
from measure import rival_options
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.models import create_model
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, random_seed


def main() -> None:
    options = rival_options(__doc__)
    random_seed(42, 0)
    device = torch.device("cpu")
    dataset = create_dataset("", root=options.photos, split="train", is_training=True, batch_size=options.batch_size)
    model = create_model("resnet18", num_classes=len(dataset.reader.class_to_idx))
    config = resolve_data_config({"img_size": options.image_size}, model=model)
    if options.fast:
        model = model.to(memory_format=torch.channels_last)
    loader = create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=options.batch_size,
        is_training=True,
        interpolation="random",
        mean=config["mean"],
        std=config["std"],
        num_workers=4,
        device=device,
    )
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, weight_decay=2e-5, momentum=0.9)
    scheduler, _ = create_scheduler_v2(
        optimizer, num_epochs=300, warmup_epochs=5, warmup_lr=1e-5, updates_per_epoch=len(loader), step_on_epochs=True
    )
    loss_fn, losses, seconds, pictures = LabelSmoothingCrossEntropy(smoothing=0.1), AverageMeter(), [], 0
    model.train()
    for epoch in range(options.epochs):
        started, pictures = time.perf_counter(), 0
        for inputs, target in loader:
            batch = inputs.contiguous(memory_format=torch.channels_last) if options.fast else inputs
            with torch.autocast("cpu", torch.bfloat16) if options.fast else contextlib.nullcontext():
                loss = loss_fn(model(batch), target)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.update(loss.item(), len(target))
            scheduler.step_update(num_updates=(epoch + 1) * len(loader), metric=losses.avg)
            pictures += len(target)
        seconds.append(time.perf_counter() - started)
        scheduler.step(epoch + 1)
    print(json.dumps({"seconds": seconds, "pictures": pictures, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
