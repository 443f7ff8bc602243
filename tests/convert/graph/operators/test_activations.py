"""Activation functions against PyTorch, over values on both sides of every bend."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused, through

from resnet_convert.graph.operators import activations
from resnet_convert.graph.trace import trace


def far(body):
    """The function over inputs to about ±30, so that both tails are compared."""
    return on(lambda x: body(8 * x))


def positive(body):
    return on(lambda x: body(x.abs() + 0.1))


EXACT = {
    "abs": [far(torch.abs)],
    "ceil": [far(torch.ceil)],
    "celu": [far(nn.CELU(0.7))],
    "clamp": [
        far(lambda x: x.clamp(-2, 3)),
        far(lambda x: x.clamp(max=1)),
        far(lambda x: x.clamp(0)),
    ],
    "clamp_max": [far(lambda x: torch.clamp_max(x, 2))],
    "clamp_min": [
        far(lambda x: torch.clamp_min(x, -1)),
        on(lambda x, p: x.clamp(min=p.weight[0]), nn.PReLU()),
    ],
    "cos": [on(torch.cos)],
    "elu": [far(nn.ELU()), far(nn.ELU(0.3))],
    "erf": [far(torch.erf)],
    "exp": [on(torch.exp)],
    "floor": [far(torch.floor)],
    "gelu": [far(nn.GELU()), far(nn.GELU("tanh")), far(functional.gelu)],
    "glu": [on(lambda x: functional.glu(8 * x, 1)), on(lambda x: functional.glu(x, -1))],
    "hardsigmoid": [far(nn.Hardsigmoid())],
    "hardswish": [far(nn.Hardswish()), far(nn.Hardswish(inplace=True))],
    "hardtanh": [far(nn.Hardtanh()), far(nn.Hardtanh(-0.5, 4))],
    "leaky_relu": [far(nn.LeakyReLU()), far(nn.LeakyReLU(0.3, inplace=True))],
    "log": [positive(torch.log)],
    "log_sigmoid": [far(nn.LogSigmoid())],
    "log_softmax": [on(lambda x: functional.log_softmax(x.mean((2, 3)), 1))],
    "mish": [far(nn.Mish())],
    "neg": [on(lambda x: -x)],
    "prelu": [
        through(nn.PReLU()),
        through(nn.PReLU(4)),
        on(lambda x: functional.prelu(x.mean((2, 3)), torch.ones(4) * 0.3)),
    ],
    "reciprocal": [positive(torch.reciprocal), positive(lambda x: 1 / x)],
    "relu": [far(torch.relu), on(lambda x: functional.relu(x + 0, inplace=True))],
    "relu6": [far(nn.ReLU6()), far(functional.relu6)],
    "rsqrt": [positive(torch.rsqrt)],
    "selu": [far(nn.SELU())],
    "sigmoid": [far(nn.Sigmoid())],
    "sign": [on(torch.sign)],
    "silu": [far(nn.SiLU()), far(nn.SiLU(inplace=True))],
    "sin": [on(torch.sin)],
    "softmax": [
        on(lambda x: x.softmax(-1) * x),
        on(lambda x: functional.softmax(x, 1)),
        on(nn.Softmax2d()),
    ],
    "softplus": [far(nn.Softplus()), far(nn.Softplus(beta=2.5))],
    "sqrt": [positive(torch.sqrt)],
    "square": [on(torch.square)],
    "tanh": [far(nn.Tanh())],
}  # fmt: skip


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(activations.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (on(lambda x: x.softmax(0)), "softmax over the images"),
        (on(lambda x: x.softmax(1, dtype=torch.float64).float()), "torch.float64"),
        (on(lambda x: functional.glu(x, 0)), "gate over the images|trace"),
        (on(lambda x: functional.rrelu(x, training=True)), "trace|rrelu|random"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: nn.Module, reason: str) -> None:
    refused(network, reason)


def test_sums_inside_a_function_have_a_scalar_operand() -> None:
    """By this the INT8 passes tell them from residual additions."""
    graph = trace(on(lambda x: nn.GELU("tanh")(nn.GELU()(x))), (4, 9, 8)).model.graph
    sums = [node for node in graph if node.op_type == "Add"]
    assert len(sums) == 3
    for node in sums:
        assert node.inputs[1].is_initializer()
        assert node.inputs[1].const_value.shape == []
