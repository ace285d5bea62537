"""The folders of train, val and test, under the names that are in use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoo.data.listing import quoted, some
from zoo.errors import DataError
from zoo.images import Found, look

# In lower case, without spaces, hyphens and underscores.
_SET = ("", "set", "data")
_SPLITS = {
    "train": {f"{name}{end}" for name in ("train", "training") for end in _SET} | {"segtrain"},
    "val": {f"{name}{end}" for name in ("val", "valid", "validation", "dev") for end in _SET} | {"segval"},
    "test": {f"{name}{end}" for name in ("test", "testing") for end in _SET} | {"segtest", "segpred", "test1"},
}
# Of these the pictures are often not sorted by class: competitions keep the labels to themselves.
_OFTEN_UNLABELLED = frozenset({"segpred", "test1"})
_USUAL = frozenset({"train", "val", "valid", "validation", "test"})

_WORD = "train|training|test|testing|val|valid|validation|eval|evaluation|dev|holdout|fold|split"
_FRONT = "my|seg|data|dataset|images?|imgs?|pictures?|photos?|small|full|new|old|raw|x|the|k|cv"
_BACK = rf"{_FRONT}|set|sets|pics|part|original|augmented|aug|resized|cropped|folder|dir|\d+"
# `train_a`, `trainB`, `train_resized_2`, `fold3of5`, but neither `trains` nor `tester`.
_LOOKS_LIKE_SPLIT = re.compile(
    rf"(?:(?:{_FRONT})[-_. ]*)?(?P<word>{_WORD})(?:[-_. ]*(?:{_BACK}))*(?:[-_. ]*of[-_. ]*\d+|[-_. ]+[a-z]|[a-rt-z])?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SplitFolders:
    """The folder of each split. `train` is the whole folder where it holds the class folders itself."""

    train: Path
    val: Path | None = None
    test: Path | None = None
    notes: tuple[str, ...] = ()


def find_splits(folder: Path) -> SplitFolders:
    """The folders of train, val and test in a folder.

    Raises:
        DataError: class folders or the folder of train are missing, two folders have the same split, or the names of
            folders only look like those of splits.
    """
    found = named_splits(folder)
    train = found.get("train")
    if train and subfolders(train):
        return SplitFolders(train, found.get("val"), found.get("test"), _taken(folder, found))
    inside = subfolders(folder)
    others = [path for path in inside if split_of(path.name) in ("val", "test") and (train or not _is_doubtful(path))]
    # `bus/`, `car/`, `train/`: a class may have the name train. It then contains pictures and no folders.
    if others or (train and len(inside) == 1):
        raise DataError(*_without_train(folder, train), code="folder-without-train")
    _refuse_lookalikes(folder, inside)
    return SplitFolders(folder)


def named_splits(folder: Path) -> dict[str, Path]:
    """The folders in a folder that have the name of a split, by `train`, `val` and `test`.

    Where a folder holds only another one of the same split, `seg_train/seg_train`, the inner one is taken.

    Raises:
        DataError: two folders have the same split.
    """
    candidates: dict[str, list[Path]] = {}
    for path in subfolders(folder):
        kind = split_of(path.name)
        if kind:
            candidates.setdefault(kind, []).append(_inner(path, kind))
    found = {}
    for kind in ("train", "val", "test"):
        paths = candidates.get(kind, [])
        paths = [path for path in paths if _plain(path.name) not in _OFTEN_UNLABELLED or _has_classes(path)]
        if len(paths) > 1:
            raise DataError(
                f"Folder '{folder}' has several folders for one split: {some(quoted(path.name for path in paths))}.",
                "Keep one of them, and rename or remove the others.",
                code="split-twice",
            )
        if paths:
            found[kind] = paths[0]
    return found


def split_of(name: str) -> str | None:
    """`train`, `val` or `test` if a folder of this name is known to hold it."""
    return next((kind for kind, names in _SPLITS.items() if _plain(name) in names), None)


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that may be classes or splits, with links, sorted by name."""
    return look(folder, Found(), classes=True)


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]", "", name.lower())


def _is_doubtful(path: Path) -> bool:
    """Whether this is as often the name of a class."""
    return _plain(path.name) in _OFTEN_UNLABELLED or _plain(path.name).startswith("dev")


def _inner(path: Path, kind: str) -> Path:
    found = Found()
    inside = look(path, found, classes=True)
    if len(inside) == 1 and split_of(inside[0].name) == kind and not found.pictures and subfolders(inside[0]):
        return inside[0]
    return path


def _has_classes(path: Path) -> bool:
    return any(split_of(inner.name) is None for inner in subfolders(path))


def _taken(folder: Path, found: dict[str, Path]) -> tuple[str, ...]:
    unusual = [
        f"'{path.relative_to(folder)}' as {kind}"
        for kind, path in found.items()
        if path.parent != folder or path.name.lower() not in _USUAL
    ]
    return (f"Taken in '{folder}': {', '.join(unusual)}.",) if unusual else ()


def _without_train(folder: Path, train: Path | None) -> tuple[str, str]:
    if train is None:
        example = folder / "train"
        cause = f"Folder '{folder}' has no folder 'train' with class folders."
        return cause, f"Create one folder per class, for example {example / 'cat'} and {example / 'dog'}"
    found = Found()
    look(train, found)
    pictures = found.pictures
    cause = (
        f"Folder '{train}' holds {len(pictures):,} pictures and no class folders. "
        f"Folder '{folder}' has no folder 'train' with class folders."
    )
    remedy = f"Create one folder per class, for example {train / 'cat'} and {train / 'dog'}"
    if not pictures:
        return cause, remedy
    line = f"{pictures[0].relative_to(folder)} {re.split(r'[^A-Za-z]', pictures[0].name)[0] or 'cat'}"
    return cause, f"{remedy}. Or write a list file with one line per picture, for example: {line}"


def _refuse_lookalikes(folder: Path, inside: list[Path]) -> None:
    words = {path: match["word"].lower() for path in inside if (match := _LOOKS_LIKE_SPLIT.fullmatch(path.name))}
    # `train` alone is a class beside `bus` and `car`.
    alike = [path for path in words if path.name.lower() != "train" or len(words) > 1]
    several_kinds = len({words[path][:2] for path in alike}) > 1
    if alike and (len(alike) == len(inside) or several_kinds or any(subfolders(path) for path in alike)):
        raise DataError(
            f"The folders {some(quoted(path.name for path in alike), most=10)} in '{folder}' look like splits, "
            "not like classes.",
            "Name them train, val and test, or name one with --val and --test. If they are classes, rename them.",
            code="folders-like-splits",
        )
