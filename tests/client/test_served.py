"""A served model whose version changes while it is used."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_triton import Scripted

from resnet_client.errors import ModelError
from resnet_client.extractor import Extractor

IMAGES = [np.full((8, 8, 3), 10 * index, np.uint8) for index in range(5)]


def test_a_new_version_is_read_again(extractor: Extractor, scripted: Scripted) -> None:
    assert extractor.extract(IMAGES[:1])
    scripted.version = 2
    scripted.configs["features"].max_batch_size = 4
    assert len(extractor.extract(IMAGES)["features"]) == 5


def test_a_version_that_changes_with_every_request_is_an_error(
    extractor: Extractor, scripted: Scripted
) -> None:
    scripted.restless = True
    with pytest.raises(ModelError, match=r"version changed during 3 attempts\. Try again"):
        extractor.extract(IMAGES[:1])
