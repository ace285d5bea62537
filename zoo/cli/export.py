"""`zoo export`: from a run to files that were checked against it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import stderr, stdout
from zoo.errors import UsageError
from zoo.specs import CalibrationMethod, Depth, Input, Precision, WriteOptions

if TYPE_CHECKING:
    from zoo.exporting import Artifact


def export(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a training. Default: the newest one under ./runs.", show_default=False),
    ] = None,
    *,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx.")] = False,
    torchscript: Annotated[bool, typer.Option("--torchscript", help="Write model.pt.")] = False,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write model.pt2.")] = False,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Write another format: see `zoo list exporters`.")
    ] = None,
    takes: Annotated[
        Input,
        typer.Option(
            "--input", help="pixels: uint8 pictures of any size. tensor: what the preprocessing makes of them."
        ),
    ] = "pixels",
    precision: Annotated[Precision, typer.Option(help="Of the network in the file.")] = "fp32",
    opset: Annotated[int | None, typer.Option(help="Version of ONNX operators. Default: 18.")] = None,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="Weights in a file of their own, for more than 2 GB.")
    ] = False,
    parity: Annotated[Depth, typer.Option(help="Compare for about half a minute, or on every test picture.")] = "quick",
    calibration_pictures: Annotated[
        int | None, typer.Option(min=1, help="int8: how many training pictures tell the ranges. Default: 128.")
    ] = None,
    calibration_method: Annotated[
        CalibrationMethod | None, typer.Option(help="int8: how they tell them. Default: minmax.")
    ] = None,
    accuracy_budget: Annotated[
        float | None, typer.Option(min=0, help="fp16, int8: points of accuracy that may be lost. Default: 1.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The file, or its stem where there are several. Default: RUN/export/model."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Export a run as files that carry their preprocessing and a card.

    Each file is compared with the trained classifier, in its own runtime, on real test pictures and on odd
    ones; a file that does not agree is not kept.
    """
    chosen = list(dict.fromkeys(["onnx"] * onnx + ["torchscript"] * torchscript + ["pt2"] * pt2 + (formats or [])))
    if not chosen:
        raise UsageError(
            "No format was chosen.",
            "Add --onnx, --torchscript, --pt2, or --format with a name of `zoo list exporters`.",
        )
    if precision != "int8" and (calibration_pictures or calibration_method):
        raise UsageError("--calibration-pictures and --calibration-method belong to int8.", "Add --precision int8.")
    if precision == "fp32" and accuracy_budget is not None:
        raise UsageError("fp32 loses no accuracy, so that it has no --accuracy-budget.", "Leave it out.")
    from zoo.cli.tables import print_json

    options = WriteOptions(input=takes, precision=precision, opset=opset, external_data=external_data)
    asked: dict[str, Any] = {
        "parity": parity,
        "calibration_pictures": calibration_pictures,
        "calibration_method": calibration_method,
        "accuracy_budget": accuracy_budget,
        "overwrite": overwrite,
    }
    artifacts = _export(run, chosen, output, options, asked)
    if as_json:
        print_json([_record(artifact) for artifact in artifacts])
    else:
        _print(artifacts)


def _export(
    folder: Path | None, chosen: list[str], output: Path | None, options: WriteOptions, asked: dict[str, Any]
) -> list[Artifact]:
    from zoo.exporting import check_options, export, reference_of, target_of
    from zoo.registry import registry
    from zoo.runs import Run, latest_run

    run = latest_run() if folder is None else Run(folder)
    stderr().print(f"Exporting {run.path}", markup=False)
    for name in chosen:
        spec = registry().exporter(name).spec
        check_options(spec, options)
        target_of(run, spec, options, output, overwrite=asked["overwrite"])
    with stderr().status("starting") as status:

        def progress(message: str) -> None:
            status.update(message)

        reference = reference_of(run, asked["parity"], progress)
        return [
            export(
                run,
                name,
                output,
                input=options.input,
                precision=options.precision,
                opset=options.opset,
                external_data=options.external_data,
                progress=progress,
                reference=reference,
                **asked,
            )
            for name in chosen
        ]


def _record(artifact: Artifact) -> dict[str, object]:
    return {
        "path": str(artifact.path),
        "format": artifact.format,
        "bytes": artifact.path.stat().st_size,
        "parity": artifact.report,
    }


def _print(artifacts: list[Artifact]) -> None:
    from zoo.cli.tables import print_table

    print_table(
        ("file", "size", "largest difference", "same class", "accuracy of both", "pictures compared"),
        [
            (
                str(artifact.path),
                f"{artifact.path.stat().st_size / 2**20:.1f} MiB",
                f"{artifact.report['max']:.1e} of spread",
                f"{artifact.report['top1_agreement']:.2%}",
                "{classifier:.2%}, {artifact:.2%}".format(**artifact.report["accuracy"]),
                artifact.report["covered"],
            )
            for artifact in artifacts
        ],
    )
    for artifact in artifacts:
        if artifact.card.precision == "int8":
            stdout().print(f"\n{_quantised(artifact.card.exported)}", markup=False)
    path = shlex.quote(str(artifacts[0].path))
    stdout().print("\nNext:", style="bold")
    stdout().print(
        f"  zoo predict {path} PICTURES…\n  zoo demo {path}\n  zoo info {path}\n  zoo verify {path}", markup=False
    )


def _quantised(facts: Mapping[str, Any]) -> str:
    kept = facts["float_layers"]
    named = f": {', '.join(kept)}" if kept else ""
    return (
        f"int8: {len(kept)} of {facts['layers']} layers stay in float{named}. Against fp32 it loses "
        f"{facts['lost_points']:.2f} points of accuracy (budget: {facts['budget_points']:g}), on pictures that "
        "chose the checkpoint."
    )
