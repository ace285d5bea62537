"""Datasets, and how to make them from folders and list files."""

from zoo.data.dataset_path import dataset_at, looks_like_path
from zoo.data.splits import split_validation
from zoo.data.types import ArrayPictures, Dataset, FilePictures, Pictures, Split

__all__ = [
    "ArrayPictures",
    "Dataset",
    "FilePictures",
    "Pictures",
    "Split",
    "dataset_at",
    "looks_like_path",
    "split_validation",
]
