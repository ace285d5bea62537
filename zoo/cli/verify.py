"""`zoo verify`: whether a file is what its card says, and still answers as it did."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import stderr
from zoo.cli.options import ArtifactDevice, TimeLimit
from zoo.cli.signals import ending
from zoo.processes.children import ANSWER_SECONDS

if TYPE_CHECKING:
    from zoo.parity.verify import Verification

TITLES = {
    "hash": "content hash",
    "numbers": "numbers",
    "data": "figures on the data",
    "against": "parity with the run",
}


def verify(
    artifact: Annotated[Path, typer.Argument(help="A file that `zoo export` wrote.")],
    *,
    data: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Compare with the card's figures on these pictures.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Compare with the classifier of this run, which needs torch.")
    ] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder that holds the named datasets.")] = None,
    device: ArtifactDevice = "cpu",
    time_limit: TimeLimit = ANSWER_SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check an exported file on any machine: its hash, and its answers to synthetic pictures.

    The exit code is 0 only where every check was made and passed. It says nothing of where a file comes from.
    """
    with ending(), stderr().status("loading") as status:
        from zoo.parity.verify import verify as verify_file

        found = verify_file(
            artifact,
            data=data,
            against=against,
            device=device,
            data_root=data_root,
            time_limit=time_limit,
            progress=status.update,
        )
    if as_json:
        from zoo.cli.tables import print_json

        print_json(_record(found))
    else:
        _print(found)
    if not found.passed:
        raise typer.Exit(1)


def _record(found: Verification) -> dict[str, object]:
    return {
        "artifact": str(found.path),
        "format": found.card.format,
        "input": found.card.input,
        "precision": found.card.precision,
        "passed": found.passed,
        "checks": {name: asdict(finding) for name, finding in found.findings.items()},
    }


def _print(found: Verification) -> None:
    from zoo.cli.tables import print_table
    from zoo.parity.verify import RESULTS

    print_table(
        ("check", "result", ""),
        [(TITLES[name], RESULTS[finding.passed], finding.summary) for name, finding in found.findings.items()],
    )
