"""Files that are small and expensive are refused before their pixels; ordinary ones are not."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hostile_images import (
    HOSTILE,
    chunk,
    cyclic_tiff,
    encoded,
    grey_tiff,
    overlapping_exif,
    photo,
    scans,
    small_png,
    tiff,
)
from PIL import Image

from resnet_serve.preprocessing import ImageError, Limits, decode, orientation_in, structure

MIB = 1 << 20


@pytest.fixture(scope="module")
def hostile() -> dict[str, bytes]:
    with warnings.catch_warnings():  # Pillow reads the EXIF data that it writes
        warnings.simplefilter("ignore")
        return {name: make() for name, (make, _) in HOSTILE.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_one_line_and_without_memory(hostile: dict[str, bytes], name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=HOSTILE[name][1]) as caught:
            decode(hostile[name])
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak_bytes < 3 * len(hostile[name]) + 16 * MIB


@pytest.mark.parametrize("name", HOSTILE)
def test_its_header_alone_is_as_cheap(hostile: dict[str, bytes], name: str) -> None:
    with pytest.raises(ImageError, match=HOSTILE[name][1]):
        orientation_in(hostile[name])


@pytest.mark.parametrize("count", [10, 17, 100])
def test_the_scans_that_are_allowed_give_the_pixels_of_pillow(count: int) -> None:
    data = scans(count)
    assert structure.count_scans(data) == count
    expected = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(decode(data)), expected)
    with pytest.raises(ImageError, match=f"{count} scans are more than the {count - 1} allowed"):
        decode(data, Limits(max_scans=count - 1))


def test_what_looks_like_a_scan_outside_of_them_does_not_count() -> None:
    """The preview in the metadata of a photograph, and a film behind it."""
    data = encoded(photo(), "JPEG", progressive=True)
    preview = b"\xff\xfe" + struct.pack(">H", 2002) + b"\xff\xda" * 1000
    data = data[:2] + preview + data[2:] + b"\xff\xda" * 1000
    assert structure.count_scans(data) == 10
    assert decode(data).size == photo().size


def test_scans_of_single_colours_count_too() -> None:
    """A sequential JPEG whose first scan has one of three components: all scans are read."""
    data = bytearray(encoded(photo(), "JPEG"))
    start = data.rindex(b"\xff\xda")
    scan = b"\xff\xda\0\x08\x01\x01\x00\x00\x3f\x00" + data[start + 14 : -2]
    with pytest.raises(ImageError, match="301 scans"):
        decode(bytes(data[:start]) + scan * 301 + b"\xff\xd9")


def test_directories_in_a_circle_are_read_once() -> None:
    assert decode(cyclic_tiff()).size == (8, 8)


def test_strips_and_tiles_of_ordinary_files() -> None:
    for options in ({}, {"compression": "tiff_deflate"}, {"compression": "jpeg"}):
        data = encoded(photo(300, 400), "TIFF", **options)
        expected = np.asarray(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(np.asarray(decode(data)), expected)


def test_scans_in_the_strips_of_a_tiff() -> None:
    jpeg = scans(400)
    tags = {"t259": (3, 1, 7), "t273": (4, 1, 118), "t279": (4, 1, len(jpeg))}
    with pytest.raises(ImageError, match="400 scans of JPEG data in 1 strips"):
        decode(grey_tiff(64, 64, jpeg, **tags))


def test_a_directory_whose_entries_stay_apart() -> None:
    start = 8 + 2 + 12 * 3 + 4
    entries = {tag: (7, 1000, start + 1000 * place) for place, tag in enumerate((1, 2, 3))}
    structure.check_directory(tiff(entries, bytes(3000)))
    structure.check_directory(overlapping_exif()[:9])  # no directory is not for it to refuse
    for junk in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff\0\0", b"MM\0*" + b"\xff" * 40):
        structure.check_directory(junk)


def test_an_orientation_in_text_and_too_many_entries_in_it() -> None:
    def profile(exif: bytes) -> bytes:
        text = b"\nexif\n%d\n" % len(exif) + exif.hex().encode()
        return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))

    turned = tiff({0x0112: (3, 1, 6)})
    data = small_png(profile(b"Exif\0\0" + turned))
    assert orientation_in(data) == 6
    with pytest.raises(ImageError, match="its parts overlap"):
        decode(small_png(profile(b"Exif\0\0" + overlapping_exif())))


def test_several_segments_of_exif_are_one() -> None:
    data, exif = encoded(photo(), "JPEG"), overlapping_exif(100_000)
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(piece) + 8) + b"Exif\0\0" + piece
        for piece in (exif[:60_000], exif[60_000:])
    )
    with pytest.raises(ImageError, match="its parts overlap"):
        decode(data[:2] + segments + data[2:])


def test_many_blocks_of_metadata_in_an_avif() -> None:
    with pytest.raises(ImageError, match="17 blocks of metadata"):
        decode(encoded(photo(), "AVIF") + b"II*\0" * 17)
    assert decode(encoded(photo(), "AVIF") + b"II*\0" * 16).size == photo().size
