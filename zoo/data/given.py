"""Datasets made from what a program has: arrays, lists, and the datasets of other libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.checked import as_labels, check_array, checked, described
from zoo.data.class_names import check_classes
from zoo.data.pictures import ArrayPictures, FilePictures, Pictures, SourcePictures
from zoo.data.sources import BytesSource, FileSource, Items, ItemSource, Source
from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UnreadablePictureError, raised
from zoo.images import as_picture

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SAMPLED = 8  # items whose labels are compared with the labels that a dataset lists
Labelled = tuple[Pictures, Any, Sequence[str] | None]


def make_dataset(
    train: Any, val: Any = None, test: Any = None, *, classes: Sequence[str] | None = None, source: str = ""
) -> Dataset:
    """A dataset from pictures in memory, lists of files, or datasets of other libraries.

    Args:
        train, val, test: each a pair of pictures (as `as_pictures` takes them) and labels, or a dataset with a length
            whose items are pairs of a picture and a label: torchvision's, torch's, Hugging Face's. Labels are whole
            numbers from 0, or names.
        classes: the K names in the order of the labels. By default those that the dataset of a library has, the
            sorted labels if they are names, else the numbers.
        source: where the pictures came from, for the run's record.

    Raises:
        DataError: by the name of the argument, for what is not a split, and for labels that do not fit.
    """
    given = {name: part for name, part in (("train", train), ("val", val), ("test", test)) if part is not None}
    if "train" not in given:
        raise _refused("train", described(train), "Give pictures and labels to train on.", "no-training-pictures")
    parts = {name: _labelled(part, name) for name, part in given.items()}
    names = _classes(classes, parts)
    splits = {name: _numbered(part, name, names) for name, part in parts.items()}
    return checked(Dataset(classes=names, **splits, source=source), "given in Python")  # type: ignore[arg-type]


def as_dataset(given: Any) -> Dataset:
    """What `zoo.train` takes as a dataset beside names and paths.

    Args:
        given: a `Dataset`; a pair of pictures and labels; a dataset of another library; or a dictionary of those for
            `train`, `val` (or `validation`) and `test`.

    Raises:
        DataError: it is something else.
    """
    if isinstance(given, Dataset):
        return given
    if isinstance(given, Mapping):
        unknown = [str(name) for name in given if name not in SPLITS]
        if unknown or "train" not in given:
            what = f"a dictionary with {', '.join(map(repr, given)) or 'nothing'}"
            raise _refused("dataset", what, "Give the keys train, and val or test if there are such.", "split-names")
        return make_dataset(**{SPLITS[name]: part for name, part in given.items()}, source=library_name(given))
    return make_dataset(given, source=library_name(given))


def library_name(given: Any) -> str:
    """What a dataset from Python is called: by its class, `pictures` for pairs."""
    if isinstance(given, Mapping):
        return library_name(given.get("train"))
    own = isinstance(given, tuple | list | Dataset)
    return "pictures" if own else type(given).__name__.lower()


def as_pictures(given: Any, name: str = "pictures") -> Pictures:
    """Pictures from what a program has.

    Args:
        given: an array, uint8 `[N, H, W]`, `[N, H, W, 1]` or `[N, H, W, 3]`; or a list of paths, bytes of picture
            files, PIL images, or arrays as `zoo.images.as_picture` takes them.
        name: of the argument, for messages.

    Raises:
        DataError: it is something else.
    """
    if callable(getattr(given, "source", None)):
        pictures: Pictures = given
        return pictures
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        array = np.asarray(given)
        if array.ndim == 4 and array.shape[3] == 1:  # noqa: PLR2004
            array = array[..., 0]
        check_array(array, f"The argument {name}")
        return ArrayPictures(np.ascontiguousarray(array))
    if isinstance(given, Iterator):
        raise _refused(name, described(given), "It can be read only once: give a list of it.", "pictures-once")
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        remedy = "Give an array [N, H, W, 3], or a list of paths, bytes, PIL images or arrays."
        raise _refused(name, described(given), remedy, "pictures-type")
    if all(isinstance(each, str | PathLike) for each in given):
        return FilePictures([Path(each) for each in given])
    items = Items(given.__getitem__)
    return SourcePictures(_source(each, items, number) for number, each in enumerate(given))


def _source(given: Any, items: Items, number: int) -> Source:
    if isinstance(given, str | PathLike):
        return FileSource(Path(given))
    name = f"picture {number}"
    return BytesSource(given, name) if isinstance(given, bytes) else ItemSource(items, number, name)


def _labelled(part: Any, name: str) -> Labelled:
    """The pictures of a split, its labels, and the names of classes that it brings."""
    if isinstance(part, Split):
        return part.pictures, part.labels, None
    if isinstance(part, tuple) and len(part) == 2:  # noqa: PLR2004
        return as_pictures(part[0], f"{name}[0]"), part[1], None
    if hasattr(part, "features") and hasattr(part, "column_names"):
        return _from_columns(part, name)
    if isinstance(part, list | tuple | Mapping | str | bytes) or not hasattr(part, "__getitem__"):
        remedy = "Give a pair of pictures and labels, or a dataset whose items are such pairs."
        raise _refused(name, described(part), remedy, "split-type")
    try:
        count = len(part)
    except TypeError:
        remedy = "Give a dataset that has a length: in every epoch each picture is read by its number."
        raise _refused(name, f"{described(part)} without a length", remedy, "split-without-length") from None
    if not count:
        raise _refused(name, f"{described(part)} without pictures", "Give it some.", "no-training-pictures")
    _check_item(part, name)
    items = Items(lambda number: part[number][0])
    pictures = SourcePictures(ItemSource(items, number, f"picture {number}") for number in range(count))
    return pictures, _labels(part, count), brought_classes(part)


def _from_columns(part: Any, name: str) -> Labelled:
    """Of a dataset of Hugging Face: columns with types. https://huggingface.co/docs/datasets"""
    labels = next((key for key, kind in part.features.items() if hasattr(kind, "names")), "label")
    images = [key for key, kind in part.features.items() if type(kind).__name__ == "Image"]
    if labels not in part.column_names or len(images) != 1:
        what = f"a {type(part).__name__} with the columns {', '.join(part.column_names)}"
        raise _refused(name, what, "It needs one column of images, and one named label.", "split-columns")
    items = Items(lambda number: part[number][images[0]])
    pictures = SourcePictures(ItemSource(items, number, f"picture {number}") for number in range(len(part)))
    return pictures, list(part[labels]), brought_classes(part)


