"""Resize, crop and padding against torchvision's and timm's, restated here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_images import noise
from PIL import Image, ImageOps

from resnet_serve.preprocessing import ImageError, Preprocessing, geometry

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def torchvision_resize(
    image: Image.Image, resize: int | tuple[int, int], interpolation: str
) -> Image.Image:
    """`Resize(resize)` of a Pillow image, restated from torchvision 0.28.

    `transforms/functional.py`: `_compute_resized_output_size`;
    `transforms/_functional_pil.py`: `resize`.
    """
    if isinstance(resize, tuple):
        return image.resize((resize[1], resize[0]), FILTERS[interpolation])
    width, height = image.size
    if width <= height:
        new_width, new_height = resize, int(resize * height / width)
    else:
        new_width, new_height = int(resize * width / height), resize
    return image.resize((new_width, new_height), FILTERS[interpolation])


def timm_longest(image: Image.Image, resize: int, interpolation: str) -> Image.Image:
    """`ResizeKeepRatio(resize, longest=1.0)`, restated from timm's `data/transforms.py`."""
    height, width = image.size[::-1]
    ratio = max(height / resize, width / resize)
    new_height, new_width = (max(1, round(side / ratio)) for side in (height, width))
    return image.resize((new_width, new_height), FILTERS[interpolation])


def center_crop(
    image: Image.Image, crop: tuple[int, int], fill: tuple[int, ...] = (0, 0, 0)
) -> np.ndarray:
    """`CenterCrop(crop)` of torchvision 0.28, or timm's `CenterCropOrPad` with a `fill`.

    `transforms/functional.py`: `center_crop`; `transforms/_functional_pil.py`: `pad` (which is
    `ImageOps.expand`), `crop`.
    """
    new_width, new_height = image.size
    crop_height, crop_width = crop
    if crop_width > new_width or crop_height > new_height:
        padding = (
            (crop_width - new_width) // 2 if crop_width > new_width else 0,
            (crop_height - new_height) // 2 if crop_height > new_height else 0,
            (crop_width - new_width + 1) // 2 if crop_width > new_width else 0,
            (crop_height - new_height + 1) // 2 if crop_height > new_height else 0,
        )
        image = ImageOps.expand(image, border=padding, fill=fill)
    top = round((image.height - crop_height) / 2.0)
    left = round((image.width - crop_width) / 2.0)
    return np.asarray(image.crop((left, top, left + crop_width, top + crop_height)))


def torchvision_pixels(
    image: Image.Image, resize: int | tuple[int, int], crop: tuple[int, int], interpolation: str
) -> np.ndarray:
    return center_crop(torchvision_resize(image, resize, interpolation), crop)


sides = st.integers(1, 90)


@settings(max_examples=300)
@given(
    sides,
    sides,
    st.integers(1, 70) | st.tuples(sides, sides),
    sides,
    sides,
    st.sampled_from(sorted(FILTERS)),
)
def test_geometry_is_torchvision_s(
    height: int,
    width: int,
    resize: int | tuple[int, int],
    crop_height: int,
    crop_width: int,
    interpolation: str,
) -> None:
    image = noise(height, width)
    crop = (crop_height, crop_width)
    ours = Preprocessing(resize=resize, crop=crop, interpolation=interpolation).pixels(image)
    assert ours.shape == (crop_height, crop_width, 3)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, torchvision_pixels(image, resize, crop, interpolation))


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 480), (375, 500), (333, 501), (257, 257), (20, 31)]
)
@pytest.mark.parametrize("resize", [256, 232, 225])
def test_geometry_of_the_published_weights(height: int, width: int, resize: int) -> None:
    image = noise(height, width)
    np.testing.assert_array_equal(
        Preprocessing(resize=resize).pixels(image),
        torchvision_pixels(image, resize, (224, 224), "bilinear"),
    )


@settings(max_examples=60)
@given(
    st.integers(8, 900),
    st.integers(8, 900),
    st.sampled_from([8, 64, 256, (64, 128), (48, 32)]),
    st.integers(1, 60),
    st.sampled_from(sorted(FILTERS)),
    st.sampled_from(["RGB", "L"]),
)
def test_what_the_crop_leaves_out_is_not_missed(
    height: int,
    width: int,
    resize: int | tuple[int, int],
    crop: int,
    interpolation: str,
    mode: str,
) -> None:
    image = noise(height, width).convert(mode)
    channels = (0.5,) * len(image.getbands())
    how = Preprocessing(
        resize=resize,
        crop=(crop, crop),
        interpolation=interpolation,
        mean=channels,
        std=channels,
        resize_mode="" if isinstance(resize, int) else "exact",
    )
    whole = torchvision_resize(image, resize, interpolation)
    expected = center_crop(whole, (crop, crop), (0,) * len(channels))
    np.testing.assert_array_equal(how.pixels(image), expected.reshape(crop, crop, -1))


