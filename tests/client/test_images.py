"""Every form of an image as a picture and as a file, without a server."""

from __future__ import annotations

import io
from pathlib import Path

import image_files
import numpy as np
import pytest
from PIL import Image

from resnet_client.errors import BadImageError
from resnet_client.images import encoded, name_of, picture, pixels
from resnet_serve.preprocessing import Preprocessing


def test_a_path_is_the_name_in_messages(tmp_path: Path) -> None:
    assert name_of(tmp_path / "cat.png") == str(tmp_path / "cat.png")
    assert name_of(b"\x89PNG") == name_of(np.zeros((2, 2, 3), np.uint8)) == "image"


def test_every_form_is_the_same_picture(tmp_path: Path) -> None:
    photograph = image_files.photograph()
    data = image_files.saved(photograph, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for form in (path, str(path), data, bytearray(data), np.asarray(photograph), photograph):
        np.testing.assert_array_equal(np.asarray(picture(form)), np.asarray(photograph))


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