def _check_item(part: Any, name: str) -> None:
    """Raises `DataError` unless the first item is a picture and a label."""
    what, first = f"{described(part)} whose first item", _asked(part, 0, name)
    if not (isinstance(first, tuple | list) and len(first) > 1):
        remedy = "Each item must be a pair: a picture, and its label as a whole number or a name."
        raise _refused(name, f"{what} is {described(first)}", remedy, "split-items")
    picture = first[0]
    shape: tuple[int, ...] = getattr(picture, "shape", ())
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3, 4):  # noqa: PLR2004
        remedy = "Leave ToTensor and Normalize out of its transform: zoo resizes and normalises the pictures itself."
        raise _refused(name, f"{what} has {described(picture)}", remedy, "split-tensors")
    try:
        as_picture(picture)
    except UnreadablePictureError as error:
        if error.code in ("array-shape", "array-range"):
            raise _refused(name, f"{what} has {described(picture)}", error.remedy, "split-items") from None


def _asked(part: Any, number: int, name: str) -> Any:
    try:
        return part[number]
    except Exception as error:
        what = f"{described(part)} whose item {number} raised {raised(error)}"
        raise _refused(name, what, "Fix the dataset.", "split-raised") from error


def _labels(part: Any, count: int) -> Any:
    """The list that the dataset holds, where its items agree with it; else those of all items, which reads them."""
    listed = getattr(part, "targets", getattr(part, "labels", None))
    if listed is not None and getattr(listed, "__len__", lambda: -1)() == count:
        some = np.linspace(0, count - 1, min(SAMPLED, count)).round().astype(int).tolist()
        if all(_plain(part[number][1]) == _plain(listed[number]) for number in some):
            return listed
    return [_plain(part[number][1]) for number in range(count)]


def _plain(label: Any) -> Any:
    """A number or a text; a tensor of one number is that number."""
    return label.item() if hasattr(label, "item") else label


def brought_classes(part: Any) -> Sequence[str] | None:
    """The names of classes that a dataset of another library has: of its column of labels, or its `classes`."""
    features = getattr(part, "features", None)
    columns = features.values() if isinstance(features, Mapping) else ()
    found = next((kind.names for kind in columns if hasattr(kind, "names")), getattr(part, "classes", None))
    return found if isinstance(found, list | tuple) and all(isinstance(each, str) for each in found) else None


def _classes(classes: Sequence[str] | None, parts: Mapping[str, Labelled]) -> tuple[str, ...]:
    """The names of the classes: the given ones, those of the training split, or made from its labels."""
    if classes is not None:
        found = tuple(classes) if isinstance(classes, list | tuple | np.ndarray) else classes
        check_classes(found, "the argument classes")
        return tuple(map(str, found))
    _, labels, brought = parts["train"]
    if brought is not None:
        return tuple(brought)
    values = np.asarray(labels)
    if values.ndim == 1 and values.dtype.kind in "UO" and all(isinstance(each, str) for each in values.tolist()):
        return tuple(sorted(set(values.tolist())))
    numbers = as_labels(labels, len(parts["train"][0]), "The split train")
    present = set(numbers.tolist())
    if present != set(range(len(present))):
        absent = min(set(range(max(present) + 1)) - present, default=None)
        why = f"no picture has the label {absent}" if absent is not None else f"the lowest is {min(present)}"
        raise _refused(
            "train",
            f"a split with labels from {min(present)} to {max(present)}, and {why}",
            "Count labels from 0 without gaps, or give classes=[…].",
            "labels-range",
        )
    return tuple(map(str, range(len(present))))


def _numbered(part: Labelled, name: str, classes: tuple[str, ...]) -> Split:
    """The split with labels that count in `classes`."""
    pictures, labels, brought = part
    values = np.asarray(labels)
    own = classes if brought is None else tuple(brought)
    if values.ndim == 1 and values.dtype.kind in "UO":
        named = [str(each) for each in values.tolist()]
    elif own != classes and set(own) <= set(classes):
        named = [own[number] for number in as_labels(labels, len(pictures), f"The split {name}")]
    else:
        return Split(pictures, as_labels(labels, len(pictures), f"The split {name}"))
    numbers = {each: number for number, each in enumerate(classes)}
    unknown = sorted(set(named) - numbers.keys())
    if unknown:
        what = f"a split with the label {unknown[0]!r}"
        raise _refused(name, what, f"The classes are {', '.join(classes[:10])}.", "labels-range")
    return Split(pictures, np.array([numbers[each] for each in named], dtype=np.int64))


def _refused(name: str, what: str, remedy: str, code: str) -> DataError:
    return DataError(f"The argument {name} is {what}.", remedy, code=code)
