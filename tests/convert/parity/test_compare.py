"""Both networks over the same images: what is fed to whom, and what is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.reference import Reference
from resnet_convert.stage_log import Silent
from resnet_serve.architectures import with_head
from resnet_serve.comparison.distances import BATCH_SIZE, SINGLES
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.runtimes import onnxruntime
from resnet_serve.weights import Weights


class Told(Silent):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def advance(self, done: int, total: int) -> None:
        self.steps.append((done, total))


Compared = Callable[..., tuple[Measurements, Told]]


@pytest.fixture
def compared(digits: Weights, folded_digits: ir.Model) -> Compared:
    """`compared(images, largest_batch)`: the folded digits network against PyTorch."""

    def run(images: Any, largest_batch: int = BATCH_SIZE) -> tuple[Measurements, Told]:
        take_pixels(folded_digits, digits.preprocessing)
        told = Told()
        data = serialize(folded_digits)
        reference = Reference(digits.network(), digits, "uint8", threads=1)
        with onnxruntime.load(data, threads=1) as model:
            operators = onnxruntime.compiled(data).operators
            candidate = Candidate(model, "onnxruntime", largest_batch, operators)
            return compare(reference, candidate, images, told), told

    return run


def test_logits_are_those_of_both_networks(compared: Compared, digits: Weights) -> None:
    images = spread(Digits(held_out=True), 20)
    found, told = compared(images)
    pixels = np.stack([digits.preprocessing.pixels(images.image(i)) for i in range(20)])
    with torch.inference_mode():
        planes = torch.from_numpy(digits.preprocessing.normalize(pixels))
        expected = digits.network()(planes).numpy()
    assert found.logits is not None
    np.testing.assert_allclose(found.logits.reference, expected, atol=1e-5)
    np.testing.assert_allclose(found.logits.converted, expected, atol=1e-4)
    np.testing.assert_array_equal(found.logits.labels, images.labels)
    assert set(found.numerics) == {1, BATCH_SIZE}
    assert [found.numerics[size].images for size in (1, BATCH_SIZE)] == [SINGLES, 20]
    assert found.decisions.images == 20
    assert found.decisions.labelled
    assert found.images_sha256 == images.digest()
    assert told.steps == [(8, 20), (16, 20), (20, 20)]


def test_fewer_images_than_a_batch(compared: Compared) -> None:
    found, told = compared(SyntheticImages(3, side=32))
    assert (len(found.logits.reference), told.steps) == (3, [(3, 3)])
    assert found.numerics[1].images == 3
    assert not found.decisions.labelled


@pytest.mark.parametrize(("largest", "images"), [(2, {1: 5, 2: 5}), (1, {1: 5})])
def test_an_engine_of_small_batches_gets_small_batches(
    compared: Compared, largest: int, images: dict[int, int]
) -> None:
    found, _ = compared(SyntheticImages(5, side=32), largest_batch=largest)
    assert {size: n.images for size, n in found.numerics.items()} == images
    assert found.logits.converted.shape == (5, 10)


def test_nan_is_not_agreement(compared: Compared, folded_digits: ir.Model) -> None:
    constant = folded_digits.graph.initializers["fc.bias"]
    broken: NDArray[np.float32] = constant.const_value.numpy().copy()
    broken[3] = np.nan
    constant.const_value = ir.tensor(broken, name="fc.bias")
    found, _ = compared(SyntheticImages(2, side=32))
    assert found.numerics[1].max_abs == math.inf
    assert found.numerics[BATCH_SIZE].cosine == -1


def test_features_are_compared_output_by_output_and_not_kept(digits: Weights) -> None:
    network = with_head(digits.network(), "pyramid")
    reference = Reference(network, digits, "float32", threads=1, head="pyramid")
    images = SyntheticImages(10, side=32)
    with reference.load() as model:
        found = compare(reference, Candidate(model, "pytorch"), images, Silent())
    assert (found.logits, found.decisions) == (None, None)
    assert found.output_kind == "maps"
    assert {size: n.images for size, n in found.numerics.items()} == {1: SINGLES, BATCH_SIZE: 10}
    assert found.numerics[BATCH_SIZE].max_abs < 1e-4
    assert "cosine" in found.summary
