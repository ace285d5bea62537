"""`zoo preview`: what the network of a training will see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.output_file import check_target, writing
from zoo.cli.train import JSON, given_recipe, with_options
from zoo.errors import MissingExtraError, UsageError
from zoo.recipes.values import VARIATION

DEFAULT_BACKBONE = "resnet18"
MOST_PICTURES = 1_000
# The options of a training that decide what its pictures look like.
FIELDS = frozenset(
    {"dataset", "val", "encoding", "strategy", "weights", "image_size", "resize", "interpolation", "mean", "std"}
    | {"augment", "seed", "data_root", "plugins", *VARIATION}
)


def preview(**options: Any) -> None:
    """Write a contact sheet of what the network will see: pictures of several classes, without and with variation.

    Size, normalisation and variation are those of `zoo train` with the same options.

    Examples:

        zoo preview mnist

        zoo preview ./photos --augment strong --output strong.png

        zoo preview --recipe folder-resnet18 ./photos
    """
    from zoo.files import write_atomically
    from zoo.progress import Reporter

    output: Path = options.pop("output")
    count, views, as_json = (options.pop(name) for name in ("count", "views", "json"))
    if not (options["dataset"] or options["recipe"]):
        raise UsageError("A preview needs a dataset.", "Write: zoo preview DATASET")
    if options["backbone"] is None and options["recipe"] is None:
        options["backbone"] = DEFAULT_BACKBONE
    recipe = given_recipe(options, "zoo preview", backbone_first=False)
    check_target(output, "--output", "A preview is a PNG file", ".png")
    try:
        from zoo.training.preview import make_preview
    except ImportError:
        raise MissingExtraError("A preview", "train") from None
    made = make_preview(recipe, Reporter(), count=count, views=views)
    with writing(output, "--output"):
        write_atomically(output, lambda path: made.sheet.save(path, "PNG"))
    if as_json:
        import dataclasses

        from zoo.cli.tables import print_json

        plan, policy = made.setup.plan, made.setup.policy
        ranges = None if policy is None else dataclasses.asdict(policy)
        facts = {"augment": plan.augment, "policy": ranges, "preprocess": dataclasses.asdict(plan.preprocess)}
        print_json({"preview": str(output), **facts, "labels": made.labels})
    else:
        typer.echo("\n".join((*made.lines, f"Written: {output}")))


_BACKBONE = typer.Option("--backbone", help=f"Network that will see the pictures. Default: {DEFAULT_BACKBONE}.")
_COUNT = typer.Option("--count", min=1, max=MOST_PICTURES, help="Pictures.")
_VIEWS = typer.Option("--views", min=1, max=100, help="Varied views of each picture.")
with_options(
    preview,
    only=FIELDS,
    backbone=(Annotated[str | None, _BACKBONE], None),
    count=(Annotated[int, _COUNT], 8),
    views=(Annotated[int, _VIEWS], 6),
    output=(
        Annotated[Path, typer.Option("--output", help="File to write; one of this name is replaced.")],
        Path("preview.png"),
    ),
    json=JSON,
)
