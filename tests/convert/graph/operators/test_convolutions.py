"""Convolutions and linear layers against PyTorch, with drawn options and sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused, through

from resnet_convert.graph.operators import convolutions
from resnet_convert.graph.trace import trace

EXACT = {
    "conv1d": [
        on(lambda x, layer: layer(x.flatten(2)), nn.Conv1d(4, 3, 5, padding=2)),
        # Efficient channel attention: a convolution over the channels.
        on(
            lambda x, layer: x * layer(x.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1),
            nn.Conv1d(1, 1, 3, padding=1, bias=False),
        ),
    ],
    "conv2d": [
        through(nn.Conv2d(4, 6, 3)),
        through(nn.Conv2d(4, 6, 3, padding=1, bias=False)),
        through(nn.Conv2d(4, 6, (3, 1), stride=(2, 1), padding=(1, 0))),
        through(nn.Conv2d(4, 8, 3, groups=4, dilation=2, padding=2)),
        through(nn.Conv2d(4, 4, (3, 4), padding="same")),
        through(nn.Conv2d(4, 4, 3, padding="same", dilation=2)),
        through(nn.Conv2d(4, 4, 3, padding="valid")),
        on(lambda x, layer: functional.conv2d(x, layer.weight), nn.Conv2d(4, 2, 1)),
        # Weights that are standardized in forward() are constants all the same.
        on(
            lambda x, layer: functional.conv2d(
                x, layer.weight / layer.weight.std((1, 2, 3), keepdim=True)
            ),
            nn.Conv2d(4, 6, 3),
        ),
        on(lambda x, layer: layer(layer(x)), nn.Conv2d(4, 4, 3)),
    ],
    "conv_transpose2d": [
        through(nn.ConvTranspose2d(4, 6, 2, stride=2)),
        through(nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)),
        through(nn.ConvTranspose2d(4, 4, 3, groups=2, dilation=2, bias=False)),
    ],
    "linear": [
        on(lambda x, layer: layer(x.mean((2, 3))), nn.Linear(4, 7)),
        on(lambda x, layer: layer(x.mean((2, 3))), nn.Linear(4, 7, bias=False)),
        through(nn.Linear(8, 3)),
        on(lambda x, layer: layer(x.flatten(2).transpose(1, 2)), nn.Linear(4, 5)),
    ],
}


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(convolutions.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 2),
    groups=st.sampled_from((1, 2, 4)),
    sides=st.tuples(st.integers(8, 14), st.integers(8, 14)),
    transposed=st.booleans(),
)
def test_convolutions_of_any_kind(kernel, stride, dilation, padding, groups, sides, transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    holds(through(kind(4, 8, kernel, **options)), (4, *sides))


def test_a_shared_layer_has_its_weights_twice_so_that_passes_may_change_them() -> None:
    shared = on(lambda x, layer: layer(layer(x)), nn.Conv2d(4, 4, 1, bias=False))
    weights = [
        node.inputs[1] for node in trace(shared, (4, 9, 8)).model.graph if node.op_type == "Conv"
    ]
    assert len(weights) == len(set(weights)) == 2


def test_weights_that_depend_on_the_image_are_refused() -> None:
    refused(on(lambda x: functional.conv2d(x, torch.ones(2, 4, 1, 1) * x.amax())), "batch|depend")
    refused(on(lambda x: functional.linear(x, x.mean((1, 2)))), "weights that depend on the image")
