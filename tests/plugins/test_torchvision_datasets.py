"""Every dataset is read from tiny files in the publisher's own format; each picture shows its label."""

from __future__ import annotations

import bz2
import hashlib
import json
import pickle
import socket
import string
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
from PIL import Image
from torchvision import datasets as tv

from zoo.errors import DataError, MissingExtraError
from zoo.specs import DatasetRequest
from zoo_torchvision import datasets, fetch, readers, sample
from zoo_torchvision.fetch import UnavailableError

from ..refusals import refused

SPECS = {spec.name: spec for spec in datasets.specs()}
MARK = (200, 100, 50)
TRAIN, VAL, TEST = [0, 1, 2, 2, 1], [1, 2], [2, 0, 1]


def paint(label, side):
    """A picture `[side, side, 3]` whose corner tells the label; pixel (2, 7) tells rows from columns."""
    picture = np.full((side, side, 3), label + 20, np.uint8)
    picture[2, 7] = MARK
    return picture


def stack(labels, side):
    return np.stack([paint(label, side) for label in labels])


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"uint8": 8, "int32": 12}[array.dtype.name]
    sizes = np.array(array.shape, ">u4").tobytes()
    path.write_bytes(bytes([0, 0, kind, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes())


def write_jpg(path, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 8), (label + 20,) * 3).save(path, "JPEG")


def idx_family(folder, names=datasets.IDX, transposed=False, label_columns=None):
    def build(root, monkeypatch):
        for images, labels, given in ((*names[:2], TRAIN), (*names[2:], TEST)):
            grey = stack(given, 28)[:, :, :, 0]
            write_idx(root / folder / "raw" / images, grey.transpose(0, 2, 1) if transposed else grey)
            flat = np.array(given, np.int32 if label_columns else np.uint8)
            table = np.stack([flat, *[flat * 7 + 99] * (label_columns - 1)], axis=1) if label_columns else flat
            write_idx(root / folder / "raw" / labels, table)

    return build


def usps(root, monkeypatch):
    for file, labels in (("usps.bz2", TRAIN), ("usps.t.bz2", TEST)):
        lines = []
        for label in labels:
            values = (paint(label, 16)[:, :, 0].ravel() + 0.5) / 255 * 2 - 1
            lines.append(f"{label + 1} " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(values, 1)))
        root.mkdir(exist_ok=True)
        (root / file).write_bytes(bz2.compress("\n".join(lines).encode() + b"\n"))


def svhn(root, monkeypatch):
    splits = dict(tv.SVHN.split_list)
    root.mkdir(exist_ok=True)
    for part, labels in (("train", TRAIN), ("test", TEST)):
        file = root / f"{part}_32x32.mat"
        stored = np.array([[label or 10] for label in labels], np.uint8)
        scipy.io.savemat(file, {"X": stack(labels, 32).transpose(1, 2, 3, 0), "y": stored})
        splits[part] = [splits[part][0], file.name, md5(file)]
    monkeypatch.setattr(tv.SVHN, "split_list", splits)


def cifar(class_name, key, names_key):
    dataset = getattr(tv, class_name)

    def build(root, monkeypatch):
        folder = root / dataset.base_folder
        folder.mkdir(parents=True)

        def write(name, content):
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
            return [name, md5(folder / name)]

        def batch(labels):
            return {"data": stack(labels, 32).transpose(0, 3, 1, 2).reshape(-1, 3072), key: list(labels)}

        files = len(dataset.train_list)
        parts = [TRAIN[start::files] for start in range(files)]
        train = [write(name, batch(part)) for (name, _), part in zip(dataset.train_list, parts, strict=True)]
        test = [write(dataset.test_list[0][0], batch(TEST))]
        name, checksum = write(dataset.meta["filename"], {names_key: ["sea_lion", "two", "three"]})
        monkeypatch.setattr(dataset, "train_list", train)
        monkeypatch.setattr(dataset, "test_list", test)
        monkeypatch.setattr(dataset, "meta", {"filename": name, "key": names_key, "md5": checksum})

    return build


def stl10(root, monkeypatch):
    (root / "stl10_binary").mkdir(parents=True)
    for part, labels in (("train", TRAIN), ("test", TEST)):
        columns_first = stack(labels, 96).transpose(0, 3, 2, 1)
        (root / "stl10_binary" / f"{part}_X.bin").write_bytes(columns_first.tobytes())
        (root / "stl10_binary" / f"{part}_y.bin").write_bytes(bytes(label + 1 for label in labels))


