"""Picture files to RGB pixels: `read.py` decodes, `find.py` finds them in folders."""

from zoo.images.find import PICTURE_SUFFIXES, Found, find_pictures, is_picture, look, search
from zoo.images.read import MAX_PIXELS, as_picture, read_header, read_picture

__all__ = [
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "Found",
    "as_picture",
    "find_pictures",
    "is_picture",
    "look",
    "read_header",
    "read_picture",
    "search",
]
