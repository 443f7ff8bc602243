"""Decoding apart: an image that ends the process is a failure of its own."""

from __future__ import annotations

import batch_model
import numpy as np
import poison

from resnet_serve.batch.failures import Failure, Kind
from resnet_serve.batch.on_ray.apart import Apart


def test_a_crash_is_that_of_one_image() -> None:
    images = [batch_model.picture(0), poison.KILLS, batch_model.picture(1), poison.KILLS]
    with Apart(poison.prepared) as apart:
        found = [apart(each) for each in images]
    kinds = [each.kind if isinstance(each, Failure) else None for each in found]
    assert kinds == [None, Kind.CRASHED, None, Kind.CRASHED]
    for number, place in enumerate((0, 2)):
        expected = poison.prepared(batch_model.picture(number))
        assert np.array_equal(np.asarray(found[place]), np.asarray(expected))