@pytest.mark.parametrize(
    ("source", "resized", "computed"),
    [
        ((640, 480), (341, 256), (341, 224)),
        ((375, 500), (256, 341), (224, 341)),
        ((512, 512), (256, 256), (224, 224)),
        ((640, 480), (309, 232), (309, 232)),  # 480/232 has no end in binary
        ((200, 100), (400, 200), (224, 200)),  # the crop is higher than that
        ((300, 900), (256, 768), (256, 768)),  # Pillow 13 begins with the columns
        ((65_536, 480), (256, 256), (224, 224)),
        ((65_537, 480), (256, 256), (256, 224)),  # FP32 cannot hold n times 65537/256
    ],
)
def test_only_what_is_the_same_in_the_crop_is_computed_alone(
    source: tuple[int, int], resized: tuple[int, int], computed: tuple[int, int]
) -> None:
    found = geometry.resize(Image.new("L", source), resized, "bilinear", kept=(224, 224))
    assert found.size == computed


def test_a_very_tall_image_is_resized_whole() -> None:
    """A Pillow before 13 would begin with the columns for the part, with the rows for the whole."""
    found = geometry.resize(Image.new("L", (10, 1001)), (8, 1024), "bilinear", kept=(1000, 4))
    assert found.size == (8, 1024)


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 6, 7])
def test_a_crop_larger_than_the_image_is_padded_with_black_the_larger_half_after(
    missing: int,
) -> None:
    image = noise(10, 10)
    pixels = Preprocessing(resize=10, crop=(10 + missing, 10)).pixels(image)
    before = missing // 2
    assert not pixels[:before].any()
    np.testing.assert_array_equal(pixels[before : before + 10], np.asarray(image))
    assert not pixels[before + 10 :].any()


@settings(max_examples=150)
@given(
    sides,
    sides,
    st.integers(1, 70),
    sides,
    st.sampled_from(sorted(FILTERS)),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_longest_side_with_borders_is_timm_s(
    height: int, width: int, resize: int, crop: int, interpolation: str, fill: tuple[int, ...]
) -> None:
    image = noise(height, width)
    how = Preprocessing(
        resize=resize,
        resize_mode="longest",
        crop=(crop, crop),
        interpolation=interpolation,
        fill=fill,
    )
    expected = center_crop(timm_longest(image, resize, interpolation), (crop, crop), fill)
    np.testing.assert_array_equal(how.pixels(image), expected)


@given(sides, sides, sides, sides, st.integers(0, 255))
def test_without_a_resize_it_is_a_crop(
    height: int, width: int, crop_height: int, crop_width: int, fill: int
) -> None:
    image, crop = noise(height, width), (crop_height, crop_width)
    how = Preprocessing(resize=None, crop=crop, fill=fill)
    np.testing.assert_array_equal(how.pixels(image), center_crop(image, crop, (fill,) * 3))


def test_two_numbers_change_the_shape_before_the_crop() -> None:
    """`Resize((256, 256))`, `CenterCrop(224)`: neither a squeeze to 224 nor a shorter side."""
    image = noise(40, 90)
    found = Preprocessing(resize=(36, 36), crop=(32, 32)).pixels(image)
    np.testing.assert_array_equal(found, np.asarray(image.resize((36, 36), 2))[2:34, 2:34])
    for other in (Preprocessing(36, (32, 32)), Preprocessing((32, 32), (32, 32))):
        assert (other.pixels(image) != found).any()


def test_padding_of_grey_images_has_one_level() -> None:
    how = Preprocessing(resize=None, crop=(8, 8), mean=(0.5,), std=(0.5,), fill=9)
    pixels = how.pixels(Image.new("L", (4, 4), 200))
    assert pixels.shape == (8, 8, 1)
    assert set(np.unique(pixels)) == {9, 200}


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_a_long_and_narrow_image_is_refused_before_it_is_enlarged(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"too long and narrow.*15,360,000"):
        Preprocessing().pixels(Image.new("RGB", size))
