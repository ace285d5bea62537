"""`zoo export`: from a run to files that were checked against it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import show_error, stderr, stdout
from zoo.cli.options import TimeLimit
from zoo.cli.signals import ending
from zoo.errors import ExportError, UsageError
from zoo.processes.children import ANSWER_SECONDS
from zoo.specs import CalibrationMethod, Depth, Input, Precision

if TYPE_CHECKING:
    from zoo.exporting.pipeline import Artifact


def export(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of a training. Default: the newest one under ./runs. With --web, --space or --publish also "
            "exported files.",
            show_default=False,
        ),
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
            "--input", help="pixels: uint8 pictures of any size. tensor: pictures that are preprocessed already."
        ),
    ] = "pixels",
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Number format of the network in the file. Default: fp32; with --web, --space or --publish that of "
            "the smallest earlier export.",
            show_default=False,
        ),
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Version of ONNX operators. Default: 18.")] = None,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="Write the weights to a separate file; needed above 2 GB.")
    ] = False,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Let the file compute heat maps too: what each class depends on.")
    ] = False,
    parity: Annotated[
        Depth, typer.Option(help="quick: compare for about half a minute. full: on every test picture.")
    ] = "quick",
    calibration_pictures: Annotated[
        int | None, typer.Option(help="int8: number of training pictures that set the ranges. Default: 128.")
    ] = None,
    calibration_method: Annotated[
        CalibrationMethod | None, typer.Option(help="int8: how the ranges are set. Default: minmax.")
    ] = None,
    accuracy_budget: Annotated[
        float | None, typer.Option(help="fp16, int8: largest loss of accuracy, in points. Default: 1.")
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Test pictures that the file holds as examples, up to 24. Everyone can see them.")
    ] = 0,
    time_limit: TimeLimit = ANSWER_SECONDS,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="File to write, the stem of several files, or an existing folder with a / at its end. "
            "Default: RUN/export/model.",
        ),
    ] = None,
    web: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Write a web page that runs the model in its visitors' browsers."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write a Gradio Space of Hugging Face.", show_default=False)
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Write another kind of folder: see `zoo list publishers`."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files and folders that zoo wrote.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Where the pictures of the run are now, if they have moved.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Export a run as files that carry their preprocessing and a card.

    Each file is compared with the trained classifier, in its own runtime, on real test pictures and on odd
    ones; a file that does not agree is not kept. Where one of several formats fails, the others are
    written, and the exit code is 1.
    """
    chosen = list(dict.fromkeys(["onnx"] * onnx + ["torchscript"] * torchscript + ["pt2"] * pt2 + (formats or [])))
    from zoo.cli import publishing
    from zoo.cli.tables import print_json

    places = publishing.places(web, space, publish)
    if not chosen and not places:
        raise UsageError(
            "No format was chosen.",
            "Add --onnx, --torchscript, --pt2, or --format with a name of `zoo list exporters`.",
        )
    asked: dict[str, Any] = {
        "input": takes,
        "precision": precision,
        "opset": opset,
        "external_data": external_data,
        "heatmap": heatmap,
        "parity": parity,
        "calibration_pictures": calibration_pictures,
        "calibration_method": calibration_method,
        "accuracy_budget": accuracy_budget,
        "examples": examples,
        "time_limit": time_limit,
    }
    publishing.check(places, asked, overwrite=overwrite)
    artifacts: list[Artifact] = []
    failed: list[ExportError] = []
    files = publishing.given_files(run, places, bool(chosen or output or data), asked)
    if not files:
        folder = publishing.one_run(run)
        ready = publishing.ready_files(folder, places, chosen, asked) if output is None and data is None else {}
        missing = [name for name in publishing.formats(places) if name not in {*chosen, *ready}]
        if chosen or missing:
            written = {**asked, "precision": precision or "fp32"}
            artifacts, failed = _export(folder, chosen + missing, output, written, overwrite=overwrite, data=data)
        files = [*ready.values(), *(artifact.path for artifact in artifacts)]
    records = [_record(artifact) for artifact in artifacts]
    if artifacts and not as_json:
        _print(artifacts)
    for error in failed:
        show_error(error)
    published = [] if failed else publishing.publish_all(places, files, overwrite=overwrite, as_json=as_json)
    if as_json:
        print_json({"artifacts": records, "published": published} if places else records)
    if failed:
        raise typer.Exit(failed[0].exit_code)


