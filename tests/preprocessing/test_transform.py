"""The pixels a network sees: forms of images, order of channels, arithmetic of the formula."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_images import noise

from resnet_serve.preprocessing import ImageError, Preprocessing

sides = st.integers(1, 90)


def test_an_array_is_taken_as_an_rgb_or_a_grey_image() -> None:
    image = noise(40, 50)
    how = Preprocessing(resize=32, crop=(30, 30))
    np.testing.assert_array_equal(how.pixels(np.asarray(image)), how.pixels(image))
    grey = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(how.pixels(grey), how.pixels(image.convert("L")))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 5), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((8,), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_an_array_that_is_no_image_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"UINT8 \[H,W,3\]"):
        Preprocessing().pixels(array)


floats = st.floats(0.0625, 4, width=32)


@given(st.tuples(floats, floats, floats), st.tuples(floats, floats, floats), sides, sides)
def test_normalize_is_the_formula(
    mean: tuple[float, float, float], std: tuple[float, float, float], height: int, width: int
) -> None:
    pixels = np.asarray(noise(height, width))
    ours = Preprocessing(mean=mean, std=std).normalize(pixels)
    assert ours.shape == (3, height, width)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    for channel in range(3):
        expected = (pixels[..., channel] / 255.0 - mean[channel]) / std[channel]
        np.testing.assert_allclose(ours[channel], expected, rtol=1e-5, atol=2e-7 / std[channel])


def test_normalize_keeps_leading_dimensions() -> None:
    how = Preprocessing()
    batch = np.stack([np.asarray(noise(5, 7, seed)) for seed in range(6)])
    singles = np.stack([how.normalize(pixels) for pixels in batch])
    np.testing.assert_array_equal(how.normalize(batch), singles)
    nested = batch.reshape(2, 3, 5, 7, 3)
    np.testing.assert_array_equal(how.normalize(nested), singles.reshape(2, 3, 3, 5, 7))


def test_it_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Preprocessing().resize = 3  # type: ignore[misc]


def test_bgr_is_the_reverse_of_rgb_in_pixels_and_planes() -> None:
    image = noise(40, 50)
    geometry = {"resize": 32, "crop": (30, 30)}
    rgb = Preprocessing(**geometry, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    bgr = dataclasses.replace(rgb, channel_order="bgr", mean=rgb.mean[::-1], std=rgb.std[::-1])
    pixels = bgr.pixels(image)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, rgb.pixels(image)[..., ::-1])
    np.testing.assert_array_equal(bgr.normalize(pixels), rgb.normalize(rgb.pixels(image))[::-1])


def test_a_fill_is_a_colour_in_rgb_whatever_the_order() -> None:
    how = Preprocessing(resize=None, crop=(4, 4), fill=(1, 2, 3), channel_order="bgr")
    assert how.pixels(noise(2, 2))[0, 0].tolist() == [3, 2, 1]


def test_equal_fills_are_equal_values() -> None:
    assert Preprocessing(resize=None, fill=(7, 7, 7)) == Preprocessing(resize=None, fill=7)


@pytest.mark.parametrize(
    ("how", "side"),
    [
        (Preprocessing(), 256),
        (Preprocessing((64, 48), (32, 32)), 48),
        (Preprocessing(None, (32, 24)), 24),
        (Preprocessing(40, (32, 24), resize_mode="longest"), 24),
    ],
)
def test_the_shorter_side_after_the_resize(how: Preprocessing, side: int) -> None:
    assert how.shorter_side == side


def test_importing_it_needs_numpy_pillow_and_itself_only() -> None:
    """Neither pydantic, which takes as long as numpy, nor anything else of ours."""
    program = (
        "import sys; import resnet_serve.preprocessing; "
        "print(*sorted(m for m in sys.modules if m.startswith(('resnet_serve', 'pydantic'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    ours = {"resnet_serve", "resnet_serve.errors", "resnet_serve.preprocessing"}
    others = [name for name in done.stdout.split() if name not in ours]
    assert others, "its own modules"
    assert all(name.startswith("resnet_serve.preprocessing.") for name in others)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Preprocessing(), "resize the shorter side to 256 (bilinear), centre crop to 224 × 224"),
        (Preprocessing(resize=None, crop=(32, 48)), "no resize, centre crop to 32 × 48"),
        (Preprocessing(resize=(32, 32), crop=(32, 32)), "resize both sides to 32 × 32 (bilinear)"),
        (
            Preprocessing(resize=(36, 40), crop=(32, 32), interpolation="bicubic"),
            "resize both sides to 36 × 40 (bicubic), centre crop to 32 × 32",
        ),
    ],
)
def test_resize_and_crop_are_told_in_words(found: Preprocessing, words: str) -> None:
    assert found.words == words


def test_colours_are_named() -> None:
    assert Preprocessing().colours == "RGB"
    assert Preprocessing(channel_order="bgr").colours == "BGR"
    assert Preprocessing(mean=(0.5,), std=(0.5,)).colours == "grey"
