"""Structure: what makes a small file expensive, found before its pixels are decoded.

JPEG    scans: each passes over all pixels, and can be a few bytes long
TIFF    strips or tiles that refer to the same bytes; a tile larger than the image
EXIF    entries that refer to the same bytes: each is copied
PPM     comments among numbers in text: each costs a copy of the text
"""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from resnet_serve.preprocessing.limits import DamagedError, ImageError, Limits

_JPEG, _SCAN = b"\xff\xd8\xff", b"\xff\xda"
# Markers, without stuffed bytes and restarts; those without a length.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END, _ALONE = 0xD9, (0x01, 0xD8)
_PLAIN_PPM, _COMMENTS = (b"P1", b"P2", b"P3"), 1000
_TIFF_HEADERS = re.compile(rb"II\*\0|MM\0\*")
_MOST_HEADERS = 16
_EXIF_SEGMENTS = (b"Exif\0\0", b"MPF\0")
# Pieces of a scan that a decoder gets at a time, where there are many scans.
_MANY_SCANS, _PIECE_BYTES = 16, 4096
# TIFF tags, and the types of their values with their sizes in bytes.
_BYTE_COUNTS, _TILE_SIDES, _COMPRESSION = (279, 325), (322, 323), 259
_SIZES = np.zeros(1 << 16, np.int64)
_SIZES[1:19] = (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_ENTRIES = {
    order: np.dtype(
        [
            ("tag", f"{order}u2"),
            ("type", f"{order}u2"),
            ("n", f"{order}u4"),
            ("place", f"{order}u4"),
        ]
    )
    for order in "<>"
}
_OVERLAPPING = "damaged image (its parts overlap, and repeat the same bytes)"


def check_metadata(data: bytes) -> None:
    """Raise `ImageError` for metadata that would cost much when the file is opened."""
    if data.startswith(_JPEG):
        for segments in _segments(data).values():
            check_directory(segments)
    elif data.startswith(_PLAIN_PPM):
        if data.count(b"#") > _COMMENTS:
            raise DamagedError(f"damaged image (more than {_COMMENTS:,} comments)")
    elif data.startswith(b"ftyp", 4):  # AVIF and HEIF: the EXIF data is anywhere
        places = [match.start() for match in _TIFF_HEADERS.finditer(data)]
        if len(places) > _MOST_HEADERS:
            raise DamagedError(f"damaged image ({len(places)} blocks of metadata)")
        for place in places:
            check_directory(memoryview(data)[place:])


def check_exif(image: Image.Image) -> None:
    """Raise `ImageError` for an opened image whose EXIF data would cost much to read."""
    exif = image.info.get("exif")
    if exif is None and "Raw profile type exif" in image.info:
        lines = str(image.info["Raw profile type exif"]).split("\n")
        exif = bytes.fromhex("".join(lines[3:]))
    if isinstance(exif, bytes):
        check_directory(exif.removeprefix(_EXIF_SEGMENTS[0]))


def check_pixels(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Raise `ImageError` for an opened image whose pixels cost more to decode than their number."""
    if image.format in ("JPEG", "MPO"):
        _check_scans(image, data, limits)
    elif image.format == "TIFF":
        _check_tiff(image, data, limits)


def check_directory(data: bytes | memoryview) -> None:
    """Raise `ImageError` where the entries of a TIFF directory refer to the same bytes.

    Whatever is not a directory passes: it is refused, or ignored, where it is read.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 10:
        return
    start = int(np.frombuffer(data, f"{order}u4", 1, 4)[0])
    if start + 2 > len(data):
        return
    count = int(np.frombuffer(data, f"{order}u2", 1, start)[0])
    count = min(count, (len(data) - start - 2) // 12)
    entries = np.frombuffer(data, _ENTRIES[order], count, start + 2)
    sizes = entries["n"].astype(np.int64) * _SIZES[entries["type"]]
    inside = (sizes > 4) & (entries["place"] + sizes <= len(data))
    if int(sizes[inside].sum()) > 4 * len(data):
        raise DamagedError(_OVERLAPPING)


def _segments(data: bytes) -> dict[bytes, bytes]:
    """The EXIF and MPF segments of a JPEG; several of a kind are joined, as Pillow joins them."""
    found: dict[bytes, bytes] = {}
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        if data[place + 1] == 0xFF:  # a fill byte
            place += 1
            continue
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] in (0xE1, 0xE2):
            for kind in _EXIF_SEGMENTS:
                if data.startswith(kind, place + 4):
                    content = data[place + 4 + len(kind) : place + 2 + length]
                    found[kind] = found.get(kind, b"") + content
        place += 2 + length
    return found


def _check_scans(image: Image.Image, data: bytes, limits: Limits) -> None:
    if not (image.info.get("progressive") or _first_scan_is_partial(image, data)):
        return  # one scan is decoded, whatever follows
    scans = data.count(_SCAN)  # at least as many as there are
    if scans > limits.max_scans:
        scans = count_scans(data)
    if scans > limits.max_scans:
        raise ImageError(
            f"{scans:,} scans are more than the {limits.max_scans:,} allowed",
            remedy="Save it again as a baseline JPEG.",
        )
    if scans > _MANY_SCANS:
        image.decodermaxblock = _PIECE_BYTES  # type: ignore[attr-defined]


def _first_scan_is_partial(image: Image.Image, data: bytes) -> bool:
    """Whether the scan at which opening stopped has some of the components only."""
    end = image.fp.tell()  # type: ignore[attr-defined]
    layers = int(getattr(image, "layers", 3))
    length = 6 + 2 * layers
    whole = _SCAN + length.to_bytes(2, "big") + bytes([layers])
    return not data.startswith(whole, max(0, end - length - 2))


def count_scans(data: bytes) -> int:
    """The scans of a JPEG up to its end, without those of previews in its metadata."""
    scans, place = 0, 2
    while found := _MARKER.search(data, place):
        marker, place = data[found.end() - 1], found.end()
        if marker == _END:
            break
        scans += marker == _SCAN[1]
        if marker not in _ALONE:
            place += int.from_bytes(data[place : place + 2], "big")
    return scans


def _check_tiff(image: Image.Image, data: bytes, limits: Limits) -> None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    counts = [_numbers(tags.get(tag)) for tag in _BYTE_COUNTS]
    if any(sum(each) > 2 * len(data) + 65_536 for each in counts):
        raise DamagedError(_OVERLAPPING)
    width, height = (max(_numbers(tags.get(tag)), default=0) for tag in _TILE_SIDES)
    if width * height > limits.max_pixels:
        raise ImageError(
            f"tiles of {width} × {height} pixels are more than the {limits.max_pixels:,} allowed",
            remedy="Save it again without tiles.",
        )
    if tags.get(_COMPRESSION) in (6, 7):
        pieces = max(1, *map(len, counts))
        scans = data.count(_SCAN)
        if scans > 4 * pieces + limits.max_scans:
            raise ImageError(f"{scans:,} scans of JPEG data in {pieces:,} strips or tiles")


def _numbers(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(int(each) for each in values if isinstance(each, int | float))
