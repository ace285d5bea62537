"""`zoo export`: from a run to files that were checked against it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import stderr, stdout
from zoo.errors import UsageError

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
    from zoo.cli.tables import print_json

    artifacts = _export(run, chosen, output, overwrite)
    if as_json:
        print_json([_record(artifact) for artifact in artifacts])
    else:
        _print(artifacts)


def _export(folder: Path | None, chosen: list[str], output: Path | None, overwrite: bool) -> list[Artifact]:
    from zoo.exporting import destination, export, reference_of
    from zoo.registry import registry
    from zoo.runs import Run, latest_run

    run = latest_run() if folder is None else Run(folder)
    stderr().print(f"Exporting {run.path}", markup=False)
    for name in chosen:
        destination(run, registry().exporter(name).spec, output, overwrite=overwrite)
    with stderr().status("starting") as status:

        def progress(message: str) -> None:
            status.update(message)

        reference = reference_of(run, progress)
        return [
            export(run, name, output, overwrite=overwrite, progress=progress, reference=reference) for name in chosen
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
        ("file", "size", "largest difference", "same class", "pictures compared"),
        [
            (
                str(artifact.path),
                f"{artifact.path.stat().st_size / 2**20:.1f} MiB",
                f"{artifact.report['max']:.1e} of spread",
                f"{artifact.report['top1_agreement']:.2%}",
                "{pictures}, {real_pictures} of them {split}".format(**artifact.report),
            )
            for artifact in artifacts
        ],
    )
    path = shlex.quote(str(artifacts[0].path))
    stdout().print("\nNext:", style="bold")
    stdout().print(f"  zoo predict {path} PICTURES…\n  zoo demo {path}\n  zoo info {path}", markup=False)