def _export(
    folder: Path | None,
    chosen: list[str],
    output: str | None,
    asked: dict[str, Any],
    *,
    overwrite: bool,
    data: Path | None,
) -> tuple[list[Artifact], list[ExportError]]:
    """The files that were written, and why others were not. A single format that fails raises its error."""
    from zoo.cli.console import warn
    from zoo.exporting.examples import check_examples
    from zoo.exporting.options import checked
    from zoo.exporting.pipeline import export, shown, target_of
    from zoo.exporting.source import RunSource
    from zoo.runs.run import Run, latest_run

    plans = [checked(name, **asked) for name in chosen]
    run = latest_run() if folder is None else Run(folder)
    if data is not None:
        run = run.moved(data)
    source = RunSource(run)
    if warning := check_examples(source, asked["examples"]):
        warn(warning)
    artifacts: list[Artifact] = []
    failed: list[ExportError] = []
    with ending() as heed:
        try:
            with shown(source, progress=True) as show:

                def say(message: str) -> None:
                    heed()
                    show(message)

                for spec, options in plans:
                    target_of(source, spec, options, output, overwrite=overwrite)
                reference = source.reference(asked["parity"], say)
                for name in chosen:
                    try:
                        artifacts.append(
                            export(run, name, output, overwrite=overwrite, progress=say, reference=reference, **asked)
                        )
                    except ExportError as error:
                        if len(chosen) == 1:
                            raise
                        failed.append(error)
        except BaseException:
            for each in failed:
                show_error(each)
            if artifacts:
                finished = ", ".join(str(artifact.path) for artifact in artifacts)
                stderr().print(f"Finished and checked so far: {finished}", markup=False)
            raise
    return artifacts, failed


def _size(artifact: Artifact) -> int:
    """In bytes, with its weights."""
    return sum(path.stat().st_size for path in (artifact.path, artifact.weights) if path)


def _record(artifact: Artifact) -> dict[str, object]:
    return {
        "path": str(artifact.path),
        "format": artifact.format,
        "weights": artifact.weights and str(artifact.weights),
        "bytes": _size(artifact),
        "parity": artifact.report,
    }


def _print(artifacts: list[Artifact]) -> None:
    from zoo.cli.tables import print_table

    print_table(
        ("file", "size", "largest difference", "same class", "accuracy of both", "pictures compared"),
        [
            (
                str(artifact.path),
                f"{_size(artifact) / 2**20:.1f} MiB",
                f"{artifact.report['max']:.1e} of spread",
                _agreement(artifact.report),
                "{classifier:.2%}, {artifact:.2%}".format(**artifact.report["accuracy"]),
                artifact.report["covered"],
            )
            for artifact in artifacts
        ],
    )
    for artifact in artifacts:
        if artifact.weights:
            stdout().print(f"\nweights: {artifact.weights} (keep it beside {artifact.path.name})", markup=False)
        if kept := len(artifact.card.examples):
            what = "picture" if kept == 1 else "pictures"
            stdout().print(f"\n{artifact.path.name} holds {kept} example {what}", markup=False)
        if artifact.card.precision == "int8":
            stdout().print(f"\n{_quantised(artifact.card.exported)}", markup=False)
    path = shlex.quote(str(artifacts[0].path))
    stdout().print("\nNext:", style="bold")
    stdout().print(
        f"  zoo predict {path} PICTURES…\n  zoo demo {path}\n  zoo info {path}\n  zoo verify {path}", markup=False
    )


def _agreement(report: Mapping[str, Any]) -> str:
    ties = report["near_ties"]
    return f"{report['top1_agreement']:.2%}" + (f" ({ties} near tie{'s' * (ties > 1)} aside)" if ties else "")


def _quantised(facts: Mapping[str, Any]) -> str:
    kept = facts["float_layers"]
    named = f": {', '.join(kept)}" if kept else ""
    lost = round(facts["lost_points"], 2)
    change = f"{'gains' if lost < 0 else 'loses'} {abs(lost):.2f} points"
    return (
        f"int8: {len(kept)} of {facts['layers']} layers stay in float{named}. On the validation pictures "
        f"that chose them it {change} of accuracy against fp32 (at most {facts['budget_points']:g} may be lost there)."
    )
