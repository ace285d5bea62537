"""`zoo adopt`: weights that were trained elsewhere become a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli.signals import ending
from zoo.errors import MissingExtraError

if TYPE_CHECKING:
    from zoo.runs.run import Run


@ending()
def adopt(
    backbone: Annotated[str, typer.Argument(help="Name of the network: see `zoo list backbones`.")],
    weights: Annotated[
        Path, typer.Argument(help="File with its weights: a state dict, or a checkpoint that holds one.")
    ],
    *,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAMES|FOLDER",
            help="The classes in the order of the network's outputs: a file with one name per line or JSON, names with "
            "commas, or the folder of class folders that it was trained on. Default: those of the run of the file.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PICTURES",
            help="Pictures to evaluate on: a folder, a list file, or the name of a dataset.",
            show_default=False,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side in pixels of what the network sees. Default: that of its published weights."),
    ] = None,
    resize: Annotated[
        Literal["crop", "squash", "shorter"] | None,
        typer.Option(
            help="`crop` keeps the centre square, `squash` the whole picture. `shorter` resizes the shorter side, "
            "then cuts the centre. Default: that of the published weights, else crop."
        ),
    ] = None,
    interpolation: Annotated[
        Literal["bilinear", "bicubic"] | None,
        typer.Option(help="Filter of the resize. Default: that of the published weights, else bilinear."),
    ] = None,
    crop_fraction: Annotated[
        float | None,
        typer.Option(help="Side of that square, as a share of the shorter side. Resize(256), CenterCrop(224): 0.875."),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(help="Mean of pixels in 0..1: one number, or three. Default: that of the published weights."),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(help="Standard deviation of pixels in 0..1. --mean 0 --std 1 does not normalise."),
    ] = None,
    channels: Annotated[
        Literal["rgb", "bgr", "grey"],
        typer.Option(
            help="Channels of its training: `bgr` for pictures of OpenCV, with mean and std in that order; `grey` for "
            "the luma in all three."
        ),
    ] = "rgb",
    pixel_range: Annotated[
        str | None,
        typer.Option(help="Of pictures with more than 8 bits: the values that are black and white, such as 0,4095."),
    ] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder that holds the named datasets.")] = None,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Look for a wrong option, whatever the accuracy. Without it: where the accuracy is that of guesses.",
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Run folder to make. Default: a new one under ./runs.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a run of weights that were trained elsewhere: evaluate, export and serve it like any other.

    Examples:

        zoo adopt resnet18 weights.pth --classes photos/train --data photos

        zoo adopt resnet50 last.ckpt --classes names.txt --image-size 256 --mean 0.5 --std 0.5
    """
    try:
        from zoo.adopting.adopt import adopt as make_run
    except ImportError:
        raise MissingExtraError("Adopting weights", "train") from None
    run = make_run(
        backbone,
        weights,
        classes,
        data=data,
        output=output,
        image_size=image_size,
        resize=resize,
        interpolation=interpolation,
        crop_fraction=crop_fraction,
        mean=mean,
        std=std,
        channels=channels,
        pixel_range=pixel_range,
        data_root=data_root,
        diagnose=diagnose,
        progress=True,
    )
    _print(run, as_json=as_json)


def _print(run: Run, *, as_json: bool) -> None:
    if as_json:
        from zoo.cli.tables import print_json

        print_json({"run": str(run.path), **run.info.facts()})
        return
    figures = run.metrics
    if figures:
        pictures = f"{figures['num_pictures']:,.0f} {run.info.metrics_split} pictures of {run.info.dataset.name}"
        typer.echo(f"Accuracy: {figures['top1']:.2%} on {pictures}")
        typer.echo(f"Report:   {run.path / 'report.html'}")
    else:
        typer.echo("Accuracy: not measured; name pictures with --data")
    typer.echo(f"Run:      {run.path}")
    more = "" if figures else " --data PICTURES"
    typer.echo(f"Next:     zoo export {run.path} --onnx{more}")
