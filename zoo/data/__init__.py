"""Datasets, and how to make them from folders and list files."""

from zoo.data.dataset_path import dataset_at, looks_like_path
from zoo.data.given import as_dataset, as_pictures, make_dataset
from zoo.data.pictures import ArrayPictures, FilePictures, Pictures, SourcePictures
from zoo.data.sources import Source
from zoo.data.splits import split_validation
from zoo.data.types import Dataset, Split

__all__ = [
    "ArrayPictures",
    "Dataset",
    "FilePictures",
    "Pictures",
    "Source",
    "SourcePictures",
    "Split",
    "as_dataset",
    "as_pictures",
    "dataset_at",
    "looks_like_path",
    "make_dataset",
    "split_validation",
]
