"""Picture files to RGB pixels: `read.py` decodes, `find.py` knows the suffixes."""

from zoo.images.find import PICTURE_SUFFIXES, find_files, find_pictures, is_picture
from zoo.images.read import MAX_PIXELS, as_picture, read_picture

__all__ = [
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "as_picture",
    "find_files",
    "find_pictures",
    "is_picture",
    "read_picture",
]
