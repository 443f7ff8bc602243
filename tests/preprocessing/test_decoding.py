"""Image files as the world has them: odd modes must work, hostile bytes must cost nothing."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_serve.preprocessing import (
    FORMATS,
    MAX_PIXELS,
    SUFFIXES,
    ImageError,
    Limits,
    Preprocessing,
    decode,
    orientation_in,
    orientation_of,
    upright,
)

ORIENTATION = 0x0112
COLOURS = np.array([[[200, 30, 40], [20, 180, 60]], [[10, 20, 190], [220, 210, 30]]], np.uint8)
BLOCKS = COLOURS.repeat(16, axis=0).repeat(24, axis=1)  # [32,48,3], four flat colours


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        total = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + total

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def bomb() -> bytes:
    """A whole 50,000 × 50,000 one-bit PNG of 312 MB pixel data in a few hundred kilobytes."""
    compressor = zlib.compressobj(9)
    block = bytes((50_000 // 8 + 1) * 200)
    head = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    return png(50_000, 50_000, 1, 0, head + again * 249 + compressor.flush())


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(BLOCKS), name)
    (tmp_path / "image").write_bytes(data)
    for source in (data, tmp_path / "image"):
        image = decode(source)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), BLOCKS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 90}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_compressed_formats_come_back_nearly(name: str, options: dict[str, object]) -> None:
    pixels = np.asarray(decode(encoded(Image.fromarray(BLOCKS), name, **options)), dtype=int)
    assert np.median(np.abs(pixels - BLOCKS)) <= 3


def test_a_phone_s_jpeg_of_several_pictures_is_the_first() -> None:
    other = Image.new("RGB", (48, 32))
    data = encoded(Image.fromarray(BLOCKS), "MPO", save_all=True, append_images=[other], quality=95)
    pixels = np.asarray(decode(data), dtype=int)
    assert np.median(np.abs(pixels - BLOCKS)) <= 3


def test_cmyk_jpeg() -> None:
    data = encoded(Image.fromarray(BLOCKS).convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    pixels = np.asarray(decode(data), dtype=int)
    assert np.median(np.abs(pixels - BLOCKS)) <= 4


def test_cmyk_is_rgb_whether_or_not_adobe_inverted_it() -> None:
    """Pillow writes Adobe's inverted CMYK into a JPEG, and plain CMYK into a TIFF."""
    cmyk = Image.fromarray(BLOCKS).convert("CMYK")
    jpeg = encoded(cmyk, "JPEG", quality=95)
    assert b"Adobe" in jpeg
    for data in (jpeg, encoded(cmyk, "TIFF")):
        pixels = np.asarray(decode(data), dtype=int)
        assert np.median(np.abs(pixels - BLOCKS)) <= 4


