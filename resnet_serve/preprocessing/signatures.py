"""Signatures: what the first bytes of a file say it is, for files that are not decoded."""

from __future__ import annotations

from resnet_serve.preprocessing.limits import ImageError

_CONVERT = "Convert it to JPEG or PNG."
_HEIC = "Convert it to JPEG or PNG, for example: heif-convert photo.heic photo.jpg"
_AVIF = "pip install --upgrade pillow, or convert it to JPEG or PNG."
_FRAMES = "Extract its frames as images."
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis")
# The bytes that tell a kind of file, their place, what it is, and what to do with it.
_SIGNATURES = (
    *((4, b"ftyp" + brand, "HEIC", _HEIC) for brand in _HEIC_BRANDS),
    *((4, b"ftyp" + brand, "HEIF", _HEIC) for brand in (b"mif1", b"msf1")),
    *((4, b"ftyp" + brand, "AVIF", _AVIF) for brand in (b"avif", b"avis")),
    *((4, b"ftyp" + brand, "a video (MP4)", _FRAMES) for brand in (b"isom", b"mp42", b"qt  ")),
    (4, b"ftypcrx ", "a raw photograph (CR3)", _CONVERT),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL", _CONVERT),
    (0, b"\xff\x0a", "JPEG XL", _CONVERT),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", _CONVERT),
    (0, b"%PDF", "a PDF", _CONVERT),
    (0, b"%!PS", "PostScript", _CONVERT),
    (0, b"8BPS", "a Photoshop file", _CONVERT),
    (0, b"DDS ", "a DDS texture", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", "Save it as PNG: Image.fromarray(array).save(path)."),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the image", "Run: git lfs pull"),
    (0, b"<svg", "SVG", "Render it to PNG."),
    (0, b"<!DOCTYPE html", "a web page", "Download the image itself."),
    (0, b"<!doctype html", "a web page", "Download the image itself."),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)", _CONVERT),
    (0, b"<html", "a web page", "Download the image itself."),
    (0, b"PK\x03\x04", "a zip archive", "Unpack it."),
    (0, b"\x00\x05\x16\x07", "a resource file of macOS", "Delete it: the image is beside it."),
)


def not_decoded(data: bytes, readable: tuple[str, ...]) -> ImageError:
    """The error for bytes that are none of the `readable` formats, with what they are if known."""
    for place, signature, kind, remedy in _SIGNATURES:
        if data.startswith(signature, place):
            return ImageError(
                f"not an image in a format that is decoded: it is {kind}", remedy=remedy
            )
    return ImageError("not an image", remedy=f"Give one of {', '.join(readable)}.")
