"""More than 60 odd folders and lists, each with what must become of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import pictures

EACH = 4  # pictures in a class, which leaves one for validation


@dataclass(frozen=True, slots=True)
class OddFolder:
    """A dataset of the corpus.

    Attributes:
        build: makes it in an empty folder, and returns its path.
        counts: pictures of each class in train, or None where it is refused with `code`.
        val, test: how many pictures these splits have; 0 where the dataset has none.
        said: parts of its notes.
    """

    name: str
    build: Callable[[Path], Path]
    counts: dict[str, int] | None = None
    val: int = 0
    test: int = 0
    said: tuple[str, ...] = ()
    code: str = ""


_seeds = iter(range(10_000, 10**9))


def picture(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pictures.encoded(pictures.drawing(next(_seeds)), kind))
    return path


def classes(*folders: str, each: int = EACH) -> Callable[[Path], Path]:
    """A few pictures in each of these folders."""

    def build(root: Path) -> Path:
        for folder in folders:
            for index in range(each):
                picture(root / folder / f"{index}.png")
        return root

    return build


def both(first: Callable[[Path], object], *others: Callable[[Path], object]) -> Callable[[Path], Path]:
    def build(root: Path) -> Path:
        for each in (first, *others):
            each(root)
        return root

    return build


def file(name: str, data: bytes = b"x") -> Callable[[Path], None]:
    def build(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return build


def link(name: str, target: str) -> Callable[[Path], None]:
    """A link to a path in the same folder."""

    def build(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(root / target)

    return build


def hard(name: str, target: str) -> Callable[[Path], None]:
    return lambda root: os.link(root / target, root / name)


def inside(folder: str, build: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """What `build` makes, at a path in the folder, which is the dataset."""

    def nested(root: Path) -> Path:
        (root / folder).mkdir(parents=True)
        return build(root / folder)

    return nested


def listed(
    name: str, text: str, *builders: Callable[[Path], object], encoding: str = "utf-8"
) -> Callable[[Path], Path]:
    """A list file of pictures in `a/` and `b/`."""

    def build(root: Path) -> Path:
        both(classes("a", "b"), *builders)(root)
        (root / name).write_bytes(text.encode(encoding))
        return root / name

    return build


def rows(*pairs: tuple[str, str], head: str = "path,label") -> str:
    return "\n".join([head, *(f"{path},{label}" for path, label in pairs)]) + "\n"


ALL = tuple((f"{label}/{index}.png", label) for label in "ab" for index in range(EACH))
TWO = {"a": EACH, "b": EACH}
AB = classes("a", "b")


def splits(train: str, other: str) -> Callable[[Path], Path]:
    return classes(*(f"{part}/{label}" for part in (train, other) for label in "ab"))


def taken(
    name: str, build: Callable[[Path], Path], *said: str, val: int = 0, test: int = 0, **counts: int
) -> OddFolder:
    """Keywords beside `val` and `test` are the classes; without them these are a and b."""
    return OddFolder(name, build, counts or TWO, val, test, said)


def refused(name: str, build: Callable[[Path], Path], code: str, *said: str) -> OddFolder:
    return OddFolder(name, build, said=said, code=code)


def _splits() -> list[OddFolder]:
    known = [
        ("train", "val", "val"),
        ("Train", "Valid", "val"),
        ("TRAINING", "TESTING", "test"),
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("train set", "validation set", "val"),
        ("trainset", "devset", "val"),
        ("seg_train", "seg_test", "test"),
        ("seg_train/seg_train", "seg_val/seg_val", "val"),
        ("train", "test1", "test"),
        ("train_data", "val-data", "val"),
    ]
    alike = [
        ("fold1", "fold2"),
        ("train_a", "test_a"),
        ("Train-images", "Test-images"),
        ("train2017", "val2017"),
        ("trainA", "trainB"),
        ("data_train", "data_test"),
        ("split_0", "split_1"),
        ("holdout", "eval"),
    ]
    return [
        *(
            taken(f"{train}+{other}", splits(train, other), **{kind: 2 * EACH})  # type: ignore[arg-type]
            for train, other, kind in known
        ),
        *(refused(f"alike {' '.join(pair)}", splits(*pair), "folders-like-splits", *pair) for pair in alike),
        *(refused(f"flat {' '.join(pair)}", classes(*pair), "folders-like-splits", *pair) for pair in alike),
        refused("flat train and test1", classes("train", "test1"), "folder-without-train", "list file"),
        refused("only val", splits("val", "validation"), "split-twice", "val"),
        refused("two trains", splits("train", "Training"), "split-twice", "Training"),
        refused("flat val", both(classes("train/a", "train/b"), classes("val")), "folder-without-classes"),
        taken("unlabelled", both(classes("train/a", "train/b"), classes("test1")), "'test1'"),
        taken("beside", both(classes("train/a", "train/b"), classes("other/c")), "'other'"),
        taken("train and holdout", splits("training", "holdout"), "'holdout'"),
        taken("a class named train", classes("bus", "train"), bus=EACH, train=EACH),
        taken("groups", classes("x/p", "x/q", "y/p", "y/q"), "hold the same folders", x=2 * EACH, y=2 * EACH),
        refused(
            "another class in val", classes("train/a", "train/b", "val/c"), "class-without-training-pictures", "'c'"
        ),
        taken("a class missing in val", classes("train/a", "train/b", "val/a"), "no pictures of 'b'", val=EACH),
        refused("val is train", both(classes("train/a", "train/b"), link("val", "train")), "split-in-train", "val"),
        taken("below", inside("photos", AB)),
    ]


def _skipped() -> list[OddFolder]:
    systems = ["@eaDir", ".thumbnails", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".git"]
    return [
        *(taken(f"with {name}", both(AB, classes(f"a/{name}", name)), f"'{name}'") for name in systems),
        taken("thumbs", both(AB, file("a/Thumbs.db"), file("desktop.ini")), "2 files and folders of the system"),
        taken("texts", both(AB, file("a/readme.txt"), file("labels.csv")), "2 files that are not pictures"),
        taken("stray", both(AB, lambda root: picture(root / "stray.png")), "1 picture outside"),
        taken("raw", both(AB, file("a/1.CR2", b"II*\0"), file("b/2.psd")), "2 pictures in formats"),
        taken("content", both(AB, lambda root: picture(root / "a/IMG", "JPEG")), "taken by their content", a=5, b=4),
        taken("deep", both(AB, classes("a/x/y/z")), a=2 * EACH, b=EACH),
        taken("pipe", both(AB, lambda root: os.mkfifo(root / "a" / "pipe.png")), "1 device or pipe"),
        taken("a loop", both(AB, link("a/up", "a")), "1 link to a folder"),
        refused("a broken class", both(AB, link("c", "gone")), "broken-link", "'", "c'"),
        refused("a broken folder", both(AB, link("a/more", "gone")), "broken-link", "more"),
        refused("an empty class", both(AB, lambda root: (root / "c").mkdir()), "class-without-pictures", "'c'"),
        refused("a hidden class", both(AB, classes("c/.x")), "class-without-pictures", "'c'", ".x"),
        refused("nothing", lambda root: root, "folder-without-classes"),
        refused("flat", lambda root: picture(root / "1.png").parent, "folder-without-classes", "1 pictures"),
        refused("one class", classes("a"), "one-class", "'a'"),
    ]


def _same_files() -> list[OddFolder]:
    return [
        taken("linked twice", both(AB, link("a/9.png", "a/0.png")), "1 of 9 pictures"),
        taken("hard links", both(AB, hard("a/9.png", "a/0.png")), "1 of 9 pictures"),
        refused("two classes, one folder", both(AB, link("c", "a")), "file-with-two-labels", "'a'", "'c'"),
        refused("two classes, one file", both(AB, link("b/9.png", "a/0.png")), "file-with-two-labels", "'a'", "'b'"),
        taken("repeated rows", listed("list.csv", rows(*ALL * 10)), "72 of 80 pictures"),
        refused("two labels", listed("list.csv", rows(*ALL, ("a/0.png", "b"))), "file-with-two-labels", "a/0.png"),
        taken(
            "shared", both(splits("train", "val"), hard("val/a/9.png", "train/a/0.png")), "in both", val=2 * EACH + 1
        ),
    ]


def _names() -> list[OddFolder]:
    whole, apart = "caf\u00e9", "cafe\u0301"
    impossible = ["a\tb", "a\nb", "a\x7f", "a\u2028b", os.fsdecode(b"caf\xe9")]
    return [
        taken("unicode forms", classes(whole, apart, "tea"), "several Unicode forms", **{whole: 2 * EACH, "tea": EACH}),
        taken("case", classes("Cat", "cat"), "'Cat' and 'cat'", Cat=EACH, cat=EACH),
        taken("zeros", classes("1", "01"), "'01' and '1'", **{"1": EACH, "01": EACH}),
        taken("combination", classes("x", "y", "x y"), "'x y'", **{"x": EACH, "y": EACH, "x y": EACH}),
        taken("numbers", classes("10", "9", "-1"), **{"10": EACH, "9": EACH, "-1": EACH}),
        taken("markup", classes("[bold]", "<b>"), **{"[bold]": EACH, "<b>": EACH}),
        taken("far away", classes("\u732b", "\N{DOG FACE}"), **{"\u732b": EACH, "\N{DOG FACE}": EACH}),
        taken("bytes", inside(os.fsdecode(b"ph\xf6tos"), AB)),
        *(
            refused(f"impossible {number}", classes("a", name), "impossible-class-name")
            for number, name in enumerate(impossible)
        ),
    ]


def _lists() -> list[OddFolder]:
    lines = "".join(f"{path} {label}\n" for path, label in ALL)
    return [
        taken("text", listed("list.txt", lines)),
        taken("crlf and comments", listed("list.txt", "# mine\r\n\r\n" + lines.replace("\n", "\r\n"))),
        taken("table", listed("list.csv", rows(*ALL))),
        taken("byte order mark", listed("list.csv", rows(*ALL), encoding="utf-8-sig")),
        taken("semicolons", listed("list.csv", rows(*ALL).replace(",", ";"))),
        taken("backslashes", listed("list.csv", rows(*((path.replace("/", "\\"), label) for path, label in ALL)))),
        taken("by content", listed("list.csv", rows(*ALL[1:], ("a/x", "a")), lambda root: picture(root / "a/x"))),
        refused(
            "missing pictures",
            listed("list.csv", rows(*ALL, ("a/no.png", "a"))),
            "list-with-missing-pictures",
            "no.png",
        ),
        refused("an empty list", listed("list.csv", rows()), "empty-list"),
        refused("another column", listed("list.csv", rows(*ALL, head="path,split")), "list-columns", "'split'"),
        refused("no label", listed("list.txt", "a/0.png\n"), "line-without-label", "Line 1"),
        refused("a short row", listed("list.csv", rows(*ALL) + "a/0.png\n"), "line-without-all-columns"),
        refused("not utf-8", listed("list.csv", rows(*ALL, ("\u00e9.png", "a")), encoding="latin-1"), "list-encoding"),
        refused(
            "a line break in a label",
            listed("list.csv", rows(*ALL[1:], ("a/0.png", '"a\nb"'))),
            "impossible-class-name",
        ),
    ]


def _unusable() -> list[OddFolder]:
    """What loads, and is refused when its pictures are read."""
    spoiled = file("train/a/0.png", b"no picture")
    return [
        refused("two pictures", classes("a", "b", each=1), "too-few-for-validation"),
        refused("unreadable", both(splits("train", "val"), spoiled), "too-many-unreadable", "0.png"),
        refused(
            "an unreadable class",
            both(splits("train", "val"), *(file(f"val/a/{index}.png", b"no picture") for index in range(EACH))),
            "too-many-unreadable",
        ),
        refused("phone pictures", both(AB, file("a/1.heic", _HEIC)), "too-many-unreadable", "pillow-heif"),
        refused("gone", both(AB, link("a/9.png", "no.png")), "too-many-unreadable", "9.png"),
    ]


_HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def all_folders() -> list[OddFolder]:
    found = [*_splits(), *_skipped(), *_same_files(), *_names(), *_lists(), *_unusable()]
    assert len({each.name for each in found}) == len(found)
    return found
