"""PNG: floods of chunks, texts that unpack to more, and pictures that are larger than their file."""

from __future__ import annotations

import struct
import zlib

from .attack import AT_THE_LIMIT, Upload, memory

HEIGHT, WIDTH = AT_THE_LIMIT
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, RGBA: 4}


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def zeros(length: int) -> bytes:
    """So many zero bytes, deflated to a thousandth."""
    packer = zlib.compressobj(1)
    block = bytes(2**20)
    parts = [packer.compress(block[: min(2**20, length - at)]) for at in range(0, length, 2**20)]
    return b"".join([*parts, packer.flush()])


def png(
    width: int = 4,
    height: int = 4,
    *,
    bits: int = 8,
    colour: int = RGB,
    interlaced: int = 0,
    data: bytes | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A black picture, with chunks before and after its pixels."""
    if data is None:
        data = chunk(b"IDAT", zeros((1 + -(-width * bits * CHANNELS[colour] // 8)) * height + 2 * height * interlaced))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return SIGNATURE + chunk(b"IHDR", header) + before + data + after + chunk(b"IEND")


def claimed(width: int, height: int, **options: int) -> bytes:
    """A picture of that size whose pixels are missing."""
    return png(width, height, data=chunk(b"IDAT", zeros(1000)), **options)


def at_the_limit(colour: int, bits: int = 8, **options) -> bytes:
    return png(WIDTH, HEIGHT, colour=colour, bits=bits, **options)


def frame(number: int, width: int = 4, height: int = 4, left: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, 0, 1, 10, 0, 0))


def frames(count: int) -> bytes:
    """An animation whose frames follow the first."""
    pixels = zeros(13 * 4)
    return b"".join(frame(2 * i + 1) + chunk(b"fdAT", struct.pack(">I", 2 * i + 2) + pixels) for i in range(count))


def scattered() -> bytes:
    """Its pixels in chunks of one byte, with 1,000,000 empty ones between them."""
    return b"".join(chunk(b"IDAT", bytes([byte])) + 80_000 * chunk(b"IDAT") for byte in zeros(13 * 4))


PNG = [
    Upload("png-1-bit-claims-2.5-gigapixels", lambda: claimed(50_000, 50_000, bits=1, colour=GREY), "too-many-pixels"),
    Upload(
        "png-16-bit-claims-2.5-gigapixels", lambda: claimed(50_000, 50_000, bits=16, colour=RGBA), "too-many-pixels"
    ),
    # Below the size at which Pillow itself refuses.
    Upload("png-claims-170-megapixels", lambda: claimed(17_000, 10_000), "too-many-pixels"),
    Upload("png-claims-the-longest-side", lambda: claimed(2**31 - 1, 1, bits=1, colour=GREY), "too-many-pixels"),
    Upload("png-just-above-the-limit", lambda: claimed(WIDTH, HEIGHT + 1, bits=1, colour=GREY), "too-many-pixels"),
    Upload("png-1-bit", lambda: at_the_limit(GREY, 1), AT_THE_LIMIT, memory(AT_THE_LIMIT), 4),
    Upload("png-16-bit-grey", lambda: at_the_limit(GREY, 16), AT_THE_LIMIT, memory(AT_THE_LIMIT), 4),
    Upload("png-rgba", lambda: at_the_limit(RGBA), AT_THE_LIMIT, memory(AT_THE_LIMIT), 6),
    Upload("png-16-bit-rgba", lambda: at_the_limit(RGBA, 16), AT_THE_LIMIT, memory(AT_THE_LIMIT), 6),
    Upload("png-interlaced", lambda: at_the_limit(RGB, interlaced=1), AT_THE_LIMIT, memory(AT_THE_LIMIT), 6),
    Upload(
        "png-transparent-palette",
        lambda: at_the_limit(PALETTE, before=chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\x80")),
        AT_THE_LIMIT,
        memory(AT_THE_LIMIT),
        6,
    ),
    Upload(
        "png-transparent-colour",
        lambda: at_the_limit(RGB, before=chunk(b"tRNS", bytes(6))),
        AT_THE_LIMIT,
        memory(AT_THE_LIMIT),
        6,
    ),
    # Texts of 200 MiB in files of 900 KB.
    Upload(
        "png-text-bomb", lambda: png(before=chunk(b"zTXt", b"a\0\0" + zeros(200 * 2**20))), "damaged-picture: too large"
    ),
    Upload(
        "png-international-text-bomb",
        lambda: png(before=chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(200 * 2**20))),
        "damaged-picture: too large",
    ),
    Upload(
        "png-profile-bomb",
        lambda: png(before=chunk(b"iCCP", b"a\0\0" + zeros(200 * 2**20))),
        "damaged-picture: too large",
    ),
    Upload(
        "png-text-bomb-at-the-end",
        lambda: png(after=chunk(b"zTXt", b"a\0\0" + zeros(200 * 2**20))),
        "damaged-picture: too large",
    ),
    # Each is as long as Pillow allows: it counts them together, up to 64 MiB.
    Upload(
        "png-many-texts",
        lambda: png(before=b"".join(chunk(b"zTXt", b"%d\0\0" % i + zeros(2**20)) for i in range(300))),
        "damaged-picture: Too much memory",
        mib=80,
    ),
    Upload("png-1-pixel-of-256-MiB", lambda: png(1, 1, data=chunk(b"IDAT", zeros(2**28))), (1, 1), 30),
    Upload("png-a-million-empty-chunks", lambda: png(before=chunk(b"abCd") * 10**6), "costly-picture: too many parts"),
    Upload("png-pixels-in-a-million-chunks", lambda: png(data=scattered()), "costly-picture: too many parts"),
    Upload("png-chunk-of-2-GiB", lambda: SIGNATURE + b"\x7f\xff\xff\xffIHDR" + bytes(100), "truncated-picture"),
    Upload("png-pixels-of-2-GiB", lambda: png(data=b"\x7f\xff\xff\xffIDAT" + zeros(40)), "truncated-picture"),
    Upload("png-no-pixels", lambda: png(data=b""), "damaged-picture"),
    Upload("png-without-width", lambda: png(0, 4), "unknown-picture-format"),
    Upload("png-row", lambda: png(100_000, 1), (1, 100_000)),
    Upload("png-column", lambda: png(1, 100_000), (100_000, 1)),
    Upload(
        "png-10,000-frames",
        lambda: png(before=chunk(b"acTL", struct.pack(">II", 10_000, 0)) + frame(0), after=frames(10_000)),
        (4, 4),
    ),
    Upload(
        "png-claims-4-billion-frames",
        lambda: png(before=chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0)) + frame(0)),
        (4, 4),
    ),
    # Its frame is larger than the picture.
    Upload(
        "png-frame-outside",
        lambda: png(before=chunk(b"acTL", struct.pack(">II", 2, 0)) + frame(0, 50_000, 50_000, 9)),
        "unknown-picture-format",
    ),
]
