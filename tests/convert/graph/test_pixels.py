"""Raw pixels in: equal to normalising first, at the borders above all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_convert.graph.fold import fold
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_serve.errors import ConversionError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import Weights

Run = Callable[..., NDArray[Any]]
SEARCH = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink an example, tracing is too slow
PREPROCESSING = Preprocessing(resize=8, crop=(8, 6))


def pixels(count: int, preprocessing: Preprocessing, seed: int = 0) -> NDArray[np.uint8]:
    shape = (count, preprocessing.height, preprocessing.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Stem(nn.Module):
    """A padded convolution whose every position is an answer, so that no border can hide."""

    def __init__(self, channels: int = 2, groups: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, channels, 5, padding=2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.conv1(x), 1)


@settings(max_examples=30, phases=SEARCH)
@given(
    mean=st.tuples(*[st.floats(-0.5, 1.5, width=32)] * 3),
    std=st.tuples(*[st.floats(0.03125, 2, width=32)] * 3),
    seed=st.integers(0, 1000),
)
def test_equals_normalising_first_at_every_position(
    mean: tuple[float, float, float], std: tuple[float, float, float], seed: int, run: Run
) -> None:
    preprocessing = replace(PREPROCESSING, mean=mean, std=std)
    network = Stem()
    model = trace(network, (3, 8, 6)).model
    take_pixels(model, preprocessing)
    batch = pixels(2, preprocessing, seed)
    exact = np.moveaxis((batch / 255.0 - np.asarray(mean)) / np.asarray(std), -1, -3)
    with torch.inference_mode():
        expected = network.double()(torch.from_numpy(exact)).numpy()
    np.testing.assert_allclose(
        run(model, batch), expected, rtol=0, atol=3e-6 * max(1.0, np.abs(expected).max())
    )


def test_a_black_image_is_not_black_after_normalising(run: Run) -> None:
    """Folding the mean into the bias would be right in the middle and wrong along the border."""
    network = Stem()
    model = trace(network, (3, 8, 6)).model
    take_pixels(model, PREPROCESSING)
    black = np.zeros((1, 8, 6, 3), np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(PREPROCESSING.normalize(black))).numpy()
    answer = run(model, black).reshape(2, 8, 6)
    np.testing.assert_allclose(answer.ravel(), expected.ravel(), atol=2e-6)
    assert np.ptp(answer[0]) > 0.1, "the border of this network does differ from its middle"


def test_the_digits_network_from_bytes_to_logits(
    digits: Weights, folded_digits: ir.Model, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    with torch.inference_mode():
        planes = torch.from_numpy(digits.preprocessing.normalize(digits_pixels))
        expected = digits.network()(planes).numpy()
    answer = run(folded_digits, digits_pixels)
    np.testing.assert_allclose(answer, expected, atol=2e-5)


def test_the_input_is_what_triton_will_be_told(folded_digits: ir.Model, digits: Weights) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    (image,) = folded_digits.graph.inputs
    assert (image.name, image.dtype) == ("image", ir.DataType.UINT8)
    assert [str(side) for side in image.shape] == ["batch", "32", "32", "3"]
    first = [node.op_type for node in folded_digits.graph][:4]
    assert first == ["Cast", "Transpose", "Sub", "Conv"]


def test_two_stems_are_both_rescaled(run: Run) -> None:
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two = (nn.Conv2d(3, 2, 3, padding=1) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return (self.one(x) + self.two(x)).mean((2, 3))

    network = Twins()
    model = trace(network, (3, 8, 6)).model
    take_pixels(model, PREPROCESSING)
    batch = pixels(2, PREPROCESSING)
    with torch.inference_mode():
        expected = network(torch.from_numpy(PREPROCESSING.normalize(batch))).numpy()
    np.testing.assert_allclose(run(model, batch), expected, atol=1e-5)


def unchanged(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString(deterministic=True)


def test_a_grouped_stem_is_refused_and_nothing_is_changed() -> None:
    model = trace(Stem(3, groups=3), (3, 8, 6)).model
    before = unchanged(model)
    with pytest.raises(ConversionError, match="a stem without groups") as refusal:
        take_pixels(model, PREPROCESSING)
    assert refusal.value.where == "pixels: conv1"
    assert "--input float32" in str(refusal.value)
    assert unchanged(model) == before


def test_an_input_that_somebody_else_reads_too_is_refused() -> None:
    class Bypass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return (self.conv1(x) + x).mean((2, 3))

    model = trace(Bypass(), (3, 8, 6)).model
    before = unchanged(model)
    with pytest.raises(ConversionError, match="goes into convolutions only"):
        take_pixels(model, PREPROCESSING)
    assert unchanged(model) == before


def test_a_grey_network_is_refused() -> None:
    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv1(x).mean((2, 3))

    model = trace(Grey(), (1, 8, 6)).model
    with pytest.raises(ConversionError, match="takes 1 channels, an image has 3"):
        take_pixels(model, PREPROCESSING)


def test_a_stem_that_shares_its_weights_is_refused() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 3, 3, padding=1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv1(self.conv1(x)).mean((2, 3))

    model = trace(Shared(), (3, 8, 6)).model  # in which each call has its own copy
    first, second = (node for node in model.graph if node.op_type == "Conv")
    second.replace_input_with(1, first.inputs[1])
    fold(model)
    with pytest.raises(ConversionError, match=r"'conv1.weight' is shared by conv1, conv1_1"):
        take_pixels(model, PREPROCESSING)
