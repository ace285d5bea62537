"""The options of a training: one home, one name, one default each.

`zoo train` makes its command line from the fields below, `recipe.toml` holds them, and pydantic validates
them wherever they come from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from zoo.errors import UsageError
from zoo.specs import Augmentation

Strategy = Literal["head", "finetune", "gradual", "full"]
TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]

# What may differ when a run goes on: where it runs, and where its pictures are.
PLACES = ("device", "devices", "nodes", "distributed", "data_root")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train and how. None means: chosen from the data and the machine, and the summary says why."""

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
        str | None, "For gradual: epochs at which one more stage trains, such as 3,5,7. Default: spread evenly."
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
        "Where the network starts: `auto` (pretrained where they can be had), `pretrained`, `none`, or a file.",
    ] = "auto"
    epochs: Annotated[
        int | None,
        "Passes over the training pictures. Default: 20 over stored features for head, 4 for finetune, "
        "2 per stage for gradual, 8 (pictures up to 96 pixels) or 30 (photos) for full.",
    ] = None
    time_budget: Annotated[
        str | None, "End training within this time (90s, 10m, 1.5h); the learning rate falls accordingly."
    ] = None
    batch_size: Annotated[int, "Pictures per step."] = 64
    accumulate: Annotated[int, "Batches whose gradients are added up before the optimiser steps."] = 1
    image_size: Annotated[
        int | None,
        "Side in pixels of what the network sees. Default: the weights' own for photos (160 without), 96 for small "
        "pictures with pretrained weights, their native size without.",
    ] = None
    resize: Annotated[Literal["crop", "squash"], "`crop` keeps the centre square, `squash` the whole picture."] = "crop"
    mean: Annotated[str | None, "Of pixels in 0..1: one number, or red,green,blue. Default: the weights' own."] = None
    std: Annotated[str | None, "Likewise the standard deviation; --mean 0 --std 1 does not normalise."] = None
    augment: Annotated[
        Augmentation | None,
        "Random variation of the training pictures. Default: the dataset's own policy, none for head. "
        "`zoo preview` shows it.",
    ] = None
    rotate: Annotated[float | None, "Rotation to either side in degrees, in place of the policy's."] = None
    translate: Annotated[float | None, "Shift to either side as a share of the side, likewise."] = None
    zoom: Annotated[str | None, "Range of the factor on what is in the picture, such as 0.9,1.1, likewise."] = None
    crop: Annotated[
        str | None, "Range of the area of a random crop, such as 0.35,1, likewise; no --translate or --zoom beside it."
    ] = None
    shear: Annotated[float | None, "Shear to either side in degrees, likewise."] = None
    flip: Annotated[Literal["none", "horizontal", "vertical", "both"] | None, "Mirrors half of them, likewise."] = None
    jitter: Annotated[float | None, "Change of brightness, contrast and saturation, 0 to 1, likewise."] = None
    hue: Annotated[float | None, "Turn of the colours to either side, 0 to 0.5 of the circle, likewise."] = None
    grey: Annotated[float | None, "Share of the pictures that lose their colours, likewise."] = None
    trivial: Annotated[
        bool | None, "TrivialAugment, one operation of 14 at a random strength per picture, likewise."
    ] = None
    erase: Annotated[float | None, "Share of the pictures that lose a rectangle, likewise."] = None
    mixup: Annotated[float, "Alpha of MixUp, which blends pairs of pictures and labels; 0 is off, 0.2 usual."] = 0.0
    cutmix: Annotated[float, "Alpha of CutMix, which pastes a part of another picture; 0 is off, 1 usual."] = 0.0
    sampling: Annotated[
        Literal["natural", "balanced"], "`balanced` draws each class equally often, with replacement."
    ] = "natural"
    class_weights: Annotated[
        str | None, "Weights of classes in the loss: `balanced` (inverse to their frequency), or cat=2,dog=0.5."
    ] = None
    views: Annotated[
        int | None, "Augmented views of each picture whose features are stored. Default: 4 with augmentation."
    ] = None
    cache_budget: Annotated[
        str,
        "Memory for decoded pictures, and as much again for the stored features of frozen stages; more goes to files. "
        "0 maps pictures from the disk, and computes features anew in each epoch.",
    ] = "4GiB"
    disk_budget: Annotated[
        str,
        "Largest size of all decoded pictures kept in the cache folder (`zoo cache`); those used longest ago go first. "
        "0 keeps none. What neither memory nor disk holds is decoded anew in each epoch.",
    ] = "50GiB"
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
        "Course of the learning rate: `cosine` to 0, `onecycle` (up and down), `step` and `multistep` (times gamma "
        "every --step-epochs or at --milestones), `plateau` (times gamma after --patience epochs that bring nothing).",
    ] = "cosine"
    warmup_epochs: Annotated[
        float | None,
        "Epochs in which the learning rate rises. Default: 0.05 of all for cosine, 0.3 for onecycle, else 0.",
    ] = None
    step_epochs: Annotated[int | None, "Epochs between two steps of `step`. Default: a third of them."] = None
    milestones: Annotated[str | None, "Epochs after which `multistep` steps, such as 10,15."] = None
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
    early_stopping: Annotated[int | None, "Stop after this many epochs that bring nothing. Default: never."] = None
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
    loggers: Annotated[str, "Destinations for the metrics of each epoch, with commas: see `zoo list loggers`."] = "csv"

    @classmethod
    def make(cls, **options: Any) -> Recipe:
        """Validates options. Raises `UsageError` for an unknown name or an impossible value."""
        from zoo.recipes.parsing import check_names, validate

        check_names(options, [field.name for field in dataclasses.fields(cls)])
        return validate(cls, options)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The options in a TOML file: known names, values not yet validated."""
        import tomllib

        from zoo.recipes.parsing import check_lines

        try:
            text = path.read_text(encoding="utf-8")
            options = tomllib.loads(text)
        except FileNotFoundError:
            raise UsageError(f"There is no recipe at {path}.", "Each run holds one: RUN_FOLDER/recipe.toml.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise UsageError(f"The recipe {path} cannot be read: {error}.", "Mend the file.") from None
        check_lines(path, text, options, [field.name for field in dataclasses.fields(cls)])
        return options

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every option's default; `dataclasses.MISSING` for the two that have none."""
        return {field.name: field.default for field in dataclasses.fields(cls)}

    def options(self) -> dict[str, Any]:
        """The options that are set, as TOML can hold them (it has no null)."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def toml(self) -> str:
        """The recipe as a TOML document that `read` takes back."""
        import tomli_w

        return tomli_w.dumps(self.options())
