"""The names of the classes of weights from elsewhere, in the order of their logits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.data.class_names import check_classes
from zoo.data.split_folders import split_of
from zoo.errors import UsageError, reason_of

HOW = "Give a folder of class folders, a file with one name per line, or the names: --classes ants,bees"


def read_classes(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The K names, in the order of the logits.

    Args:
        given: the names; as text, with commas; or a path. A folder gives the names of its folders (of those in `train`
            where it holds splits), sorted as torchvision's `ImageFolder` sorts them. A file has one name per line, or
            is a JSON list, `{"0": name}` or `{name: 0}`.

    Raises:
        UsageError: the path does not exist, or the file cannot be read.
        DataError: there are fewer than two names, one is there twice, or an exported file cannot hold one.
    """
    names = tuple(given) if not isinstance(given, str | Path) else _named(given)
    check_classes(names, f"'{str(given)[:100]}'" if isinstance(given, str | Path) else "the given classes")
    return names


def _named(given: str | Path) -> tuple[str, ...]:
    path = Path(given).expanduser()
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.is_file():
            return _of_file(path)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {reason_of(error)}.", HOW, code="no-class-list") from None
    except ValueError:
        raise UsageError(f"'{path}' is not a list of class names.", HOW, code="no-class-list") from None
    text = str(given)
    if isinstance(given, Path) or "," not in text:
        raise UsageError(f"'{text}' does not exist.", HOW, code="missing-class-list")
    return tuple(part.strip() for part in text.split(","))


def _of_folder(folder: Path) -> tuple[str, ...]:
    """As `torchvision.datasets.folder.find_classes`, which sorts as text: 1, 10, 2."""
    inside = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    train = next((name for name in inside if split_of(name) == "train"), None)
    if train and all(map(split_of, inside)):
        return _of_folder(folder / train)
    return tuple(inside)


def _of_file(path: Path) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        return _of_json(json.loads(text))
    return tuple(line.strip() for line in text.rstrip().splitlines())


def _of_json(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        if all(isinstance(each, int) for each in value.values()):  # ImageFolder's class_to_idx
            value = {number: name for name, number in value.items()}
        numbered = {int(number): name for number, name in value.items()}
        if sorted(numbered) != list(range(len(numbered))):
            raise ValueError("numbers with gaps")
        value = [numbered[number] for number in range(len(numbered))]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("no names")
    return tuple(value)
