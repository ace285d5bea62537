"""The options of a training: one home, one name, one default each.

`zoo train` makes its command line from the fields below, `recipe.toml` holds them, and pydantic validates
them wherever they come from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from zoo.recipes.place import PLUGINS_HELP, PicturePlace, moved
from zoo.recipes.values import (
    CHANNELS,
    CLASS_WEIGHTS,
    CROP,
    EPOCHS,
    NAMES,
    PIXEL_RANGE,
    RGB,
    SIZE,
    TIME,
    VARIATION,
    ZOOM,
    Pair,
    Written,
)
from zoo.specs import Augmentation, Interpolation, ResizeMode

Strategy = Literal["head", "finetune", "gradual", "full"]
TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]

# What may differ when a run is resumed: where it runs, and where its pictures and plugin files are.
PLACES = ("device", "devices", "nodes", "distributed", "data_root", "dataset", "plugins")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train and how. None: chosen from the data and the machine; the summary says why."""

    backbone: Annotated[str, "Name of the network: see `zoo list backbones`."]
    dataset: Annotated[str, "Name of a dataset (`zoo list datasets`), a folder, or a list file."]
    val: Annotated[str | None, "Folder or list file of validation pictures."] = None
    test: Annotated[str | None, "Folder or list file of test pictures."] = None
    encoding: Annotated[str, "Text encoding of list files."] = "utf-8"
    strategy: Annotated[
        Strategy | None,
        "What trains: `head` only the last layer; `finetune` the head first, then everything, gently towards the "
        "stem; `gradual` one stage after the other, from the head; `full` everything from the start. "
        "Default: finetune with pretrained weights, full without.",
    ] = None
    freeze_until: Annotated[
        str | None,
        "First stage that trains; those before it stay frozen. `zoo info BACKBONE --shapes` lists the stages.",
    ] = None
    unfreeze_at: Annotated[
        tuple[int, ...] | None,
        "For gradual: epochs at which one more stage trains, such as 3,5,7. Default: spread evenly.",
        EPOCHS,
    ] = None
    head_epochs: Annotated[
        int | None, "For finetune: epochs in which the head trains alone, before everything does. Default: 20."
    ] = None
    head_learning_rate: Annotated[
        float | None,
        "For finetune and gradual: learning rate while the head trains alone. Default: adamw and adam 0.001, sgd 0.05; "
        "for gradual that of --learning-rate where it is given.",
    ] = None
    weights: Annotated[
        str,
        "Initial weights: `auto` (pretrained if available), `pretrained`, `none`, or a file.",
    ] = "auto"
    epochs: Annotated[
        int | None,
        "Passes over the training pictures. Default: 20 over stored features for head, 4 for finetune, "
        "2 per stage for gradual, 8 (pictures up to 96 pixels) or 30 (photos) for full.",
    ] = None
    time_budget: Annotated[
        float | None, "Longest training time, such as 90s, 10m or 1.5h. The learning rate falls accordingly.", TIME
    ] = None
    batch_size: Annotated[int, "Pictures per step."] = 64
    accumulate: Annotated[int, "Batches whose gradients are added up before the optimiser steps."] = 1
    image_size: Annotated[
        int | None,
        "Side in pixels of what the network sees. Default: the weights' own for photos (160 without), 96 for small "
        "pictures with pretrained weights, their native size without.",
    ] = None
    resize: Annotated[
        ResizeMode | None,
        "`crop` cuts out the centre square, then resizes it; `shorter` resizes the shorter side first, as torchvision "
        "does; `squash` keeps the whole picture. Default: the weights' own for photos, else crop.",
    ] = None
    interpolation: Annotated[
        Interpolation | None, "Filter of the resize. Default: the weights' own with their resize, else bilinear."
    ] = None
    pixel_range: Annotated[
        Pair | None,
        "For pictures of more than 8 bits a channel: the values that become black and white, such as 0,4095. Default: "
        "by the tags of each file, else 0,65535 for 16 bits and 0,1 for floats.",
        PIXEL_RANGE,
    ] = None
    mean: Annotated[
        RGB | None, "Mean of pixels in 0..1: one number, or red,green,blue. Default: the weights' own.", CHANNELS
    ] = None
    std: Annotated[
        RGB | None,
        "Standard deviation of pixels in 0..1: one number, or red,green,blue. --mean 0 --std 1 does not normalise.",
        CHANNELS,
    ] = None
    augment: Annotated[
        Augmentation | None,
        "Random variation of the training pictures. Default: the dataset's own policy, none for head. "
        "`zoo preview` shows it.",
    ] = None
    rotate: Annotated[float | None, "Largest random rotation in degrees. Overrides the policy."] = None
    translate: Annotated[float | None, "Largest random shift, as a share of the side. Overrides the policy."] = None
    zoom: Annotated[Pair | None, "Range of the random zoom, such as 0.9,1.1. Overrides the policy.", ZOOM] = None
    crop: Annotated[
        Pair | None,
        "Range of the random crop, as a share of the area, such as 0.35,1. Overrides the policy; not together with "
        "--translate or --zoom.",
        CROP,
    ] = None
    shear: Annotated[float | None, "Largest random shear in degrees. Overrides the policy."] = None
    flip: Annotated[
        Literal["none", "horizontal", "vertical", "both"] | None,
        "Mirror half of the pictures. Overrides the policy.",
    ] = None
    jitter: Annotated[float | None, "Random brightness, contrast and saturation, 0 to 1. Overrides the policy."] = None
    hue: Annotated[float | None, "Random hue shift, 0 to 0.5 (half the colour wheel). Overrides the policy."] = None
    grey: Annotated[float | None, "Share of pictures that turn grey. Overrides the policy."] = None
    trivial: Annotated[
        bool | None,
        "TrivialAugment: one of 14 operations at random strength for each picture. Overrides the policy.",
    ] = None
    erase: Annotated[float | None, "Share of pictures that lose a rectangle. Overrides the policy."] = None
    mixup: Annotated[float, "Alpha of MixUp, which blends pairs of pictures and labels; 0 is off, 0.2 usual."] = 0.0
    cutmix: Annotated[float, "Alpha of CutMix, which pastes a part of another picture; 0 is off, 1 usual."] = 0.0
    sampling: Annotated[
        Literal["natural", "balanced"], "`balanced` draws each class equally often, with replacement."
    ] = "natural"
    class_weights: Annotated[
        Literal["balanced"] | dict[str, float] | None,
        "Weights of classes in the loss: `balanced` (inverse to their frequency), or cat=2,dog=0.5.",
        CLASS_WEIGHTS,
    ] = None
    views: Annotated[
        int | None, "Augmented views of each picture whose features are stored. Default: 4 with augmentation."
    ] = None
    cache_budget: Annotated[
        int,
        "Memory for decoded pictures, and as much again for the stored features of frozen stages. Larger data goes to "
        "files. 0 reads pictures from the disk and computes features again in each epoch.",
        SIZE,
    ] = 4 * 2**30
    disk_budget: Annotated[
        int,
        "Largest size of all decoded pictures in the cache folder (`zoo cache`). The oldest are removed first; 0 keeps "
        "none. Pictures that fit neither memory nor disk are decoded again in each epoch.",
        SIZE,
    ] = 50 * 2**30
    optimizer: Annotated[Literal["adamw", "adam", "sgd"], "The optimiser."] = "adamw"
    learning_rate: Annotated[
        float | None,
        "Peak learning rate. Default: adamw and adam 0.001 (finetune and gradual 0.0005), sgd 0.05 (0.005). "
        "`zoo lr-find` suggests one.",
    ] = None
    layer_decay: Annotated[
        float | None,
        "Factor on the learning rate from each stage to the one before it. Default: 0.8 for finetune and gradual, "
        "else 1.",
    ] = None
    momentum: Annotated[float, "Momentum of sgd."] = 0.9
    nesterov: Annotated[bool, "Nesterov's momentum for sgd."] = True
    weight_decay: Annotated[
        float | None,
        "Weight decay; biases and normalisation layers have none. Default: adamw 0.05, sgd 0.0005, adam 0.",
    ] = None
    schedule: Annotated[
        Literal["constant", "cosine", "onecycle", "step", "multistep", "plateau"],
        "How the learning rate changes: `cosine` to 0, `onecycle` (up and down), `step` and `multistep` (times gamma "
        "every --step-epochs or at --milestones), `plateau` (times gamma after --patience epochs without progress).",
    ] = "cosine"
    warmup_epochs: Annotated[
        float | None,
        "Epochs in which the learning rate rises. Default: 0.05 of all for cosine, 0.3 for onecycle, else 0.",
    ] = None
    step_epochs: Annotated[int | None, "Epochs between two steps of `step`. Default: a third of them."] = None
    milestones: Annotated[tuple[int, ...] | None, "Epochs after which `multistep` steps, such as 10,15.", EPOCHS] = None
    gamma: Annotated[float, "Factor of each step."] = 0.1
    patience: Annotated[int, "Epochs that `plateau` waits."] = 2
    label_smoothing: Annotated[float, "Share of the target spread over all classes, 0 to below 1."] = 0.0
    dropout: Annotated[float, "Share of the head's input that is left out in each step of training."] = 0.0
    clip_norm: Annotated[float | None, "Largest norm of the gradient; longer ones are scaled down."] = None
    ema: Annotated[
        float | None, "Decay of an average over the weights of all steps, such as 0.999; the average is what is kept."
    ] = None
    monitor: Annotated[
        Literal["loss", "accuracy"], "Validation figure that chooses the checkpoint and ends or slows a training."
    ] = "loss"
    log_every: Annotated[
        int | None, "Print the running loss and accuracy after every so many batches. Default: once a minute."
    ] = None
    early_stopping: Annotated[int | None, "Stop after this many epochs without progress. Default: never."] = None
    compile: Annotated[bool, "Compile the network with torch.compile; needs a C++ compiler."] = False
    precision: Annotated[
        TrainingPrecision, "Number format of training; `auto` takes bf16 where the hardware computes in it."
    ] = "auto"
    device: Annotated[
        str, "Where to train: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps` (Apple), `xpu` (Intel)."
    ] = "auto"
    devices: Annotated[
        int | None, "Processes on this machine that share every batch: one for each GPU, or parts of a CPU. Default: 1."
    ] = None
    nodes: Annotated[int | None, "Machines that train together: see docs/scaling.md. Default: 1."] = None
    distributed: Annotated[
        Literal["ddp"], "How processes share the work: `ddp` gives each the whole network and a part of every batch."
    ] = "ddp"
    checkpoint_minutes: Annotated[
        float, "Longest time between two checkpoints for --resume; there is one after every epoch too."
    ] = 10.0
    limit: Annotated[
        int | None, "Train on this many pictures, each class with its share of them, for a first try. Default: all."
    ] = None
    seed: Annotated[int, "Seed of the split, the initial weights, the order and the augmentation."] = 0
    deterministic: Annotated[bool, "Only algorithms that give the same bits each time."] = False
    data_root: Annotated[
        str | None, "Folder that holds the named datasets. Default: the cache folder of this user."
    ] = None
    max_unreadable: Annotated[float, "Largest share of unreadable pictures to go on with."] = 0.01
    loggers: Annotated[
        tuple[str, ...], "Where the metrics of each epoch go, such as csv,tensorboard: see `zoo list loggers`.", NAMES
    ] = ("csv",)
    plugins: Annotated[tuple[str, ...], PLUGINS_HELP] = ()

    @classmethod
    def make(cls, **options: Any) -> Recipe:
        """Validates options. Raises `UsageError` for an unknown name or an impossible value."""
        from zoo.recipes.parsing import check_names, validate

        check_names(options, [field.name for field in dataclasses.fields(cls)])
        return validate(cls, options)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The options in a TOML file: known names, values not yet validated."""
        from zoo.recipes.parsing import read_options

        return read_options(path, [field.name for field in dataclasses.fields(cls)])

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every option's default; `dataclasses.MISSING` for the two that have none."""
        return {field.name: field.default for field in dataclasses.fields(cls)}

    @classmethod
    @cache
    def written(cls) -> dict[str, Written]:
        """The options whose values are written as text, and how."""
        found = {}
        for name, hint in get_type_hints(cls, include_extras=True).items():
            how = get_args(hint)[-1]
            if isinstance(how, Written):
                found[name] = how
        return found

    @property
    def place(self) -> PicturePlace:
        """Where the pictures are."""
        names = [field.name for field in dataclasses.fields(PicturePlace)]
        return PicturePlace(**{name: getattr(self, name) for name in names})

    def variation(self) -> dict[str, Any]:
        """The fields of an augmentation policy that the recipe sets itself."""
        given = {field: getattr(self, option) for option, field in VARIATION.items()}
        return {field: value for field, value in given.items() if value is not None}

    def moved(self, dataset: str) -> Recipe:
        """The recipe with its pictures in another place; paths inside the old one move along."""
        places: dict[str, Any] = moved(self.place, dataset)
        return dataclasses.replace(self, **places)

    def options(self) -> dict[str, Any]:
        """The options that are set, as people write them and TOML can hold them (it has no null)."""
        written = self.written()
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: written[name].text(value) if name in written else value
            for name, value in given.items()
            if value not in (None, ())
        }

    def toml(self) -> str:
        """The recipe as a TOML document that `read` takes back."""
        import tomli_w

        return tomli_w.dumps(self.options())
