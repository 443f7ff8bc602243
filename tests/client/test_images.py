"""Every form of an image as a picture and as a file, without a server."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from tempfile import SpooledTemporaryFile

import image_files
import numpy as np
import pytest
from PIL import Image

from resnet_client.errors import BadImageError
from resnet_client.images import encoded, name_of, picture, pixels, read_once
from resnet_serve.preprocessing import Preprocessing


def test_a_path_is_the_name_in_messages(tmp_path: Path) -> None:
    assert name_of(tmp_path / "cat.png") == str(tmp_path / "cat.png")
    assert name_of(b"\x89PNG") == name_of(np.zeros((2, 2, 3), np.uint8)) == "image"


def test_every_form_is_the_same_picture(tmp_path: Path) -> None:
    photograph = image_files.photograph()
    data = image_files.saved(photograph, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    forms = (path, str(path), data, bytearray(data), np.asarray(photograph), photograph)
    with path.open("rb") as opened, SpooledTemporaryFile() as spooled:
        spooled.write(data)
        spooled.seek(0)
        files = (opened, io.BytesIO(data), spooled)
        found = [np.asarray(picture(file)) for file in files]
    for each in (*found, *(np.asarray(picture(form)) for form in forms)):
        np.testing.assert_array_equal(each, np.asarray(photograph))


def test_a_file_is_sent_unchanged_and_a_picture_without_loss() -> None:
    photograph = image_files.photograph()
    jpeg = image_files.saved(photograph, "JPEG")
    assert encoded(jpeg) == jpeg
    sent = Image.open(io.BytesIO(encoded(photograph)))
    assert sent.format == "PNG"
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(photograph))


def test_a_rotated_picture_is_upright() -> None:
    turned = Image.open(io.BytesIO(image_files.unusual()["rotated"]))
    np.testing.assert_array_equal(np.asarray(picture(turned)), np.asarray(image_files.photograph()))


def test_pixels_are_those_of_the_preprocessing() -> None:
    geometry = Preprocessing(resize=20, crop=(16, 24))
    photograph = image_files.photograph()
    np.testing.assert_array_equal(pixels(photograph, geometry), geometry.pixels(photograph))


@pytest.mark.parametrize("reason", image_files.bad())
def test_a_bad_image_is_an_error_of_one_line(reason: str) -> None:
    with pytest.raises(BadImageError, match=reason) as caught:
        picture(image_files.bad()[reason])
    assert "\n" not in str(caught.value)
    assert caught.value.where == "image"


def test_an_array_may_be_transparent_or_grey() -> None:
    photograph = image_files.photograph()
    clear = np.asarray(photograph.convert("RGBA")).copy()
    clear[..., 3] = 7
    np.testing.assert_array_equal(np.asarray(picture(clear)), np.asarray(photograph))
    grey = np.asarray(photograph.convert("L"))
    np.testing.assert_array_equal(np.asarray(picture(grey[..., None])), np.asarray(picture(grey)))


def test_a_file_has_the_name_of_its_path_and_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    with path.open("rb") as opened:
        assert name_of(opened) == str(path)
        assert read_once(opened) == b"no image"
    assert name_of(io.BytesIO()) == "image"
    assert read_once(path) is path


def test_a_file_opened_as_text_is_refused() -> None:
    with pytest.raises(BadImageError, match=r"gives str, not bytes\. Open .*'rb'"):
        picture(io.StringIO("x"))  # type: ignore[arg-type]


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="/dev/zero: is a device, not an image"):
        picture(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(tmp_path / "s"))
        for read in (picture, encoded):
            with pytest.raises(BadImageError, match="is a socket, not an image"):
                read(tmp_path / "s")
