"""What the reference and the converted model are given, and what the reference outputs."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_convert.parity import reference as reference_module
from resnet_convert.parity.reference import KnownOutputs, Reference, random_pixels
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.reference_check.probe import Probe
from resnet_serve.architectures import with_head
from resnet_serve.comparison.distances import BATCH_SIZE, Outputs
from resnet_serve.comparison.recorded import to_input
from resnet_serve.datasets.selection import positions, spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.runtimes.pytorch import PyTorchModel
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


@pytest.mark.parametrize(("side", "size"), [(224, 1), (150, 2), (112, 4), (32, 8), (500, 1)])
def test_batches_to_calibrate_with_have_the_pixels_of_one_large_image(
    digits: Weights, side: int, size: int
) -> None:
    how = replace(digits.preprocessing, resize=side, crop=(side, side))
    reference = Reference(digits.network(), replace(digits, preprocessing=how), "uint8", threads=1)
    assert len(next(reference.inputs(SyntheticImages(9, side=side)))) == size


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


def counted(reference: Reference) -> list[int]:
    """The sizes of the batches that the network is run on, from now on."""
    sizes: list[int] = []
    reference.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    return sizes


def test_every_image_is_computed_once_whoever_asks(digits: Weights) -> None:
    """The check of the reference, what autoselect records, parity, and images asked for twice."""
    images = SyntheticImages(20, side=32)
    fresh = [
        outputs["logits"]
        for _, outputs in Reference(digits.network(), digits, "uint8", 1).outputs(images)
    ]
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    sizes = counted(reference)
    chosen = spread(images, 6)
    probed = Probe(reference, chosen, lambda: None).logits(digits.preprocessing, range(6))
    assert sizes == [6]
    recorded = ReferenceOutputs.record(reference, spread(images, 12))
    assert sum(sizes) <= 6 + 12
    for _ in range(2):
        found = [outputs["logits"] for _, outputs in reference.outputs(images)]
        assert sum(sizes) == 20
        np.testing.assert_allclose(np.concatenate(found), np.concatenate(fresh), atol=1e-5)
    logits = np.concatenate(found)
    np.testing.assert_array_equal(probed, logits[list(positions(20, 6))])
    np.testing.assert_array_equal(recorded.logits, logits[list(positions(20, 12))])


@pytest.mark.parametrize("threads", [2, 3, 20])
def test_parts_of_a_batch_beside_each_other_have_the_outputs_of_the_batch(
    digits: Weights, threads: int
) -> None:
    images = SyntheticImages(13, side=32)
    alone, beside = (
        np.concatenate([outputs["logits"] for _, outputs in reference.outputs(images)])
        for reference in (
            Reference(digits.network(), digits, "uint8", each) for each in (1, threads)
        )
    )
    np.testing.assert_allclose(beside, alone, atol=1e-5)
    assert len(beside) == 13


def test_a_network_that_may_keep_state_has_one_caller_at_a_time(digits: Weights) -> None:
    class Remembering(nn.Module):
        """Its forward reads what the same call has written: two at once would mix them up."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = digits.network()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.images = images
            time.sleep(0.01)
            return self.inner(self.images)

    images = SyntheticImages(16, side=32)
    expected, found = (
        np.concatenate([outputs["logits"] for _, outputs in reference.outputs(images)])
        for reference in (
            Reference(digits.network(), digits, "uint8", 1),
            Reference(Remembering(), digits, "uint8", 4),
        )
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_network_of_known_modules_runs_in_the_faster_layout_and_others_in_their_own(
    digits: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Viewing(nn.Module):
        """Its forward works in the layout of PyTorch's default alone."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = digits.network()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.inner(images.view(len(images), -1).view(images.shape))

    layouts: list[bool] = []
    load = reference_module.pytorch_runtime.load

    def noted(network: nn.Module, *, threads: int, channels_last: bool) -> PyTorchModel:
        layouts.append(channels_last)
        return load(network, threads=threads, channels_last=channels_last)

    monkeypatch.setattr(reference_module.pytorch_runtime, "load", noted)
    images = SyntheticImages(4, side=32)
    known = Reference(digits.network(), digits, "uint8", threads=2)
    for _ in range(2):  # the second time every output is known, and nothing is loaded
        (_, found), *_ = known.outputs(images)
    (_, expected), *_ = Reference(Viewing(), digits, "uint8", threads=2).outputs(images)
    assert layouts == [True, False]
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5)
    first = next(iter(known.network.parameters()))
    assert first.is_contiguous(), "the network itself stays as it is"


def test_another_preprocessing_is_computed(digits: Weights) -> None:
    """The same pixels, normalised otherwise, are not the same input."""
    images = SyntheticImages(4, side=32)
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    sizes = counted(reference)
    probe = Probe(reference, images, lambda: None)
    stated = probe.logits(digits.preprocessing, range(4))
    other = probe.logits(replace(digits.preprocessing, mean=(0.1, 0.2, 0.3)), range(4))
    assert sizes == [4, 4]
    assert np.abs(stated - other).max() > 1e-3


def test_feature_maps_are_not_kept(digits: Weights) -> None:
    network = with_head(digits.network(), "features")
    reference = Reference(network, digits, "uint8", threads=1, head="features")
    sizes = counted(reference)
    for _ in range(2):
        list(reference.outputs(SyntheticImages(2, side=32)))
    assert sizes == [2, 2]


def test_the_memory_of_known_outputs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_module, "LARGEST_BYTES", 5 * 4)
    known, asked = KnownOutputs(), []

    def compute(pixels: NDArray[np.uint8]) -> Outputs:
        asked.append(pixels[:, 0, 0, 0].tolist())
        return {"logits": pixels[:, 0, 0, :1].astype(np.float32)}

    pixels = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    for _ in range(2):
        found = known.outputs(pixels, compute)["logits"]
        np.testing.assert_array_equal(found, np.arange(8, dtype=np.float32)[:, None])
    assert asked == [[0, 1, 2, 3, 4, 5, 6, 7], [5, 6, 7]]
    twice = known.outputs(pixels[[6, 0, 6]], compute)["logits"]
    assert asked[-1] == [6], "an image that is twice in a batch is computed once"
    np.testing.assert_array_equal(twice.ravel(), [6, 0, 6])
