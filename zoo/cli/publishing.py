"""The part of `zoo export` that makes folders to show: `--web`, `--space` and `--publish`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from zoo.cli.console import stderr, stdout
from zoo.errors import UsageError, ZooError
from zoo.specs import Precision

if TYPE_CHECKING:
    from zoo.exporting.source import RunSource

Place = tuple[str, Path]  # the name of a publisher and the folder to write
Ready = dict[str, Path]  # files by their format

# With these values, an export makes the file that it made before; others may change it.
USUAL = {
    "input": "pixels",
    "opset": None,
    "external_data": False,
    "parity": "quick",
    "calibration_pictures": None,
    "calibration_method": None,
    "accuracy_budget": None,
}


def places(web: str | None, space: str | None, others: Iterable[str] | None) -> list[Place]:
    """What is to be written where. Raises `UsageError`."""
    given = [(name, folder) for name, folder in (("web", web), ("space", space)) if folder is not None]
    for name, folder in given:
        if not folder:
            raise UsageError(f"--{name} names no folder.", f"Write it as --{name} FOLDER.", code="bad-publish")
    found = [(name, Path(folder)) for name, folder in given]
    for each in others or ():
        name, equals, folder = each.partition("=")
        if not (name and equals and folder):
            raise UsageError(
                f"--publish cannot be '{each}'.", "Write it as NAME=FOLDER, for example web=site.", code="bad-publish"
            )
        found.append((name, Path(folder)))
    folders = [folder.resolve() for _, folder in found]
    if len(set(folders)) < len(folders):
        raise UsageError(
            "One folder is named twice.", "Give each of --web, --space and --publish its own.", code="folder-twice"
        )
    return found


def check(places: Sequence[Place], asked: Mapping[str, Any], *, overwrite: bool) -> None:
    """Finds out before any work whether the folders can be written. Raises `UsageError`."""
    if places:
        if asked["input"] != "pixels" or asked["external_data"]:
            raise UsageError(
                "A folder to show needs a file that takes pixels and contains its weights.",
                "Leave out --input tensor and --external-data.",
                code="not-showable",
            )
        from zoo.exporting.publishing import check_folder, publisher_of

        for name, folder in places:
            publisher_of(name)
            check_folder(folder, overwrite=overwrite)


def formats(places: Sequence[Place]) -> list[str]:
    """The formats that the publishers take."""
    if not places:
        return []
    from zoo.exporting.publishing import publisher_of

    return list(dict.fromkeys(publisher_of(name).spec.format for name, _ in places))


def given_files(
    paths: Sequence[Path] | None, places: Sequence[Place], exporting: bool, asked: Mapping[str, Any]
) -> list[Path]:
    """The files to show, if files were given and not a run. Raises `UsageError`.

    Args:
        exporting: whether options of an export were given that are not in `asked`.
    """
    if not places or not paths or all(path.is_dir() for path in paths):
        return []
    from zoo.exporting.publishing import check_files, publisher_of

    for name, _ in places:
        check_files(publisher_of(name).spec, paths)
    fresh = {"precision": None, "heatmap": False, "examples": 0, **USUAL}
    if exporting or any(asked[name] != value for name, value in fresh.items()):
        raise UsageError(
            "Options of an export have no effect on files that exist.",
            "Give the folder of a run, or leave these options out.",
            code="option-without-export",
        )
    return list(paths)


def one_run(paths: Sequence[Path] | None) -> Path | None:
    """The folder of the run. Raises `UsageError` for several."""
    if paths and len(paths) > 1:
        raise UsageError(
            f"zoo export takes one run, and {len(paths)} were given.",
            "Give one folder; only files can be shown together, with --web or --space.",
            code="several-runs",
        )
    return paths[0] if paths else None


def ready_files(folder: Path | None, places: Sequence[Place], chosen: Sequence[str], asked: Mapping[str, Any]) -> Ready:
    """By format, the smallest file of a run's earlier exports that has what was asked for.

    Args:
        chosen: formats that are exported anyway.
    """
    wanted = [name for name in formats(places) if name not in chosen]
    if not wanted or any(asked[name] != value for name, value in USUAL.items()):
        return {}
    from zoo.exporting.source import RunSource
    from zoo.runs.run import Run, latest_run

    source = RunSource(latest_run() if folder is None else Run(folder))
    found = {name: _smallest(source, name, asked) for name in wanted}
    return {name: path for name, path in found.items() if path is not None}


def _smallest(source: RunSource, name: str, asked: Mapping[str, Any]) -> Path | None:
    from zoo.exporting.options import checked
    from zoo.exporting.pipeline import target_of

    precisions = [asked["precision"]] if asked["precision"] else get_args(Precision)
    ready, left = [], []
    for precision in precisions:
        try:
            spec, options = checked(name, **{**asked, "precision": precision})
            path = target_of(source, spec, options, None, overwrite=True)
            lacks = _lacks(path, source, asked)
        except ZooError:  # there is none
            continue
        if lacks:
            left.append(f"{path} {lacks}")
        else:
            ready.append((path.stat().st_size, precision, path))
    for reason in left:
        stderr().print(f"Not taken: {reason}.", markup=False, soft_wrap=True)
    if not ready:
        return None
    size, precision, path = min(ready)
    said = f"Taking {path} ({precision}, {size / 2**20:.1f} MiB)"
    others = [f"{each} has {bytes_ / 2**20:.1f} MiB" for bytes_, each, _ in ready if each != precision]
    more = f", the smallest of the run: {' and '.join(others)} (--precision takes another)" if others else ""
    stderr().print(f"{said}{more}.", markup=False, soft_wrap=True)
    return path


def _lacks(path: Path, source: RunSource, asked: Mapping[str, Any]) -> str:
    """Why a file of an earlier export cannot be shown, as a clause, or nothing. Raises `ArtifactError`."""
    from zoo.artifacts.predictor import read_card
    from zoo.exporting.card_writing import facts_of

    card, now = read_card(path), facts_of(source.run).fields
    if (card.metrics, card.curves) != (now["metrics"], now["curves"]):
        return "was exported before the run was trained further"
    if card.exported.get("external_data"):
        return "has its weights in another file"
    if asked["heatmap"] and card.exported.get("heatmap") is not True:
        return "has no heat maps"
    if asked["examples"] not in (0, len(card.examples)):
        return f"holds {len(card.examples)} example pictures"
    return ""


def publish_all(
    places: Sequence[Place], files: Sequence[Path], *, overwrite: bool, as_json: bool
) -> list[dict[str, object]]:
    """Writes the folders and says what to do with them. Returns a record of each."""
    records: list[dict[str, object]] = []
    for name, folder in places:
        from zoo.exporting.publishing import publish, publisher_of
        from zoo.registry import registry

        taken = [file for file in files if registry().exporter_for(file).spec.name == publisher_of(name).spec.format]
        with stderr().status(f"writing {folder}"):
            made = publish(taken, name, folder, overwrite=overwrite)
        records.append({"publisher": made.publisher, "folder": str(folder), "notes": list(made.notes)})
        if not as_json:
            stdout().print(f"\n{folder}", markup=False, style="bold")
            stdout().print("\n".join(made.notes), markup=False, soft_wrap=True)
    return records