def eurosat(root, monkeypatch):
    for label, name in enumerate(("AnnualCrop", "Forest", "SeaLake")):
        for number in range(TRAIN.count(label)):
            write_jpg(root / "eurosat" / "2750" / name / f"{name}_{number}.jpg", label)


def gtsrb(root, monkeypatch):
    base = root / "gtsrb"
    images = base / "GTSRB" / "Final_Test" / "Images"
    images.mkdir(parents=True)
    for number, label in enumerate(TRAIN):
        folder = base / "GTSRB" / "Training" / f"{label:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 29), (label + 20,) * 3).save(folder / f"00000_{number:05d}.ppm")
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number, label in enumerate(TEST):
        Image.new("RGB", (30, 29), (label + 20,) * 3).save(images / f"{number:05d}.ppm")
        rows.append(f"{number:05d}.ppm;30;29;5;5;25;25;{label}")
    (base / "GT-final_test.csv").write_text("\n".join(rows) + "\n")


def food101(root, monkeypatch):
    base = root / "food-101"
    (base / "meta").mkdir(parents=True)
    for part, labels in (("train", TRAIN), ("test", TEST)):
        listed = {"apple_pie": [], "baklava": [], "sushi": []}
        for number, label in enumerate(labels):
            dish = list(listed)[label]
            name = f"{dish}/{part}{number}"
            listed[dish].append(name)
            write_jpg(base / "images" / f"{name}.jpg", label)
        (base / "meta" / f"{part}.json").write_text(json.dumps(listed))


