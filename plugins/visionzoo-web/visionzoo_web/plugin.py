"""The plugin for `zoo`: what `zoo export --web` and `--space` write. Its factories import what they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.hookspecs import hookimpl
from zoo.specs import PublisherSpec

ZOO_INTERFACE = "1.2"


@hookimpl
def zoo_publishers() -> Iterator[PublisherSpec]:
    yield PublisherSpec(name="web", write=_write_site, description="a page that runs the model in the browser")
    yield PublisherSpec(name="space", write=_write_space, description="a Gradio Space of Hugging Face")


def _write_site(files: Sequence[Path], folder: Path) -> list[str]:
    from visionzoo_web.write import write_site

    return write_site(files, folder)


def _write_space(files: Sequence[Path], folder: Path) -> list[str]:
    from visionzoo_web.space import write_space

    return write_space(files, folder)
