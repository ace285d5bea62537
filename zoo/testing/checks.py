"""The checks that tests call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from zoo.errors import PluginError
from zoo.registry import Registered, registry
from zoo.registry.given import for_now
from zoo.specs import BackboneSpec, DatasetRequest, DatasetSpec, ExporterSpec, LoggerSpec, PublisherSpec, Spec
from zoo.testing.plugins import find_plugins, report_plugin
from zoo.testing.rules import Report, Result


def check_backbone(spec: BackboneSpec, *, formats: Iterable[str] | None = None, weights: bool = True) -> Report:
    """Looks at all rules of a backbone. Its network has a fixed seed and random weights.

    Args:
        formats: names of the formats to which it is exported. By default all that are installed. A format that cannot
            express the network is skipped.
        weights: whether to load its pretrained weights, which may download them.

    Raises:
        ConformanceError: a rule is broken.
    """
    return backbone_report(spec, formats, weights=weights).raise_if_broken()


def check_dataset(spec: DatasetSpec, root: Path | str = "data", *, download: bool = False) -> Report:
    """Looks at all rules of a dataset.

    Args:
        root: folder of datasets, as `zoo.specs.DatasetRequest` describes it.
        download: whether the loader may fetch missing files.

    Raises:
        ConformanceError: a rule is broken.
    """
    from zoo.testing.datasets import report_dataset

    return report_dataset(spec, DatasetRequest(root=Path(root), download=download)).raise_if_broken()


def check_exporter(spec: ExporterSpec) -> Report:
    """Looks at all rules of an export format, with a small network. Raises `ConformanceError`."""
    from zoo.testing.exporters import report_exporter

    return report_exporter(spec).raise_if_broken()


def check_logger(spec: LoggerSpec, *, seconds: float = 10.0) -> Report:
    """Looks at all rules of a logger, in a temporary folder.

    Args:
        seconds: that one call may take.

    Raises:
        ConformanceError: a rule is broken.
    """
    from zoo.testing.loggers import report_logger

    return report_logger(spec, seconds).raise_if_broken()


def check_plugin(
    name: str, *, formats: Iterable[str] | None = None, weights: bool = False, root: Path | str = "data"
) -> Report:
    """Looks at a plugin and all that it registers; of a provider, at the first three names that it lists.

    Args:
        name: of a distribution or an entry point, or the path of a plugin file.
        formats, weights: as of `check_backbone`.
        root: as of `check_dataset`. A dataset whose files are missing is skipped.

    Raises:
        ConformanceError: a rule is broken.
        UnknownNameError: no such plugin is installed.
    """
    results = tuple(plugin_results(name, formats=formats, weights=weights, root=root))
    return Report(results).raise_if_broken()


def plugin_results(
    name: str, *, formats: Iterable[str] | None = None, weights: bool = False, root: Path | str = "data"
) -> Iterator[Result]:
    """The results of `check_plugin`, each part's when it was looked at."""
    with for_now(registry()):  # a plugin file stays unknown to the rest of the process
        for plugin in find_plugins(name):
            report, entries = report_plugin(plugin)
            yield from report.results
            for entry in entries:
                yield from _entry_report(entry, formats, weights=weights, root=Path(root)).results


def _entry_report(entry: Registered[Any], formats: Iterable[str] | None, *, weights: bool, root: Path) -> Report:
    try:
        spec: Spec = entry.spec
    except PluginError as error:
        cause = Result(
            subject=f"the {entry.kind} '{entry.name}'",
            rule="provided",
            says="A name that a provider lists can be looked up.",
            state="broken",
            cause=error.cause,
            remedy=error.remedy,
        )
        return Report((cause,))
    match spec:
        case BackboneSpec():
            return backbone_report(spec, formats, weights=weights)
        case DatasetSpec():
            from zoo.testing.datasets import report_dataset

            return report_dataset(spec, DatasetRequest(root=root, download=False), optional=True)
        case ExporterSpec():
            from zoo.testing.exporters import report_exporter

            return report_exporter(spec)
        case LoggerSpec():
            from zoo.testing.loggers import report_logger

            return report_logger(spec)
        case PublisherSpec():
            return Report(())  # the rules of plugins say what can be said without a file: its fields are valid


def backbone_report(spec: BackboneSpec, formats: Iterable[str] | None, *, weights: bool) -> Report:
    """As `check_backbone`, without an error."""
    from zoo.testing.backbones import report_backbone

    names = formats if formats is not None else [entry.spec.name for entry in registry().exporters()]
    return report_backbone(spec, tuple(names), weights=weights)
