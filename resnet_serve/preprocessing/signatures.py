"""Signatures: what the first bytes of a file say it is, for files that are not decoded."""

from __future__ import annotations

from resnet_serve.preprocessing.limits import ImageError

_CONVERT = "Convert it to JPEG or PNG."
_HEIC = "Convert it to JPEG or PNG, for example: heif-convert photo.heic photo.jpg"
_BRANDS = {
    b"heic": ("HEIC", _HEIC),
    b"heix": ("HEIC", _HEIC),
    b"hevc": ("HEIC", _HEIC),
    b"heim": ("HEIC", _HEIC),
    b"heis": ("HEIC", _HEIC),
    b"mif1": ("HEIF", _HEIC),
    b"msf1": ("HEIF", _HEIC),
    b"avif": ("AVIF", "pip install --upgrade pillow, or convert it to JPEG or PNG."),
    b"avis": ("AVIF", "pip install --upgrade pillow, or convert it to JPEG or PNG."),
    b"crx ": ("a raw photograph (CR3)", _CONVERT),
    b"isom": ("a video (MP4)", "Extract its frames as images."),
    b"mp42": ("a video (MP4)", "Extract its frames as images."),
}
_STARTS = {
    b"\x00\x00\x00\x0cJXL ": ("JPEG XL", _CONVERT),
    b"\xff\x0a": ("JPEG XL", _CONVERT),
    b"\x00\x00\x00\x0cjP  ": ("JPEG 2000", _CONVERT),
    b"\xff\x4f\xff\x51": ("JPEG 2000", _CONVERT),
    b"%PDF": ("a PDF", _CONVERT),
    b"%!PS": ("PostScript", _CONVERT),
    b"8BPS": ("a Photoshop file", _CONVERT),
    b"DDS ": ("a DDS texture", _CONVERT),
    b"\x93NUMPY": ("a NumPy array", "Save it as PNG: Image.fromarray(array).save(path)."),
    b"version https://git-lfs": ("a Git LFS pointer, not the image", "Run: git lfs pull"),
    b"<svg": ("SVG", "Render it to PNG."),
}


def not_decoded(data: bytes, readable: tuple[str, ...]) -> ImageError:
    """The error for bytes that are none of the `readable` formats, with what they are if known."""
    found = None
    if data[4:8] == b"ftyp":
        found = _BRANDS.get(data[8:12])
    for start, named in _STARTS.items():
        if data.startswith(start):
            found = named
    if found is not None:
        return ImageError(
            f"not an image in a format that is decoded: it is {found[0]}", remedy=found[1]
        )
    return ImageError("not an image", remedy=f"Give one of {', '.join(readable)}.")
