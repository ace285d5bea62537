from __future__ import annotations

import pytest
from PIL import Image

from zoo.data import dataset_at
from zoo.errors import DataError, UsageError
from zoo.specs import DatasetRequest

from ..refusals import refused

NAMES = ("a.png", "my cat.png", "my dog.png", "sub/b c.png", "sub/d.png", "été.png")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in NAMES:
        Image.new("L", (2, 2)).save(tmp_path / name)
    return tmp_path


def load(path, **options):
    return dataset_at(path, **options).load(DatasetRequest(root=path))


def written(root, text, name="list.txt", encoding="utf-8"):
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


def pairs(dataset, root, part="train"):
    split = getattr(dataset, part)
    names = [path.relative_to(root).as_posix() for path in split.pictures.paths]
    return list(zip(names, [dataset.classes[label] for label in split.labels], strict=True))


def test_lines(root):
    text = "# pictures\n\n a.png  dog \r\nmy cat.png\tcat\n'my dog.png' 'tabby cat'\n"
    text += '"sub/d.png" dog\nsub\\b c.png cat'
    dataset = load(written(root, text))
    assert dataset.classes == ("cat", "dog", "tabby cat")
    assert pairs(dataset, root) == [
        ("a.png", "dog"),
        ("my cat.png", "cat"),
        ("my dog.png", "tabby cat"),
        ("sub/d.png", "dog"),
        ("sub/b c.png", "cat"),
    ]
    assert dataset.val is None and dataset.train.pictures[0].shape == (2, 2, 3)


def test_absolute_paths(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists")
    listed = written(elsewhere, f"{root / 'my cat.png'} cat\n{root / 'a.png'} dog\n")
    assert pairs(load(listed), root) == [("my cat.png", "cat"), ("a.png", "dog")]


@pytest.mark.parametrize("name", ["list.csv", "list.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "columns", [("path", "label"), (" File ", "CLASS"), ("filename", "target"), ("image", "category")]
)
def test_tables(root, name, delimiter, columns):
    rows = [
        delimiter.join(columns),
        delimiter.join(("a.png", "dog")),
        "",
        delimiter.join(('"my cat.png"', "big cat ")),
    ]
    dataset = load(written(root, "\r\n".join(rows), name))
    assert pairs(dataset, root) == [("a.png", "dog"), ("my cat.png", "big cat")]


def test_columns_in_any_order(root):
    dataset = load(written(root, "label,path\nx,a.png\ny,sub\\d.png\n", "list.csv"))
    assert pairs(dataset, root) == [("a.png", "x"), ("sub/d.png", "y")]


def test_numbers_are_sorted_by_value(root):
    dataset = load(written(root, "a.png 10\nmy cat.png 9\nsub/d.png 1\n"))
    assert dataset.classes == ("1", "9", "10") and dataset.train.labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark(root, name, encoding):
    rows = "path,label\nété.png,é\na.png,b\n" if name.endswith("csv") else "été.png é\na.png b\n"
    assert pairs(load(written(root, rows, name, encoding)), root) == [("été.png", "é"), ("a.png", "b")]


def test_other_encodings(root):
    text = "a.png dog\nété.png cat\n"
    for encoding in ("cp1252", "utf-16"):
        path = written(root, text, encoding=encoding)
        assert pairs(load(path, encoding=encoding), root) == [("a.png", "dog"), ("été.png", "cat")]
    path = written(root, text, encoding="cp1252")
    with refused("list-encoding", "list.txt'", "utf-8", "byte 10", "line 2", "--encoding", kind=DataError):
        load(path)
    with refused("unknown-encoding", "'latin-x'", kind=UsageError):
        load(path, encoding="latin-x")


def test_separate_files_share_the_classes_of_train(root):
    train = written(root, "a.png x\nmy cat.png y\nsub/d.png z\n", "train.txt")
    val = written(root, "path,label\nsub/b c.png,z\n", "val.csv")
    test = written(root, "été.png y\n", "test.txt")
    dataset = load(train, val=val, test=test)
    assert dataset.val.labels.tolist() == [2] and dataset.test.labels.tolist() == [1]
    assert [note.rpartition(", so ")[0] for note in dataset.notes] == [
        f"There are no pictures of {names} in {part}" for names, part in (("'x', 'y'", "val"), ("'x', 'z'", "test"))
    ]
    unknown = written(root, "été.png w\n", "bad.txt")
    with refused("class-without-training-pictures", "bad.txt'", "'w'", "train.txt'", kind=DataError):
        load(train, test=unknown)


def test_missing_pictures_are_named_and_counted(root):
    lines = [f"gone{i}.png cat" for i in range(5)]
    path = written(root, "\n".join(["a.png dog", "", *lines, "x" * 5000 + ".png cat"]))
    facts = ("6 of 7", "'gone0.png' (line 3)", "and 3 more", f"'{root}'")
    with refused("list-with-missing-pictures", *facts, kind=DataError):
        load(path)


@pytest.mark.parametrize(
    ("name", "text", "code", "facts"),
    [
        ("l.txt", "", "empty-list", ()),
        ("l.txt", "# nothing\n", "empty-list", ()),
        ("l.csv", "", "list-columns", ()),
        ("l.csv", "path,label\n", "empty-list", ()),
        ("l.txt", "a.png dog\na.png\n", "line-without-label", ("Line 2", "'a.png'")),
        ("l.txt", "a.png dog\nsub/d.png dog\n", "one-class", ("'dog'",)),
        ("l.csv", "a.png,dog\nsub/d.png,cat\n", "list-columns", ("'a.png', 'dog'", "path, file, filename or image")),
        ("l.csv", "path,breed\na.png,dog\n", "list-columns", ("'path', 'breed'", "label, class, target or category")),
        ("l.csv", "path,label,split\na.png,dog,test\n", "list-columns", ("'path', 'label', 'split'",)),
        ("l.csv", "path,file\na.png,dog\n", "list-columns", ("'path', 'file'",)),
        ("l.csv", "path,label\na.png,dog\nsub/d.png\n", "line-without-all-columns", ("Line 3", "'path', 'label'")),
        ("l.csv", "path,label\na.png,\n", "line-without-all-columns", ("Line 2", "'path', 'label'")),
        ("l.csv", f'path,label\n"{"x" * 200_000}",dog\n', "list-not-a-table", ("field larger",)),
    ],
)
def test_malformed(root, name, text, code, facts):
    with refused(code, f"{name}'", *facts, kind=DataError) as caught:
        load(written(root, text, name))
    assert caught.value.remedy
