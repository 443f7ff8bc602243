"""Integers of more than 8 bits: white is declared, certain by the format, or asked for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image

from resnet_serve.preprocessing import ImageError, decode
from resnet_serve.preprocessing.modes import from_array, to_rgb

RAMP = (np.indices((16, 16)).sum(0) * 8).clip(0, 255).astype(np.uint8)
BITS, PHOTOMETRIC, MAX_SAMPLE_VALUE, SAMPLE_FORMAT = 258, 262, 281, 339


def tiff(
    values: np.ndarray, bits: int, data: bytes | None = None, tags: Mapping[int, int] | None = None
) -> bytes:
    """A grey TIFF of one strip, little endian; `data` are its packed samples."""
    height, width = values.shape
    data = values.astype(f"<u{bits // 8}").tobytes() if data is None else data
    fields = {256: width, 257: height, 259: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    fields |= {BITS: bits, PHOTOMETRIC: 1, **(tags or {})}
    directory = struct.pack("<H", len(fields))
    for tag, value in sorted(fields.items()):
        directory += struct.pack("<HHII", tag, 4 if value > 0xFFFF or tag > 270 else 3, 1, value)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory + bytes(4)


def png(values: np.ndarray, colour: int = 0, significant: int | None = None) -> bytes:
    """A PNG of 16 bits; `significant` is its sBIT."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    bands = 1 if colour == 0 else 3
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + (b"" if significant is None else chunk(b"sBIT", bytes([significant] * bands)))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def grey(data: bytes) -> np.ndarray:
    pixels = np.asarray(decode(data))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def packed_12(values: np.ndarray) -> bytes:
    """Rows of 12-bit samples, two in three bytes."""
    pairs = values.astype(int).reshape(len(values), -1, 2)
    first, second = pairs[..., 0], pairs[..., 1]
    three = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
    return np.stack(three, axis=-1).astype(np.uint8).tobytes()


WIDE = RAMP.astype(np.uint32)
SAME = {
    "32 bits that hold 8": tiff(WIDE, 32),
    "32 bits, signed": tiff(WIDE, 32, tags={SAMPLE_FORMAT: 2}),
    "32 bits by Pillow": None,
    "32 bits with white 65535": tiff(WIDE * 257, 32, tags={MAX_SAMPLE_VALUE: 65535}),
    "16 bits": tiff(WIDE * 257, 16),
    "16 bits, white is 0": tiff(65535 - WIDE * 257, 16, tags={PHOTOMETRIC: 0}),
    "16 bits with white 4095": tiff(WIDE * 16, 16, tags={MAX_SAMPLE_VALUE: 4095}),
    "16 bits with white 255": tiff(WIDE, 16, tags={MAX_SAMPLE_VALUE: 255}),
    "16 bits with its own maximum": tiff(WIDE * 256, 16, tags={MAX_SAMPLE_VALUE: 61440}),
    "12 bits": tiff(WIDE, 12, packed_12(WIDE * 16)),
    "PNG of 16 bits": png(WIDE * 257),
    "PNG of 12 bits, scaled": png(WIDE * 257, significant=12),
    "PNG of 12 bits, not scaled": png(WIDE * 16, significant=12),
    "PGM of 16 bits": b"P5 16 16 65535\n" + (WIDE * 257).astype(">u2").tobytes(),
    "PGM of 12 bits": b"P5 16 16 4095\n" + (WIDE * 16).astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_pixels_are_those_of_the_same_image_of_8_bits(kind: str) -> None:
    data = SAME[kind]
    if data is None:
        buffer = io.BytesIO()
        Image.fromarray(RAMP.astype(np.int32)).save(buffer, "TIFF")
        data = buffer.getvalue()
    difference = np.abs(grey(data).astype(int) - RAMP)
    assert difference.max() <= (1 if kind == "PGM of 12 bits" else 0)


REFUSED = {
    "32 bits above 255": (tiff(WIDE * 16, 32), "its 32-bit values end at 3,840"),
    "32 bits of depth": (tiff(WIDE * 70000, 32), "its 32-bit values end at 16,800,000"),
    "16 bits that hold 12": (tiff(WIDE * 16, 16), "its 16-bit values end at 3,840"),
    "16 bits that hold 8": (tiff(WIDE, 16), "its 16-bit values end at 240"),
    "PNG that holds 12 bits": (png(WIDE * 16), "its 16-bit values end at 3,840"),
    "negative": (tiff(WIDE, 32, (WIDE.astype("<i4") - 3).tobytes(), {SAMPLE_FORMAT: 2}), "below 0"),
    "above its own white": (tiff(WIDE, 16, tags={MAX_SAMPLE_VALUE: 127}), "end at 240"),
    "above white": (
        tiff(WIDE * 32, 16, tags={MAX_SAMPLE_VALUE: 4095}),
        "a value of 7,680 above its white of 4,095",
    ),
    "colour PNG of 12 bits": (
        png(np.stack([WIDE * 16] * 3, axis=-1), colour=2),
        "its 16-bit values are below 4,096",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_unknown_white_is_refused_and_not_guessed(kind: str) -> None:
    data, message = REFUSED[kind]
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert message in str(caught.value)
    assert "8 bits" in str(caught.value.remedy)


def test_the_remedies_for_an_unknown_white_work() -> None:
    values = WIDE * 16  # of 12 bits
    with pytest.raises(ImageError, match=r"value · 255 / white.*MaxSampleValue.*sBIT"):
        decode(tiff(values, 16))
    declared = grey(tiff(values, 16, tags={MAX_SAMPLE_VALUE: 4095}))
    np.testing.assert_array_equal(grey(png(values, significant=12)), declared)
    buffer = io.BytesIO()
    Image.fromarray((values * 255 / 4095).astype(np.uint8)).save(buffer, "PNG")
    assert np.abs(grey(buffer.getvalue()).astype(int) - declared).max() <= 1


def test_black_is_black_in_any_depth() -> None:
    for data in (tiff(WIDE * 0, 16), tiff(WIDE * 0, 32), png(WIDE * 0)):
        assert not grey(data).any()


def test_an_image_that_was_never_a_file_has_the_same_rules() -> None:
    assert (np.asarray(to_rgb(Image.fromarray(RAMP.astype(np.int32))))[..., 0] == RAMP).all()
    with pytest.raises(ImageError, match="which value is white"):
        to_rgb(Image.fromarray(RAMP.astype(np.uint16) * 16))
    with pytest.raises(ImageError, match="floating-point"):
        to_rgb(Image.new("F", (2, 2)))


def test_an_array_is_grey_or_has_colours() -> None:
    assert from_array(np.zeros((2, 3), np.uint8)).mode == "L"
    assert from_array(np.zeros((2, 3, 3), np.uint8)).mode == "RGB"
    assert from_array(np.zeros((2, 3, 4), np.uint8)).mode == "RGBA"
    assert from_array(np.zeros((2, 3, 1), np.uint8)).mode == "L"
    with pytest.raises(ImageError, match=r"this is uint8 \[2, 3, 5\]"):
        from_array(np.zeros((2, 3, 5), np.uint8))