def flowers102(root, monkeypatch):
    base = root / "flowers-102"
    base.mkdir(parents=True)
    labels = [*TRAIN, *VAL, *TEST]
    for number, label in enumerate(labels, 1):
        write_jpg(base / "jpg" / f"image_{number:05d}.jpg", label)
    scipy.io.savemat(base / "imagelabels.mat", {"labels": np.array([[label + 1 for label in labels]])})
    ids = np.arange(1, len(labels) + 1)
    scipy.io.savemat(base / "setid.mat", {"trnid": [ids[:5]], "valid": [ids[5:7]], "tstid": [ids[7:]]})
    files = {key: (name, md5(base / name)) for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat"))}
    monkeypatch.setattr(tv.Flowers102, "_file_dict", {**tv.Flowers102._file_dict, **files})


def oxford_pets(root, monkeypatch):
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for part, labels in (("trainval", TRAIN), ("test", TEST)):
        lines = []
        for number, label in enumerate(labels):
            image = f"{('Abyssinian', 'american_bulldog', 'pug')[label]}_{part == 'test':d}{number}"
            write_jpg(base / "images" / f"{image}.jpg", label)
            lines.append(f"{image} {label + 1} {1 + (label > 0)} 1")
        (base / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")


def dtd(root, monkeypatch):
    base = root / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for part, labels in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        lines = []
        for number, label in enumerate(labels):
            lines.append(f"{('banded', 'dotted', 'zigzagged')[label]}/{part}_{number}.jpg")
            write_jpg(base / "images" / lines[-1], label)
        (base / "labels" / f"{part}1.txt").write_text("\n".join(lines) + "\n")


def fgvc_aircraft(root, monkeypatch):
    base = root / "fgvc-aircraft-2013b" / "data"
    base.mkdir(parents=True)
    variants = ("707-320", "A340-300", "F/A-18")
    (base / "variants.txt").write_text("\n".join(variants) + "\n")
    for part, labels in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        lines = []
        for number, label in enumerate(labels):
            image = f"{len(part)}{part[1:2] == 'r':d}{number:05d}"
            write_jpg(base / "images" / f"{image}.jpg", label)
            lines.append(f"{image} {variants[label]}")
        (base / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")


def country211(root, monkeypatch):
    for part, labels in (("train", TRAIN), ("valid", VAL), ("test", TEST)):
        for number, label in enumerate(labels):
            write_jpg(root / "country211" / part / ("AD", "FR", "ZW")[label] / f"{number}.jpg", label)


def caltech101(root, monkeypatch):
    base = root / "caltech101" / "101_ObjectCategories"
    write_jpg(base / "BACKGROUND_Google" / "image_0001.jpg", 200)
    for label, name in enumerate(("Faces_easy", "accordion", "yin_yang")):
        for number in range(1, TRAIN.count(label) + 1):
            write_jpg(base / name / f"image_{number:04d}.jpg", label)


EMNIST_FILES = tuple(f"emnist-balanced-{name}" for name in datasets.EMNIST)
QMNIST_FILES = tuple(f"qmnist-{name}" for name in datasets.QMNIST)
# name: builder, has val, has test, some of the classes as a prefix
CASES = {
    "mnist": (idx_family("MNIST"), False, True, tuple(string.digits)),
    "fashion-mnist": (idx_family("FashionMNIST"), False, True, ("T-shirt or top", "trouser", "pullover")),
    "kmnist": (idx_family("KMNIST"), False, True, ("o", "ki", "su", "tsu")),
    "emnist": (idx_family("EMNIST", EMNIST_FILES, transposed=True), False, True, (*string.digits, "A", "B")),
    "qmnist": (idx_family("QMNIST", QMNIST_FILES, label_columns=8), False, True, tuple(string.digits)),
    "usps": (usps, False, True, tuple(string.digits)),
    "svhn": (svhn, False, True, tuple(string.digits)),
    "cifar10": (cifar("CIFAR10", "labels", "label_names"), False, True, ("sea lion", "two", "three")),
    "cifar100": (
        cifar("CIFAR100", "fine_labels", "fine_label_names"),
        False,
        True,
        ("sea lion", "two", "three"),
    ),
    "stl10": (stl10, False, True, ("airplane", "bird", "car")),
    "eurosat": (eurosat, False, False, ("annual crop", "forest", "sea lake")),
    "gtsrb": (gtsrb, False, True, ("speed limit 20", "speed limit 30", "speed limit 50")),
    "food101": (food101, False, True, ("apple pie", "baklava", "sushi")),
    "flowers102": (
        flowers102,
        True,
        True,
        ("pink primrose", "hard-leaved pocket orchid", "canterbury bells"),
    ),
    "oxford-pets": (oxford_pets, False, True, ("Abyssinian", "American Bulldog", "Pug")),
    "dtd": (dtd, True, True, ("banded", "dotted", "zigzagged")),
    "fgvc-aircraft": (fgvc_aircraft, True, True, ("707-320", "A340-300", "F/A-18")),
    "country211": (country211, True, True, ("AD", "FR", "ZW")),
    "caltech101": (caltech101, False, False, ("Faces easy", "accordion", "yin yang")),
}
FIXED_NAMES = {
    "mnist",
    "fashion-mnist",
    "kmnist",
    "emnist",
    "qmnist",
    "usps",
    "svhn",
    "stl10",
    "gtsrb",
    "flowers102",
}
ARRAYS = {
    "mnist",
    "fashion-mnist",
    "kmnist",
    "emnist",
    "qmnist",
    "usps",
    "svhn",
    "cifar10",
    "cifar100",
    "stl10",
}


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def load(name, root, download=False):
    return SPECS[name].load(DatasetRequest(root=root, download=download))


def test_every_dataset_has_a_case():
    assert SPECS.keys() == CASES.keys() and len(CASES) == 19


@pytest.mark.parametrize("name", CASES)
def test_reads_the_published_format(name, tmp_path, monkeypatch):
    build, has_val, has_test, classes = CASES[name]
    build(tmp_path, monkeypatch)
    dataset, spec = load(name, tmp_path), SPECS[name]

    assert dataset.classes[: len(classes)] == classes and len(set(dataset.classes)) == len(dataset.classes)
    if name in FIXED_NAMES:
        assert len(dataset.classes) == spec.num_classes
    assert sorted(dataset.train.labels.tolist()) == sorted(TRAIN)
    assert (dataset.val is not None, dataset.test is not None) == (has_val, has_test)
    for split in (dataset.train, dataset.val, dataset.test):
        if split is None:
            continue
        assert split.labels.dtype == np.int64 and len(split.pictures) == len(split.labels) > 0
        for index, label in enumerate(split.labels):
            picture = split.pictures[index]
            assert picture.dtype == np.uint8 and (picture[0, 0] == label + 20).all()
            if name in ARRAYS:
                assert picture.shape == (spec.native_size, spec.native_size, 3)
                assert picture[2, 7].tolist() == ([MARK[0]] * 3 if split.pictures.array.ndim == 3 else list(MARK))
                assert (picture[7, 2] == label + 20).all()
                assert split.pictures.array.flags.writeable and split.pictures.array.flags.c_contiguous
    if dataset.val is not None:
        assert sorted(dataset.val.labels.tolist()) == sorted(VAL)
    if dataset.test is not None:
        assert sorted(dataset.test.labels.tolist()) == sorted(TEST)
    assert str(tmp_path) in dataset.source and dataset.notes == ()


def test_descriptions():
    for spec in SPECS.values():
        assert spec.licence and spec.homepage.startswith("http") and spec.num_classes >= 10
        assert spec.augment in {"digits", "light", "photos"}
    assert {name for name, spec in SPECS.items() if spec.drawable} == {
        "mnist",
        "kmnist",
        "emnist",
        "qmnist",
        "usps",
    }
    assert {name for name, spec in SPECS.items() if spec.channels == "grey"} == {
        *("mnist", "kmnist", "emnist", "qmnist", "usps", "fashion-mnist")
    }
    # Mirrored digits and signs are other digits and signs.
    for name in ("mnist", "kmnist", "emnist", "qmnist", "usps", "svhn", "gtsrb"):
        assert SPECS[name].augment == "digits"
    sizes = {"usps": 16, "mnist": 28, "cifar10": 32, "svhn": 32, "eurosat": 64, "stl10": 96, "food101": None}
    assert {name: SPECS[name].native_size for name in sizes} == sizes


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"mnist"}))
def test_offline_fails_at_once_and_leaves_nothing(name, tmp_path, offline):
    root = tmp_path / "root"
    with refused("download-failed", f"'{name}'", "cannot be reached", "--data-root", kind=UnavailableError):
        load(name, root, download=True)
    assert not root.exists()
    with refused("incomplete-dataset", f"'{name}'", f"'{root}'", "--data-root", kind=UnavailableError):
        load(name, root)


