"""Images that nobody took: the same ones every time, with all colours in them."""

from __future__ import annotations

import numpy as np

from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.preprocessing import Preprocessing


def test_they_are_images_like_any_others() -> None:
    images: Images = SyntheticImages(5, side=40)
    batches = list(pixel_batches(images, Preprocessing(resize=40, crop=(32, 32)), 2))
    assert [batch.shape for batch in batches] == [(2, 32, 32, 3), (2, 32, 32, 3), (1, 32, 32, 3)]
    assert images.labels is None
    assert len(images) == 5
    assert "3" in images.name_of(3)
    assert images.name == "5 synthetic images"


def test_the_same_seed_gives_the_same_images() -> None:
    first, again = SyntheticImages(3, side=32), SyntheticImages(3, side=32)
    for index in range(3):
        assert np.array_equal(first.image(index), again.image(index))
    assert first.digest() == again.digest()


def test_another_seed_size_or_index_gives_others() -> None:
    first = SyntheticImages(3, side=32)
    others = (SyntheticImages(3, side=32, seed=1), SyntheticImages(4, side=32), SyntheticImages(3))
    assert len({images.digest() for images in (first, *others)}) == 4
    assert not np.array_equal(first.image(0), others[0].image(0))
    assert not np.array_equal(first.image(0), first.image(1))


def test_they_are_smooth_colours_over_the_whole_range() -> None:
    image = np.asarray(SyntheticImages(1, side=256).image(0)).astype(int)
    assert image.shape == (256, 256, 3)
    for channel in np.moveaxis(image, -1, 0):
        assert np.ptp(channel) > 200
        assert np.abs(np.diff(channel, axis=0)).max() < 40
    assert np.abs(image[..., 0] - image[..., 1]).mean() > 10, "coloured, not grey"
