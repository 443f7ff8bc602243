"""Image files that are broken, hostile, or merely unusual."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112


def photograph() -> Image.Image:
    """A 3, drawn large: bright strokes on black, 40 × 48, in colours."""
    rows = ["0111110", "0000010", "0001100", "0000010", "0111110"]
    strokes = np.array([[int(c) for c in row] for row in rows], np.uint8) * 255
    large = Image.fromarray(strokes).resize((40, 48), Image.Resampling.BICUBIC)
    return Image.merge("RGB", (large, large.point(lambda v: v * 0.9), large))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 50,000 × 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    scanlines = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", scanlines)
        + chunk(b"IEND", b"")
    )


def bad() -> Mapping[str, bytes]:
    """Each with a word of the reason in its name's place."""
    png = saved(photograph(), "PNG")
    return {
        "empty": b"",
        "damaged": png[: len(png) // 2],
        "too large to decode": bomb(),
        "not an image": b"%PDF-1.7 this is something else",
    }


def unusual() -> Mapping[str, bytes]:
    """Files of `photograph()` in ways that must work."""
    image = photograph()
    sixteen = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[EXIF_ORIENTATION] = 6
    transparent = image.convert("RGBA")
    transparent.putalpha(128)
    return {
        "plain": saved(image, "PNG"),
        "cmyk": saved(image.convert("CMYK"), "JPEG", quality=100, subsampling=0),
        "16-bit": saved(sixteen, "PNG"),
        "palette": saved(image.quantize(256), "PNG"),
        "grey": saved(image.convert("L"), "PNG"),
        "transparent": saved(transparent, "PNG"),
        "rotated": saved(image.rotate(90, expand=True), "PNG", exif=turned),
        "webp": saved(image, "WEBP", lossless=True),
    }


def write(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """One file per entry, `<number>.png` whatever is in it; returns the paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{number}.png" for number, name in enumerate(files)}
    for name, path in paths.items():
        path.write_bytes(files[name])
    return paths
