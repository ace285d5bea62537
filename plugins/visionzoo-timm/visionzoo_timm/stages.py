"""Stages from stem to head, from the groups that timm's networks name for layer-wise learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from zoo.specs import Stage

if TYPE_CHECKING:
    from torch import nn


def stages(network: nn.Module, *, head: str) -> Sequence[Stage]:
    """The stages of a network of timm.

    The group matcher gives each parameter and buffer the number of its group. A stage is a group, as few modules as
    possible. What the matcher leaves over stands behind the last block (a norm, a convolution before the head), and is
    the stage `neck`, without the head.
    """
    groups = _groups(network, head)
    members: dict[float, list[str]] = {}
    for name, group in _modules(network, "", groups, head):
        members.setdefault(group, []).append(name)
    found = [Stage(_name(group, names, groups), tuple(names)) for group, names in sorted(members.items())]
    return [*_distinct(found), Stage("head", (head,))]


LAST = float("inf")
UNMATCHED = "?"  # no pattern matches it


def _groups(network: nn.Module, head: str) -> dict[str, float]:
    """The number of the group of each parameter and buffer outside the head. `LAST` are those in no group."""
    from timm.models._manipulate import group_with_matcher

    tensors = [name for name, _ in (*network.named_parameters(), *network.named_buffers())]
    tensors = [name for name in tensors if not name.startswith(f"{head}.")]
    if not hasattr(network, "group_matcher"):
        return dict.fromkeys(tensors, 0)
    try:
        matcher = cast(Any, network).group_matcher(coarse=True)
    except AssertionError:  # RDNet has fine groups alone
        matcher = cast(Any, network).group_matcher(coarse=False)
    asked = [*tensors, UNMATCHED] if isinstance(matcher, Mapping) else tensors
    numbers: dict[str, float] = group_with_matcher(((name, name) for name in asked), matcher, reverse=True)
    last = numbers.get(UNMATCHED)
    return {name: LAST if numbers[name] == last else numbers[name] for name in tensors}


def _modules(module: nn.Module, path: str, groups: Mapping[str, float], head: str) -> Iterator[tuple[str, float]]:
    """The largest modules whose tensors are in one group, with the group, in the order of the network."""
    inside = f"{path}." if path else ""
    found = {group for name, group in groups.items() if name.startswith(inside)}
    if path and len(found) == 1 and not head.startswith(inside):
        yield path, found.pop()
        return
    for name in (name for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))):
        yield inside + name, groups[inside + name]
    for name, child in module.named_children():
        if inside + name != head and found:
            yield from _modules(child, inside + name, groups, head)


def _name(group: float, members: Sequence[str], groups: Mapping[str, float]) -> str:
    """`stem`, `neck`, or timm's name of the module that has all members, else of the first: `layer2`, `blocks.7`."""
    if group == LAST:
        return "neck"
    if group == min(groups.values()):
        return "stem"
    parts = [member.split(".") for member in members]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared) or members[0]


def _distinct(stages: Sequence[Stage]) -> Iterator[Stage]:
    """With a number behind each name that is there before."""
    taken = {"head"}
    for stage in stages:
        name, number = stage.name, 2
        while name in taken:
            name, number = f"{stage.name}-{number}", number + 1
        taken.add(name)
        yield Stage(name, stage.members)
