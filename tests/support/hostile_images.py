"""Small files that are expensive to decode, or not images at all, made byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth picture with noise, RGB."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (4, 4, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)), np.int16)
    noise = generator.integers(-9, 10, smooth.shape)
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file that Pillow writes of an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scans(count: int, side: int = 64) -> bytes:
    """A progressive JPEG of about `count` scans: the last one is repeated."""
    data = encoded(photo(side, side), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return (struct.pack(">I", len(content)) + kind + content) + struct.pack(
        ">I", zlib.crc32(kind + content)
    )


def png(width: int, height: int, packed: bytes, *chunks: bytes, colour: int = 0) -> bytes:
    """A PNG of 8 bits with these chunks before its packed pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels


def zeros(size_bytes: int) -> bytes:
    """Zero bytes, packed by deflate."""
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(size_bytes >> 20))
    return packed + packer.compress(bytes(size_bytes & (1 << 20) - 1)) + packer.flush()


def small_png(*chunks: bytes) -> bytes:
    """A PNG of 8 × 8 grey pixels with these chunks."""
    return png(8, 8, zlib.compress(bytes(9 * 8)), *chunks)


def tiff(entries: Mapping[int, tuple[int, int, int]], rest: bytes = b"", again: int = 0) -> bytes:
    """A TIFF directory of {tag: (type, count, value)} at byte 8, the next one at `again`."""
    rows = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    count = struct.pack("<H", len(entries))
    return b"II*\0" + struct.pack("<I", 8) + count + rows + struct.pack("<I", again) + rest


def grey_tiff(
    width: int, height: int, rest: bytes, again: int = 0, **tags: tuple[int, int, int]
) -> bytes:
    """A grey TIFF; `tags` are t258=(3, 1, 8) and so on, and `rest` follows the directory."""
    entries = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        277: (3, 1, 1),
        278: (4, 1, height),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    return tiff(entries, rest, again)


def directory_end(tags: int) -> int:
    """Where the bytes after a directory of so many tags begin."""
    return 8 + 2 + 12 * tags + 4


def overlapping_exif(size_bytes: int = 60_000) -> bytes:
    """EXIF data whose thousands of entries all refer to the same bytes."""
    count = min(size_bytes // 24, 20_000)
    length = size_bytes - directory_end(count)
    entries = {40_000 + tag: (7, length, directory_end(count)) for tag in range(count)}
    return tiff(entries, bytes(length))


def cyclic_tiff() -> bytes:
    """A whole TIFF of 8 × 8 pixels, whose next directory is itself, and its EXIF directory too."""
    tags = {"t273": (4, 1, directory_end(10)), "t279": (4, 1, 64), "t34665": (4, 1, 8)}
    return grey_tiff(8, 8, bytes(range(64)), again=8, **tags)


def overlapping_strips(rows: int = 2000, size_bytes: int = 200_000) -> bytes:
    """Strips of one row, which are all the same long deflate data without a pixel in it."""
    start = directory_end(9)
    empty = b"\x78\x01" + b"\0\0\0\xff\xff" * (size_bytes // 5)
    offsets = struct.pack("<I", start + 8 * rows) * rows
    counts = struct.pack("<I", len(empty)) * rows
    return grey_tiff(
        64,
        rows,
        offsets + counts + empty,
        t259=(3, 1, 8),
        t273=(4, rows, start),
        t278=(4, 1, 1),
        t279=(4, rows, start + 4 * rows),
    )


def giant_tile(side: int = 30_000) -> bytes:
    """A picture of 16 × 16 pixels in the corner of one tile."""
    packed = zlib.compress(bytes(100_000))
    return grey_tiff(
        16,
        16,
        packed,
        t259=(3, 1, 8),
        t322=(4, 1, side),
        t323=(4, 1, side),
        t324=(4, 1, directory_end(11)),
        t325=(4, 1, len(packed)),
    )


def with_exif(exif: bytes, kind: str = "JPEG") -> bytes:
    """A picture with EXIF data."""
    return encoded(photo(), kind, exif=b"Exif\0\0" + exif)


def slow_bmp(side: int = 2000) -> bytes:
    """A run-length coded BMP whose runs are one pixel each."""
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    rows = (b"\1\7" * side + bytes(2)) * side
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + header + bytes(1024) + rows


def slow_ppm(side: int = 1000) -> bytes:
    """A PPM in text."""
    return f"P2 {side} {side} 255\n".encode() + b"7 " * side**2


# Each is refused, with words that this pattern finds.
HOSTILE: Mapping[str, tuple[Callable[[], bytes], str]] = MappingProxyType(
    {
        "1,000 scans": (lambda: scans(1000), "1,000 scans are more than the 100 allowed"),
        "1 × 64,000,000": (lambda: png(1, 64_000_000, zeros(128_000_000)), "long and narrow"),
        "64,000,000 × 1": (lambda: png(64_000_000, 1, zeros(64_000_001)), "long and narrow"),
        "colour profile": (
            lambda: small_png(chunk(b"iCCP", b"a\0\0" + zeros(20 << 20))),
            "larger than 1 MiB when unpacked",
        ),
        "packed text": (
            lambda: small_png(chunk(b"zTXt", b"a\0\0" + zeros(20 << 20))),
            "larger than 1 MiB when unpacked",
        ),
        "international text": (
            lambda: small_png(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(20 << 20))),
            "larger than 1 MiB when unpacked",
        ),
        "strips": (overlapping_strips, "its parts overlap"),
        "tile": (giant_tile, "tiles of 30000 × 30000"),
        "EXIF in JPEG": (lambda: with_exif(overlapping_exif()), "its parts overlap"),
        "EXIF in PNG": (
            lambda: small_png(chunk(b"eXIf", overlapping_exif(2_000_000))),
            "its parts overlap",
        ),
        "EXIF in WebP": (
            lambda: with_exif(overlapping_exif(200_000), "WEBP"),
            "its parts overlap",
        ),
        "EXIF in AVIF": (
            lambda: with_exif(overlapping_exif(50_000), "AVIF"),
            "its parts overlap",
        ),
        "TIFF tags": (lambda: overlapping_exif(50_000), "not an image|its parts overlap"),
        "comments": (
            lambda: b"P3\n800 800\n255\n" + b"#\n" * 400_000 + b"1 " * 1_920_000,
            "more than 1,000 comments",
        ),
    }
)
