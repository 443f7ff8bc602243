"""Files that are not decoded are named, with what to do about them."""

from __future__ import annotations

import pytest

from resnet_serve.preprocessing import FORMATS, ImageError, decode
from resnet_serve.preprocessing.signatures import not_decoded


def container(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00mif1heic" + bytes(64)


@pytest.mark.parametrize(
    ("data", "name", "remedy"),
    [
        (container(b"heic"), "HEIC", "heif-convert"),
        (container(b"heix"), "HEIC", "heif-convert"),
        (container(b"mif1"), "HEIF", "heif-convert"),
        (container(b"crx "), "CR3", "Convert it"),
        (container(b"isom"), "a video", "frames"),
        (b"\xff\x0a" + bytes(40), "JPEG XL", "Convert it"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000", "Convert it"),
        (b"%PDF-1.7\n", "a PDF", "Convert it"),
        (b"<svg xmlns=''/>", "SVG", "Render it"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer", "git lfs pull"),
        (b"PK\x03\x04" + bytes(40), "a zip archive", "Unpack it"),
        (b"<!DOCTYPE html><html>", "a web page", "the image itself"),
        (b"\x00\x05\x16\x07" + bytes(40), "a resource file", "Delete it"),
        (b"\x93NUMPY\x01\x00", "a NumPy array", "Image.fromarray"),
    ],
)
def test_a_known_format_is_named(data: bytes, name: str, remedy: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert name in str(caught.value)
    assert remedy in str(caught.value.remedy)


def test_a_broken_avif_is_not_called_undecodable_here() -> None:
    """Pillow's wheels decode AVIF, so that this one is damaged, or Pillow has no decoder."""
    with pytest.raises(ImageError):
        decode(container(b"avif"))
    assert "AVIF" in not_decoded(container(b"avif"), FORMATS).what


def test_anything_else_gets_the_list_of_formats() -> None:
    error = not_decoded(b"hello", FORMATS)
    assert error.what == "not an image"
    assert all(name in str(error.remedy) for name in FORMATS)
