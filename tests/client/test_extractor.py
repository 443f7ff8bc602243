"""Features of several images, in batches of the model's size."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_client.errors import UsageError
from resnet_client.extractor import Extractor

IMAGES = [np.full((8, 8, 3), 10 * index, np.uint8) for index in range(5)]


def test_more_images_than_a_batch_keep_their_order(extractor: Extractor) -> None:
    found = extractor.extract(IMAGES)["features"]
    np.testing.assert_array_equal(found[:, 1], [0, 10, 20, 30, 40])


@pytest.mark.parametrize("images", [[], "cat.png", b"\x89PNG"])
def test_one_image_or_none_is_not_a_sequence(extractor: Extractor, images: object) -> None:
    with pytest.raises(UsageError, match="a sequence of images, at least one"):
        extractor.extract(images)  # type: ignore[arg-type]
