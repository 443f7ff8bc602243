"""Ten crops: torchvision's five_crop and ten_crop, written again in NumPy, say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from resnet_serve.crops import TenCrop
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import InputFileError, ResnetServeError, UsageError
from resnet_serve.preprocessing import Preprocessing

SHORTER = Preprocessing(resize=40, crop=(32, 24))
EXACT = Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")


def five_crop(image: NDArray[np.uint8], height: int, width: int) -> list[NDArray[np.uint8]]:
    """transforms/functional.py of torchvision, on an array [H,W,3]."""
    tall, wide = image.shape[:2]
    top, left = round((tall - height) / 2), round((wide - width) / 2)
    places = [(0, 0), (0, wide - width), (tall - height, 0), (tall - height, wide - width)]
    return [image[y : y + height, x : x + width] for y, x in [*places, (top, left)]]


def ten_crop(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.stack(five_crop(image, height, width) + five_crop(image[:, ::-1], height, width))


@pytest.mark.parametrize("size", [(50, 61), (61, 50), (40, 40), (45, 200)])
def test_the_crops_are_torchvisions(size: tuple[int, int]) -> None:
    picture = SyntheticImages(side=200).image(0).resize(size)
    short, long = sorted(size)
    longer = int(41 * long / short)
    resized = picture.resize(
        (41, longer) if size[0] <= size[1] else (longer, 41), Image.Resampling.BILINEAR
    )
    found = TenCrop(SHORTER, (41,)).pixels(picture)
    assert found.shape == (10, 32, 24, 3)
    np.testing.assert_array_equal(found, ten_crop(np.asarray(resized), 32, 24))


def test_the_centre_of_the_mirror_image_is_not_the_mirror_of_the_centre() -> None:
    """As in torchvision: the centre crop rounds, from the left, on either image."""
    crops = TenCrop(SHORTER, (43,)).pixels(SyntheticImages(side=43).image(0))
    assert not np.array_equal(crops[9], crops[4][:, ::-1])
    np.testing.assert_array_equal(crops[6], crops[0][:, ::-1])


def test_scale_follows_scale() -> None:
    picture = SyntheticImages(side=64).image(1)
    both = TenCrop(SHORTER, (32, 48))
    assert len(both) == 20
    alone = [TenCrop(SHORTER, (scale,)).pixels(picture) for scale in both.scales]
    np.testing.assert_array_equal(both.pixels(picture), np.concatenate(alone))


def test_images_that_are_stretched_keep_the_shape_of_the_crop() -> None:
    wide = Preprocessing((32, 48), (32, 48))
    picture = SyntheticImages(side=64).image(2)
    resized = np.asarray(picture.resize((60, 40), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(TenCrop(wide, (40,)).pixels(picture), ten_crop(resized, 32, 48))


def test_images_that_are_stretched_and_cropped_keep_the_shape_of_the_resize() -> None:
    how = Preprocessing((36, 48), (32, 32))
    picture = SyntheticImages(side=64).image(2)
    resized = np.asarray(picture.resize((53, 40), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(TenCrop(how, (40,)).pixels(picture), ten_crop(resized, 32, 32))
    with pytest.raises(UsageError, match="the scale 31 is smaller"):
        TenCrop(how, (31,))


def test_crops_of_a_bgr_network_are_in_its_order() -> None:
    picture = SyntheticImages(side=64).image(1)
    bgr = replace(SHORTER, channel_order="bgr")
    np.testing.assert_array_equal(
        TenCrop(bgr, (40,)).pixels(picture), TenCrop(SHORTER, (40,)).pixels(picture)[..., ::-1]
    )


@pytest.mark.parametrize(
    "how", [Preprocessing(None, (32, 32)), Preprocessing(40, (32, 32), resize_mode="longest")]
)
def test_images_of_no_one_scale_are_refused(how: Preprocessing) -> None:
    with pytest.raises(UsageError, match="resized by their shorter side"):
        TenCrop(how, (40,))


def test_the_centre_is_what_the_preprocessing_alone_takes() -> None:
    picture = SyntheticImages(side=64).image(3)
    np.testing.assert_array_equal(
        TenCrop(SHORTER, (40,)).pixels(picture)[4], SHORTER.pixels(picture)
    )


@pytest.mark.parametrize(
    ("preprocessing", "scales", "said"),
    [
        (SHORTER, (31,), "the scale 31 is smaller than the crop of 32 × 24 pixels"),
        (SHORTER, (), "one or more scales"),
        (SHORTER, (40, 40), "each of them once"),
        (SHORTER, (9000,), "more than 64,000,000 pixels"),
        (EXACT, (32,), "all ten are the same. Give --scales above 32"),
    ],
)
def test_scales_that_make_no_sense_are_refused(
    preprocessing: Preprocessing, scales: tuple[int, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        TenCrop(preprocessing, scales)


def test_it_is_stored_and_read() -> None:
    crops = TenCrop(SHORTER, (40, 48))
    assert TenCrop.from_json(crops.to_json(), SHORTER) == crops


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scales": 3}', '{"scales": ["40"]}'])
def test_what_is_no_list_of_scales_is_refused(text: str) -> None:
    with pytest.raises(InputFileError, match=r"crops\.json"):
        TenCrop.from_json(text, SHORTER)


def test_stored_scales_are_checked_too() -> None:
    with pytest.raises(ResnetServeError, match="smaller than the crop"):
        TenCrop.from_json('{"scales": [1]}', SHORTER)
