"""The plugin for `zoo`: one provider of every classifier that timm has. Importing it imports neither timm nor torch."""

from __future__ import annotations

from collections.abc import Iterator

from visionzoo_timm.names import names
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, Provider

PREFIX = "timm/"


def get(name: str) -> BackboneSpec | None:
    """The backbone of `NAME` or `NAME.TAG`, None for a name that timm lacks. It imports timm, which takes seconds."""
    from visionzoo_timm.backbones import spec

    return spec(name)


@hookimpl
def zoo_backbones() -> Iterator[Provider[BackboneSpec]]:
    yield Provider(prefix=PREFIX, names=names, get=get)
