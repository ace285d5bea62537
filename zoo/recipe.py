"""The options of a training: one home, one name, one default each.

`zoo train` makes its command line from the fields below, `recipe.toml` holds them, and pydantic validates
them wherever they come from.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from zoo.errors import UsageError, nearest

Strategy = Literal["head", "finetune", "full"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


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
        "What trains: `head` only the last layer, `finetune` the head first and then everything gently, "
        "`full` everything from the start. Default: finetune with pretrained weights, full without.",
    ] = None
    weights: Annotated[
        str,
        "Where the network starts: `auto` (pretrained where they can be had), `pretrained`, `none`, or a file.",
    ] = "auto"
    epochs: Annotated[
        int | None,
        "Passes over the training pictures. Default: 20 over stored features for head, 4 for finetune, "
        "8 (pictures up to 96 pixels) or 30 (photos) for full.",
    ] = None
    batch_size: Annotated[int, "Pictures per step."] = 64
    image_size: Annotated[
        int | None,
        "Side in pixels of what the network sees. Default: the weights' own for photos (160 without), 96 for small "
        "pictures with pretrained weights, their native size without.",
    ] = None
    resize: Annotated[Literal["crop", "squash"], "`crop` keeps the centre square, `squash` the whole picture."] = "crop"
    augment: Annotated[
        Literal["none", "light", "digits", "photos"] | None,
        "Random variation of the training pictures. Default: the dataset's own policy.",
    ] = None
    optimizer: Annotated[Literal["adamw", "adam", "sgd"], "The optimiser; sgd has Nesterov momentum 0.9."] = "adamw"
    learning_rate: Annotated[
        float | None,
        "Peak learning rate. Default: adamw and adam 0.001 (finetune 0.0003), sgd 0.05 (finetune 0.005).",
    ] = None
    weight_decay: Annotated[
        float | None,
        "Weight decay; biases and normalisation layers have none. Default: adamw 0.05, sgd 0.0005, adam 0.",
    ] = None
    schedule: Annotated[
        Literal["cosine", "onecycle", "step"],
        "Course of the learning rate: `cosine` (a short warm-up, then a cosine to 0), `onecycle`, or `step` (a "
        "tenth after each third of the epochs).",
    ] = "cosine"
    label_smoothing: Annotated[float, "Share of the target spread over all classes, 0 to below 1."] = 0.0
    early_stopping: Annotated[
        int | None, "Stop after this many epochs without a lower validation loss. Default: never."
    ] = None
    precision: Annotated[
        Precision, "Number format of training; `auto` takes bf16 where the hardware computes in it."
    ] = "auto"
    device: Annotated[Literal["auto", "cpu", "cuda"], "Where to train."] = "auto"
    seed: Annotated[int, "Seed of the split, the initial weights, the order and the augmentation."] = 0
    deterministic: Annotated[bool, "Only algorithms that give the same bits each time."] = False
    data_root: Annotated[
        str | None, "Folder that holds the named datasets. Default: the cache folder of this user."
    ] = None
    max_unreadable: Annotated[float, "Largest share of unreadable pictures to go on with."] = 0.01
    loggers: Annotated[str, "Further destinations for the metrics: names of plugins' loggers, with commas."] = ""

    @classmethod
    def make(cls, **options: Any) -> Recipe:
        """Validates options. Raises `UsageError` for an unknown name or an impossible value."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                near = nearest(name, known)
                raise UsageError(
                    f"A recipe has no option '{name}'.",
                    f"Did you mean {' or '.join(near)}?" if near else f"The options are: {', '.join(known)}.",
                )
        return _validate(options)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The options in a TOML file, not yet validated."""
        try:
            options = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"There is no recipe at {path}.", "Each run holds one: RUN_FOLDER/recipe.toml.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise UsageError(f"The recipe {path} cannot be read: {error}.", "Mend the file.") from None
        return options

    def options(self) -> dict[str, Any]:
        """The options that are set, as TOML can hold them (it has no null)."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def toml(self) -> str:
        """The recipe as a TOML document that `read` takes back."""
        import tomli_w

        return tomli_w.dumps(self.options())


_RANGES: dict[str, tuple[float, float, str]] = {
    "epochs": (1, 100_000, "from 1 to 100,000"),
    "batch_size": (2, 65_536, "from 2 to 65,536"),
    "image_size": (1, 4_096, "from 1 to 4,096"),
    "learning_rate": (1e-12, 1e3, "above 0"),
    "weight_decay": (0, 10, "from 0 to 10"),
    "label_smoothing": (0, 0.999, "from 0 to below 1"),
    "early_stopping": (1, 100_000, "from 1 to 100,000"),
    "max_unreadable": (0, 1, "from 0 to 1"),
    "seed": (0, 2**32 - 1, "from 0 to 4294967295"),
}


def _validate(options: dict[str, Any]) -> Recipe:
    from pydantic import TypeAdapter, ValidationError

    try:
        recipe = TypeAdapter(Recipe).validate_python(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise UsageError(f"A training needs a {name}.", "Write: zoo train BACKBONE DATASET") from None
        raise UsageError(
            f"The option {name} cannot be {first['input']!r}: {first['msg'].lower()}.",
            f"See `zoo train --help` for {_flag(name)}.",
        ) from None
    for name, (low, high, words) in _RANGES.items():
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"The option {name} cannot be {value}.", f"Give {_flag(name)} a value {words}.")
    return recipe


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