@pytest.mark.parametrize("download", [True, False])
def test_mnist_offline_uses_the_sample_and_says_so(tmp_path, offline, download):
    dataset = load("mnist", tmp_path, download)
    assert dataset.classes == tuple(string.digits) and dataset.source.startswith("the sample of MNIST")
    assert len(dataset.notes) == 1 and "bundled sample" in dataset.notes[0] and "4,000 of 60,000" in dataset.notes[0]
    for split, size, official in ((dataset.train, 4000, 60000), (dataset.test, 1000, 10000)):
        assert split.pictures.array.shape == (size, 28, 28) and split.labels.shape == (size,)
        # Official counts of the ones, the most frequent class: 6,742 and 1,135.
        ones = {60000: 6742, 10000: 1135}[official]
        assert abs(int((split.labels == 1).sum()) - ones * size / official) < 1
        assert split.pictures.array.max() == 255 and 25 < split.pictures.array.mean() < 40
    assert sample.FILE.stat().st_size < 1_500_000


def test_the_sample_is_in_order():
    """Ones are narrow and zeros wide: labels that slipped by one picture would not tell them apart."""
    dataset = sample.load("Testing.")
    inked = dataset.train.pictures.array > 0
    width = inked.any(axis=1).sum(axis=1)
    one, zero = (np.median(width[dataset.train.labels == digit]) for digit in (1, 0))
    assert one < 9 and zero > 16


def damage(path, kind):
    data = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(data[:-3])
    elif kind == "longer":
        path.write_bytes(data + b"\0")
    elif kind == "garbage":
        path.write_bytes(b"<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "out of range":
        path.write_bytes(data[:-1] + b"\x0a")
    else:
        write_idx(path, np.zeros(99, np.uint8))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("file", "kind", "code", "facts"),
    [
        ("train-images-idx3-ubyte", "truncated", "idx-file-of-wrong-size", ("3933 bytes", "3936")),
        ("t10k-images-idx3-ubyte", "longer", "idx-file-of-wrong-size", ("2369 bytes", "2368")),
        ("train-images-idx3-ubyte", "garbage", "not-an-idx-file", ()),
        ("train-labels-idx1-ubyte", "empty", "not-an-idx-file", ()),
        ("train-images-idx3-ubyte", "too many", "idx-file-without-pictures", ()),
        ("train-labels-idx1-ubyte", "too many", "labels-and-pictures-differ", ("99 labels", "5 pictures")),
        ("t10k-labels-idx1-ubyte", "out of range", "labels-out-of-range", ("0 to 9",)),
    ],
)
def test_damaged_mnist_is_named_and_never_replaced(tmp_path, file, kind, code, facts):
    idx_family("MNIST")(tmp_path, None)
    path = tmp_path / "MNIST" / "raw" / file
    damage(path, kind)
    with refused(code, f"'{path}'", *facts, "Delete it", kind=DataError):
        load("mnist", tmp_path, download=True)


