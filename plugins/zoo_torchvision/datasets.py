"""The built-in datasets. torchvision downloads them, and `zoo.images` decodes them.

Nothing here imports torch. The idx files of the MNIST family are also read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from zoo.data import Dataset
from zoo.specs import DatasetSpec
from zoo_torchvision import names, photos, readers
from zoo_torchvision.sources import Source, load, load_mnist

OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
UNLICENSED = "the publisher names no licence"

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
EMNIST = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "test-images-idx3-ubyte",
    "test-labels-idx1-ubyte",
)
QMNIST = (
    "train-images-idx3-ubyte",
    "train-labels-idx2-int",
    "test-images-idx3-ubyte",
    "test-labels-idx2-int",
)
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")

DRAWN: Mapping[str, Any] = {"channels": "grey", "augment": "digits", "drawable": True}
TRAIN_TEST = ({"split": "train"}, {"split": "test"})


def specs() -> Iterable[DatasetSpec]:
    """Descriptions of the built-in datasets."""
    yield from _drawn_characters()
    yield from _small_pictures()
    yield from _photos()


def _drawn_characters() -> Iterable[DatasetSpec]:
    yield _idx(
        "mnist",
        "MNIST",
        ("https://ossci-datasets.s3.amazonaws.com", "http://yann.lecun.com"),
        _under("MNIST/raw", IDX),
        names.DIGITS,
        homepage="http://yann.lecun.com/exdb/mnist/",
        licence="LeCun, Cortes and Burges; CC BY-SA 3.0",
    )
    yield _idx(
        "kmnist",
        "KMNIST",
        ("http://codh.rois.ac.jp",),
        _under("KMNIST/raw", IDX),
        names.KMNIST,
        homepage="http://codh.rois.ac.jp/kmnist/",
        licence="CODH; CC BY-SA 4.0",
    )
    yield _idx(
        "emnist",
        "EMNIST",
        ("https://biometrics.nist.gov",),
        _under("EMNIST/raw", [f"emnist-balanced-{file}" for file in EMNIST]),
        names.EMNIST_BALANCED,
        parts=({"split": "balanced"},),
        transposed=True,
        homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        licence=f"Cohen et al. 2017, from NIST Special Database 19; {UNLICENSED}",
    )
    yield _idx(
        "qmnist",
        "QMNIST",
        ("https://raw.githubusercontent.com",),
        _under("QMNIST/raw", [f"qmnist-{file}" for file in QMNIST]),
        names.DIGITS,
        parts=({"what": "train"}, {"what": "test"}),
        homepage="https://github.com/facebookresearch/qmnist",
        licence="Yadav and Bottou 2019; BSD 3-Clause",
    )
    yield _spec(
        "usps",
        "USPS",
        ("https://www.csie.ntu.edu.tw",),
        ("usps.bz2", "usps.t.bz2"),
        readers.usps,
        parts=({"train": True}, {"train": False}),
        num_classes=10,
        native_size=16,
        homepage="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
        licence=f"Hull 1994; {UNLICENSED}",
        **DRAWN,
    )


def _small_pictures() -> Iterable[DatasetSpec]:
    yield _idx(
        "fashion-mnist",
        "FashionMNIST",
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
        _under("FashionMNIST/raw", IDX),
        names.FASHION,
        augment="light",
        drawable=False,
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        licence="Zalando; MIT",
    )
    yield _spec(
        "svhn",
        "SVHN",
        ("http://ufldl.stanford.edu",),
        ("train_32x32.mat", "test_32x32.mat"),
        readers.svhn,
        parts=TRAIN_TEST,
        num_classes=10,
        native_size=32,
        augment="digits",
        homepage="http://ufldl.stanford.edu/housenumbers/",
        licence="Netzer et al. 2011; for non-commercial use only",
    )
    for class_name, folder, files in (
        ("CIFAR10", "cifar-10-batches-py", BATCHES),
        ("CIFAR100", "cifar-100-python", ("train", "test", "meta")),
    ):
        yield _spec(
            class_name.lower(),
            class_name,
            ("https://www.cs.toronto.edu",),
            _under(folder, files),
            partial(readers.cifar, class_name=class_name),
            num_classes=int(class_name.removeprefix("CIFAR")),
            native_size=32,
            augment="light",
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            licence=f"Krizhevsky 2009; {UNLICENSED}",
        )
    yield _spec(
        "stl10",
        "STL10",
        ("http://ai.stanford.edu",),
        _under("stl10_binary", ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")),
        readers.stl10,
        num_classes=10,
        native_size=96,
        augment="light",
        homepage="https://cs.stanford.edu/~acoates/stl10/",
        licence=f"Coates, Lee and Ng 2011, pictures from ImageNet; {UNLICENSED}",
    )
    yield _spec(
        "eurosat",
        "EuroSAT",
        ("https://huggingface.co",),
        ("eurosat/2750",),
        photos.eurosat,
        num_classes=10,
        native_size=64,
        augment="light",
        homepage="https://github.com/phelber/eurosat",
        licence="Helber et al. 2019; MIT",
    )
    yield _spec(
        "gtsrb",
        "GTSRB",
        ("https://sid.erda.dk",),
        _under("gtsrb", ("GTSRB/Training", "GTSRB/Final_Test/Images", "GT-final_test.csv")),
        photos.gtsrb,
        parts=TRAIN_TEST,
        num_classes=43,
        # A mirrored sign is another sign.
        augment="digits",
        homepage="https://benchmark.ini.rub.de/",
        licence=f"Stallkamp et al. 2012; {UNLICENSED}",
    )


def _photos() -> Iterable[DatasetSpec]:
    yield _spec(
        "food101",
        "Food101",
        ("http://data.vision.ee.ethz.ch",),
        _under("food-101", ("meta/train.json", "meta/test.json", "images")),
        photos.food101,
        num_classes=101,
        homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        licence="Bossard et al. 2014, pictures from Foodspotting; for research only",
    )
    yield _spec(
        "flowers102",
        "Flowers102",
        (OXFORD,),
        _under("flowers-102", ("imagelabels.mat", "setid.mat", "jpg")),
        photos.flowers102,
        num_classes=102,
        homepage=f"{OXFORD}/flowers/102/",
        licence=f"Nilsback and Zisserman 2008; {UNLICENSED}",
    )
    yield _spec(
        "oxford-pets",
        "OxfordIIITPet",
        (OXFORD,),
        _under("oxford-iiit-pet", ("annotations/trainval.txt", "annotations/test.txt", "images")),
        photos.oxford_pets,
        num_classes=37,
        homepage=f"{OXFORD}/pets/",
        licence="Parkhi et al. 2012; CC BY-SA 4.0",
    )
    yield _spec(
        "dtd",
        "DTD",
        (OXFORD,),
        _under("dtd/dtd", ("labels/train1.txt", "labels/val1.txt", "labels/test1.txt", "images")),
        photos.dtd,
        num_classes=47,
        homepage=f"{OXFORD}/dtd/",
        licence="Cimpoi et al. 2014; for research only",
    )
    lists = [f"images_variant_{part}.txt" for part in ("train", "val", "test")]
    yield _spec(
        "fgvc-aircraft",
        "FGVCAircraft",
        (OXFORD,),
        _under("fgvc-aircraft-2013b/data", ["variants.txt", *lists, "images"]),
        photos.fgvc_aircraft,
        num_classes=100,
        homepage=f"{OXFORD}/fgvc-aircraft/",
        licence="Maji et al. 2013; for non-commercial research only",
    )
    yield _spec(
        "country211",
        "Country211",
        ("https://openaipublic.azureedge.net",),
        _under("country211", ("train", "valid", "test")),
        photos.country211,
        num_classes=211,
        homepage="https://github.com/openai/CLIP/blob/main/data/country211.md",
        licence="OpenAI, pictures from YFCC100M; Creative Commons, picture by picture",
    )
    yield _spec(
        "caltech101",
        "Caltech101",
        ("https://data.caltech.edu",),
        ("caltech101/101_ObjectCategories",),
        photos.caltech101,
        num_classes=101,
        homepage="https://data.caltech.edu/records/mzrjq-6wc02",
        licence="Li et al. 2022; CC BY 4.0",
    )


def _spec(
    name: str,
    class_name: str,
    urls: Sequence[str],
    files: Sequence[str],
    read: Callable[[Path], Dataset],
    *,
    parts: Sequence[Mapping[str, object]] = ({},),
    **fields: Any,
) -> DatasetSpec:
    source = Source(class_name, urls, files, read, parts)
    return DatasetSpec(name=name, load=partial(load_mnist if name == "mnist" else load, name, source), **fields)


def _idx(
    name: str,
    class_name: str,
    urls: Sequence[str],
    files: Sequence[str],
    classes: Sequence[str],
    *,
    transposed: bool = False,
    **fields: Any,
) -> DatasetSpec:
    read = partial(readers.idx, files=files, classes=classes, transposed=transposed)
    common = {"num_classes": len(classes), "native_size": 28, **DRAWN}
    return _spec(name, class_name, urls, files, read, **{**common, **fields})


def _under(folder: str, files: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{folder}/{file}" for file in files)
