"""What the reference and the converted model are given, and what the reference outputs."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_convert.parity.reference import Reference, random_pixels
from resnet_serve.architectures import with_head
from resnet_serve.comparison.distances import BATCH_SIZE
from resnet_serve.comparison.recorded import to_input
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.weights import Weights


@pytest.mark.parametrize("input_kind", ["uint8", "float32"])
def test_inputs_are_as_the_graph_takes_them(digits: Weights, input_kind: str) -> None:
    images = SyntheticImages(5, side=32)
    reference = Reference(digits.network(), digits, input_kind, threads=1)
    batches = list(reference.inputs(images, size=4))
    assert [len(batch) for batch in batches] == [4, 1]
    pixels = np.stack([digits.preprocessing.pixels(images.image(i)) for i in range(5)])
    expected = pixels if input_kind == "uint8" else digits.preprocessing.normalize(pixels)
    found = np.concatenate(batches)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(to_input(input_kind, pixels, digits.preprocessing), expected)


def test_outputs_come_in_batches_with_their_pixels(digits: Weights) -> None:
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    batches = list(reference.outputs(SyntheticImages(10, side=32)))
    assert [len(pixels) for pixels, _ in batches] == [BATCH_SIZE, 2]
    for pixels, outputs in batches:
        assert pixels.dtype == np.uint8
        assert set(outputs) == {"logits"}
        assert outputs["logits"].shape == (len(pixels), 10)
    assert (reference.classifies, reference.output_kind) == (True, "logits")


def test_a_backbone_has_features_and_no_classes(digits: Weights) -> None:
    network = with_head(digits.network(), "features")
    reference = Reference(network, digits, "uint8", threads=1, head="features")
    (_, outputs), *_ = reference.outputs(SyntheticImages(2, side=32))
    assert set(outputs) == {"features"}
    assert (reference.classifies, reference.output_kind) == (False, "features")


def test_random_batches_are_the_same_every_time(digits: Weights) -> None:
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    planes, batch = reference.random_batch(3)
    assert (planes.shape, batch.shape) == ((3, 3, 32, 32), (3, 32, 32, 3))
    np.testing.assert_array_equal(batch, random_pixels(digits.preprocessing, 3))
    np.testing.assert_array_equal(planes, digits.preprocessing.normalize(batch))