def test_16_bit_grey_png_is_scaled_and_not_clipped() -> None:
    grey = np.array([[0, 0x00FF, 0x0100], [0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    data = encoded(Image.fromarray(grey), "PNG")
    assert Image.open(io.BytesIO(data)).mode.startswith("I")
    np.testing.assert_array_equal(np.asarray(decode(data))[..., 0], [[0, 0, 1], [0x7F, 0x80, 0xFF]])


def test_16_bit_colour_png() -> None:
    row = b"\x00" + struct.pack(">HHH", 0xC8C8, 0x1E00, 0x28FF) * 2
    image = decode(png(2, 1, 16, 2, zlib.compress(row)))
    np.testing.assert_array_equal(np.asarray(image), [[[0xC8, 0x1E, 0x28]] * 2])


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80\xff"])
def test_palette_png_keeps_its_colours(transparency: object) -> None:
    image = Image.fromarray(BLOCKS).quantize(4)
    options = {} if transparency is None else {"transparency": transparency}
    data = encoded(image, "PNG", **options)
    assert Image.open(io.BytesIO(data)).mode == "P"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = np.asarray(decode(data), dtype=int)
    assert np.abs(pixels - np.asarray(image.convert("RGB"), dtype=int)).max() == 0
    assert np.abs(pixels - BLOCKS).max() <= 4


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_dropped_and_the_colour_below_kept(mode: str) -> None:
    image = Image.fromarray(BLOCKS).convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    np.testing.assert_array_equal(
        np.asarray(decode(encoded(image, "PNG"))),
        np.asarray(Image.fromarray(BLOCKS).convert("L" if mode == "LA" else "RGB").convert("RGB")),
    )


def test_greyscale_and_one_bit_become_three_equal_channels() -> None:
    grey = Image.fromarray(BLOCKS).convert("L")
    pixels = np.asarray(decode(encoded(grey, "PNG")))
    np.testing.assert_array_equal(pixels, np.asarray(grey)[..., None].repeat(3, axis=2))
    checks = np.indices((8, 8)).sum(axis=0) % 2 == 1
    pixels = np.asarray(decode(encoded(Image.fromarray(checks), "PNG")))
    np.testing.assert_array_equal(pixels, checks[..., None].repeat(3, axis=2) * 255)


def test_an_animated_gif_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (9, 7), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    for name in ("GIF", "WEBP", "PNG", "AVIF"):
        options = {"lossless": True} if name == "WEBP" else {}
        options = {"quality": 100} if name == "AVIF" else options
        data = encoded(frames[0], name, save_all=True, append_images=frames[1:], **options)
        assert Image.open(io.BytesIO(data)).n_frames == 2
        np.testing.assert_allclose(decode(data).getpixel((4, 3)), (250, 0, 0), atol=3)


# What a viewer must do to the stored pixels, by the definition of the EXIF orientation tag.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
    9: lambda a: a,  # no such orientation
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(BLOCKS[:, :40])
    data = encoded(stored, "PNG", exif=exif)
    found = decode(data)
    np.testing.assert_array_equal(np.asarray(found), UPRIGHT[orientation](np.asarray(stored)))
    assert orientation_of(found) == (orientation if 1 <= orientation <= 8 else 1)
    assert orientation_in(data) == orientation_of(found)
    opened = upright(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(found))
    assert orientation_of(opened) == orientation_of(found)


def test_the_orientation_behind_the_pixels_of_a_png_is_seen() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    data = encoded(Image.fromarray(BLOCKS), "PNG", exif=exif)
    place = data.index(b"eXIf") - 4
    end = place + 12 + int.from_bytes(data[place : place + 4], "big")
    last = data.index(b"IEND") - 4
    moved = data[:place] + data[end:last] + data[place:end] + data[last:]
    assert orientation_in(moved) == orientation_of(decode(moved)) == 3


def test_the_orientation_is_read_without_the_pixels() -> None:
    for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        data = encoded(noise(), name)
        assert orientation_in(data) == 1
        if name != "WEBP":  # whose header has the length of the file
            assert orientation_in(data[: len(data) * 3 // 4]) == 1, name
    for data in (b"", b"<html>", b"\x89PNG\r\n\x1a\n broken"):
        with pytest.raises(ImageError):
            orientation_in(data)


def test_orientation_is_applied_to_other_modes_too() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = np.arange(0, 60_000, 1000, dtype=np.uint16).reshape(6, 10)
    data = encoded(Image.fromarray(grey), "PNG", exif=exif)
    np.testing.assert_array_equal(np.asarray(decode(data))[..., 0], np.rot90(grey >> 8, -1))


def test_broken_exif_does_not_cost_the_picture() -> None:
    """A resolution that says it is text: it can be read past, but not be written again."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[0x011A] = 2.0
    raw = bytearray(exif.tobytes())
    place = raw.index(struct.pack(">HH", 0x011A, 5))
    raw[place : place + 8] = struct.pack(">HHI", 0x011A, 2, 3)
    data = encoded(Image.fromarray(BLOCKS), "JPEG", exif=bytes(raw))
    assert decode(data).size == (32, 48)


def test_a_truncated_file_is_refused_wherever_it_is_cut() -> None:
    for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        data = encoded(noise(), name)
        for length in (1, 8, 20, len(data) // 2, len(data) * 3 // 4):
            with pytest.raises(ImageError):
                decode(data[:length])


def noise() -> Image.Image:
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, I am a text file", "not an image.*JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG.*Render it"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "image"),
        (encoded(Image.new("RGB", (9, 9)), "EPS"), "PostScript"),  # would start Ghostscript
        (encoded(Image.new("F", (9, 9), 0.5), "TIFF"), "floating-point"),
        (png(0, 5, 8, 2, b""), "image"),
    ],
)
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        decode(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="directory"):
        decode(tmp_path)


def test_a_bomb_is_refused_quickly_and_without_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    assert path.stat().st_size < 500_000
    program = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from resnet_serve.preprocessing import ImageError, decode\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, started = used(), time.process_time()\n"
        "try: decode(Path(sys.argv[1]))\n"
        "except ImageError as error: print(error)\n"
        "print(used() - before, time.process_time() - started)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    message, cost = done.stdout.splitlines()
    memory_kib, seconds = map(float, cost.split())
    assert message.endswith("too large to decode: 2,500,000,000 pixels. Scale it down first.")
    assert memory_kib < 40_000
    assert seconds < 2
    assert done.stderr == ""


def test_a_smaller_bomb_is_refused_by_our_own_limit_without_a_warning() -> None:
    data = png(10_000, 10_000, 1, 0, zlib.compress(bytes(1251 * 10_000), 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"10000 × 10000 .*64,000,000.*Scale it down"):
            decode(data)


def test_the_limit_can_be_set() -> None:
    data = encoded(Image.fromarray(BLOCKS), "PNG")
    assert decode(data, Limits(32 * 48)).size == (48, 32)
    with pytest.raises(ImageError, match="48 × 32"):
        decode(data, Limits(32 * 48 - 1))
    assert MAX_PIXELS >= 7680 * 4320


SAMPLES = [encoded(noise(), name) for name in FORMATS]


@settings(max_examples=300)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
@example(SAMPLES[0], [], 0)
def test_hostile_bytes_give_an_image_or_an_image_error(
    sample: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(sample[: len(sample) - cut])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = decode(bytes(data), Limits(1_000_000))
        pixels = Preprocessing(resize=8, crop=(8, 8)).pixels(image)
    except ImageError:
        return
    assert pixels.shape == (8, 8, 3)


def test_the_suffixes_are_all_that_pillow_has_for_the_formats() -> None:
    known = {end for end, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert known | {".mpo"} == set(SUFFIXES)
    first = encoded(Image.fromarray(BLOCKS), "MPO", save_all=True, append_images=[])
    assert decode(first).size == (48, 32)