def test_incomplete_mnist_is_an_error_offline(tmp_path, monkeypatch, offline):
    idx_family("MNIST")(tmp_path, monkeypatch)
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with refused("download-failed", "'mnist'", kind=UnavailableError):
        load("mnist", tmp_path, download=True)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-batches-py/data_batch_3"),
        ("cifar100", "cifar-100-python/meta"),
        ("svhn", "test_32x32.mat"),
        ("usps", "usps.t.bz2"),
        ("stl10", "stl10_binary/train_X.bin"),
        ("flowers102", "flowers-102/setid.mat"),
        ("emnist", "EMNIST/raw/emnist-balanced-test-labels-idx1-ubyte"),
    ],
)
def test_damaged_files_are_named(tmp_path, monkeypatch, name, file):
    CASES[name][0](tmp_path, monkeypatch)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError) as caught:
        load(name, tmp_path)
    assert str(path) in caught.value.cause and "Delete it" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("food101", "food-101/meta/train.json", '{"apple_pie": '),
        ("gtsrb", "gtsrb/GT-final_test.csv", "Filename;ClassId\n0.ppm;57\n"),
        ("oxford-pets", "oxford-iiit-pet/annotations/test.txt", "pug_1 77 1 1\n"),
        ("fgvc-aircraft", "fgvc-aircraft-2013b/data/images_variant_val.txt", "123 Concorde\n"),
    ],
)
def test_damaged_lists(tmp_path, monkeypatch, name, file, text):
    CASES[name][0](tmp_path, monkeypatch)
    (tmp_path / file).write_text(text)
    with refused("damaged-file", str(tmp_path), "Delete it", kind=DataError):
        load(name, tmp_path)


class Publisher:
    """Stands in for a torchvision class: writes what a download writes, then fails as one does."""

    failure: Exception | None = None

    def __init__(self, root, download, **_):
        assert download and socket.getdefaulttimeout() == fetch.READ_TIMEOUT_S
        if self.failure:
            (Path(root) / "MNIST" / "raw").mkdir(parents=True)
            (Path(root) / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"half")
            raise self.failure
        idx_family("MNIST")(Path(root), None)


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setattr(fetch, "torchvision_class", lambda _: Publisher)
    monkeypatch.setattr(fetch, "unreachable", lambda _: None)
    return Publisher


def test_download_completes_what_is_missing(tmp_path, publisher):
    write_idx(tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    dataset = load("mnist", tmp_path, download=True)
    assert dataset.train.labels.tolist() == TRAIN and dataset.notes == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MNIST"]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("failure", [URLError("refused"), TimeoutError("timed out"), RuntimeError("corrupted.")])
def test_a_download_that_breaks_leaves_nothing(tmp_path, publisher, monkeypatch, failure):
    monkeypatch.setattr(Publisher, "failure", failure)
    dataset = load("mnist", tmp_path, download=True)
    assert "bundled sample" in dataset.notes[0] and list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_reason_for_the_sample(tmp_path, publisher, monkeypatch):
    monkeypatch.setattr(Publisher, "failure", OSError(28, "No space left on device"))
    with refused("dataset-not-stored", "'mnist'", f"'{tmp_path}'", "No space left on device", kind=DataError):
        load("mnist", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_costs_seconds(tmp_path, monkeypatch):
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry] * 8)
    monkeypatch.setattr(fetch.urllib.request, "getproxies", dict)
    tried = []

    def connect(self, address):
        tried.append((address, self.gettimeout()))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with refused("download-failed", "'usps'", "www.csie.ntu.edu.tw cannot be reached", kind=UnavailableError):
        load("usps", tmp_path, download=True)
    assert tried == [(("192.0.2.1", 443), fetch.CONNECT_TIMEOUT_S)]


def test_downloads_ask_the_real_classes_for_the_right_parts(tmp_path, monkeypatch):
    """The arguments fit torchvision's constructors: each fails at its first connection, not before."""
    import urllib.request

    asked = []

    def refuse(request, *_, **__):
        asked.append(request.full_url)
        raise URLError("refused")

    monkeypatch.setattr(fetch, "unreachable", lambda _: None)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    for name, spec in SPECS.items():
        source = spec.load.args[1]
        asked.clear()
        with refused("download-failed", f"'{name}'", "refused", kind=UnavailableError):
            fetch.download(name, source.class_name, source.parts, source.urls, tmp_path)
        hosts = {url.split("/")[2] for url in source.urls}
        assert asked and {url.split("/")[2] for url in asked} <= hosts, name
    assert list(tmp_path.iterdir()) == []


def test_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with refused("missing-extra", "CIFAR10", "visionzoo[train]", kind=MissingExtraError):
        readers.torchvision_class("CIFAR10")


def test_mnist_is_listed_and_read_without_torch(tmp_path):
    idx_family("MNIST")(tmp_path, None)
    code = f"""
import sys
from pathlib import Path
from zoo.specs import DatasetRequest
from zoo_torchvision.datasets import specs
mnist = next(spec for spec in specs() if spec.name == "mnist")
assert len(mnist.load(DatasetRequest(root=Path({str(tmp_path)!r}))).train) == 5
print(sorted({{"torch", "torchvision", "scipy"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
