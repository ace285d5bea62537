"""The decoded pictures of files, for processes that import no more than that needs."""

import numpy as np

from zoo.data import FilePictures, Split
from zoo.data.decoded_split import make_stores
from zoo.data.decoding import Budgets
from zoo.progress import Reporter
from zoo.specs import PreprocessSpec

SPEC = PreprocessSpec(image_size=16, crop_fraction=0.875)
AMPLE = Budgets(2**30, 2**30)


def pixels_of(paths, budgets=AMPLE, *, spec=SPEC, augmented=False, reporter=None):
    """All pixels, at the widest size."""
    split = Split(FilePictures(paths), np.zeros(len(paths), dtype=np.int64))
    (store,) = make_stores(
        [split], spec, augmented=augmented, budgets=budgets, origin="tests", reporter=reporter or Reporter()
    )
    return store.wide.take(np.arange(len(store)))
