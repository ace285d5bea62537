"""What must not be opened at all: formats outside the list, several formats in one file, and no picture."""

from __future__ import annotations

import struct

from PIL import Image

from .attack import Upload
from .uploads_jpeg import jpeg, saved
from .uploads_png import png

UNKNOWN = "unknown-picture-format"
TINY = Image.new("RGB", (4, 4))
# Ghostscript would run this program.
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/etc/passwd) (r) file\n%%EOF\n"
METAFILE = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<HHHHHIH", 0, 0, 9, 9, 1440, 0, 0) + b"\1\0\t\0\0\3" + bytes(99)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'

FOREIGN = [
    Upload("eps", lambda: POSTSCRIPT, UNKNOWN),
    Upload(
        "eps-behind-a-dos-header",
        lambda: b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, 99) + bytes(18) + POSTSCRIPT,
        UNKNOWN,
    ),
    Upload("pdf", lambda: b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\n", UNKNOWN),
    Upload("svg", lambda: SVG, UNKNOWN),
    Upload("svg-behind-xml-entities", lambda: b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + SVG, UNKNOWN),
    Upload("wmf", lambda: METAFILE, UNKNOWN),
    Upload("xbm", lambda: b"#define a_width 4\n#define a_height 4\nstatic char a_bits[] = {\n0,0,0,0};\n", UNKNOWN),
    Upload("xpm", lambda: b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #000000", "a"};\n', UNKNOWN),
    Upload("psd", lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + bytes(99), UNKNOWN),
    Upload(
        "fits",
        lambda: b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =  8".ljust(80) + b"END".ljust(2720),
        UNKNOWN,
    ),
    Upload("hdf5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), UNKNOWN),
    Upload("dds", lambda: saved(TINY, "DDS"), UNKNOWN),
    Upload("blp", lambda: saved(TINY.convert("P"), "BLP"), UNKNOWN),
    Upload("im", lambda: saved(TINY, "IM"), UNKNOWN),
    Upload("pcx", lambda: saved(TINY, "PCX"), UNKNOWN),
    Upload("ico", lambda: saved(Image.new("RGB", (16, 16)), "ICO"), UNKNOWN),
    Upload("icns", lambda: saved(Image.new("RGB", (16, 16)), "ICNS"), UNKNOWN),
    Upload("tga", lambda: saved(TINY, "TGA"), UNKNOWN),
    Upload("sgi", lambda: saved(TINY, "SGI"), UNKNOWN),
    Upload("spider", lambda: saved(Image.new("F", (4, 4)), "SPIDER"), UNKNOWN),
    Upload("heic", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "missing-picture-package: pillow-heif"),
    Upload("executable", lambda: b"\x7fELF" + bytes(999), UNKNOWN),
    Upload("zip", lambda: b"PK\3\4" + bytes(999), UNKNOWN),
    Upload("pickle", lambda: b"\x80\4cos\nsystem\n(S'true'\ntR.", UNKNOWN),
    Upload("empty", lambda: b"", "empty-picture"),
    Upload("one-byte", lambda: b"\xff", UNKNOWN),
    Upload("64-MB-of-zeros", lambda: bytes(64 * 2**20), UNKNOWN),
    # Read from its end, each is a zip or a page as well; the decoder goes by the first bytes.
    Upload("png-and-jpeg", lambda: png() + jpeg(), (4, 4)),
    Upload("jpeg-and-page", lambda: jpeg() + b"<script>alert(1)</script>", (16, 16)),
    Upload("page-before-png", lambda: b"<html>" + png(), UNKNOWN),
]
