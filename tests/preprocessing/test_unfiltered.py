"""Bilinear without antialiasing against torch's own `interpolate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_images import noise
from PIL import Image
from torch.nn.functional import interpolate

from resnet_serve.preprocessing import Preprocessing, unfiltered

sides = st.integers(1, 60)


def of_torch(image: Image.Image, width: int, height: int) -> np.ndarray:
    """torchvision's `resize` of a tensor, before it is rounded half to even."""
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    planes = torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float()
    found = interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return found[0].permute(1, 2, 0).numpy()


@settings(max_examples=200, deadline=None)
@given(sides, sides, sides, sides)
def test_it_is_torch_s(height: int, width: int, new_height: int, new_width: int) -> None:
    image = noise(height, width)
    found = np.asarray(unfiltered.resize(image, (new_width, new_height)))
    # The nearest level; the order of torch's FP32 additions decides between two as near.
    assert np.abs(found - of_torch(image, new_width, new_height)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("size", [(480, 640), (333, 500)])
def test_a_photograph_is_torch_s_in_every_pixel_but_ties(size: tuple[int, int]) -> None:
    image = noise(*size)
    how = Preprocessing(256, (224, 224), antialias=False)
    expected = of_torch(image, *how.resized(image).size).round()
    found = np.asarray(how.resized(image))
    assert (found != expected).mean() < 1e-4
    assert np.abs(found - expected).max() <= 1


def test_without_antialiasing_a_fine_pattern_is_aliased() -> None:
    stripes = Image.fromarray(np.tile(np.uint8([[0, 0, 255, 255]]), (64, 16)))
    smooth = Preprocessing(16, (16, 16), mean=(0.5,), std=(0.5,))
    aliased = Preprocessing(16, (16, 16), mean=(0.5,), std=(0.5,), antialias=False)
    assert np.ptp(smooth.pixels(stripes)[:, 2:-2]) < 40
    np.testing.assert_array_equal(
        aliased.pixels(stripes), of_torch(stripes, 16, 16).round().reshape(16, 16, 1)
    )


def test_grey_and_colour_keep_their_mode() -> None:
    for mode in ("L", "RGB"):
        found = unfiltered.resize(noise(5, 6).convert(mode), (3, 4))
        assert (found.mode, found.size) == (mode, (3, 4))
