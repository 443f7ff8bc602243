"""Folding against float64 PyTorch, and the graphs in which it must not happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from batch_norms import CONV_BN, normal, statistics
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from resnet_convert.graph.fold import fold
from resnet_convert.graph.trace import Trace, trace
from resnet_serve.architectures import Architecture

Graphs = Callable[..., ir.Model]
Run = Callable[..., NDArray[Any]]
SEARCH = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink an example, tracing is too slow


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@settings(max_examples=40, phases=SEARCH)
@given(
    groups=st.sampled_from([1, 2, 4]),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.integers(0, 2),
    stride=st.integers(1, 2),
    bias=st.booleans(),
    affine=st.booleans(),
    eps=st.sampled_from([1e-12, 1e-5, 1e-3, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_float64_pytorch(
    groups: int,
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    padding: int,
    stride: int,
    bias: bool,
    affine: bool,
    eps: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(
        groups * inputs,
        groups * outputs,
        kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        bias=bias,
    )
    norm = nn.BatchNorm2d(groups * outputs, eps=eps, affine=affine)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.01, 4)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    network = nn.Sequential(layer, norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    model = trace(network, (groups * inputs, 6, 5)).model
    found = fold(model)
    assert (found.folded, found.total, found.kept) == (1, 1, ())
    weight, shift = (array(model, name) for name in ("0.weight", "0.bias"))
    exact = network.double()
    scale = (exact[1].weight if affine else 1.0) / torch.sqrt(exact[1].running_var + eps)
    zero = torch.zeros(groups * outputs, dtype=torch.float64)
    expected = exact[0].weight * (scale * torch.ones_like(zero))[:, None, None, None]
    expected_shift = ((exact[0].bias if bias else zero) - exact[1].running_mean) * scale + (
        exact[1].bias if affine else 0.0
    )
    # Rounded once: the nearest FP32 to the float64 result, so half a unit in the last place.
    np.testing.assert_allclose(weight, expected.detach().numpy(), rtol=6.0e-8, atol=1e-37)
    np.testing.assert_allclose(shift, expected_shift.detach().numpy(), rtol=6.0e-8, atol=1e-15)
    change = np.abs(expected.detach().numpy() - exact[0].weight.detach().numpy()).max()
    assert found.max_weight_change == pytest.approx(change, rel=1e-9)


def array(model: ir.Model, name: str) -> NDArray[Any]:
    return model.graph.initializers[name].const_value.numpy()


def test_nothing_is_left_of_any_network_of_the_family(
    family: tuple[Architecture, nn.Module, Trace], run: Run
) -> None:
    row, network, traced = family
    model = ir.from_proto(ir.to_proto(traced.model))
    found = fold(model)
    total = row.convolutions - row.projections * row.preactivation
    assert (found.folded, found.total) == (total - row.unfoldable, total)
    assert len(found.kept) == row.unfoldable
    assert ("stay" in found.words) == bool(row.unfoldable)
    if row.preactivation:
        assert found.kept[0] == ("layer1.0.bn1" if row.bare_stem else "layer1.1.bn1")
        assert found.kept[-1] == "norm"
        assert f"{row.unfoldable} stay as scale and shift (no convolution" in found.words
    assert "BatchNormalization" not in operators(model)
    assert operators(model).count("Conv") == row.convolutions
    used = {value.name for node in model.graph for value in node.inputs if value is not None}
    assert set(model.graph.initializers) <= used, "constants nobody reads stay in the file"
    image = torch.randn(1, *model.graph.inputs[0].shape[1:])
    with torch.inference_mode():
        expected = network(image).numpy()
    np.testing.assert_allclose(
        run(model, image.numpy()), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_borders_are_exact_too(graph: Graphs, run: Run) -> None:
    """Zero padding pads the convolution's input, before and after folding alike."""
    constants = {"w": normal(4, 3, 3, 3)} | statistics(4)
    x = 10 + normal(2, 3, 5, 5, seed=1)
    before = run(graph(CONV_BN, **constants), x)
    model = graph(CONV_BN, **constants)
    fold(model)
    after = run(model, x)
    border = np.ones((5, 5), bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_allclose(after[..., border], before[..., border], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-4)


def test_the_graphs_own_output_keeps_its_name(graph: Graphs) -> None:
    model = graph(CONV_BN, w=normal(4, 3, 3, 3), **statistics(4))
    fold(model)
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert operators(model) == ["Conv"]


def test_layers_keep_their_names(graph: Graphs) -> None:
    model = graph(
        """(float[N,3,5,5] x) => (float[N,4,5,5] y) {
            [stem] c = Conv <pads = [1,1,1,1]> (x, w)
            [bn] b = BatchNormalization (c, gamma, beta, mean, var)
            [relu] y = Relu (b)
        }""",
        w=normal(4, 3, 3, 3),
        **statistics(4),
    )
    fold(model)
    assert [node.name for node in model.graph] == ["stem", "relu"]
    assert [str(node.outputs[0].name) for node in model.graph] == ["c", "y"]
    assert set(model.graph.initializers) == {"w", "stem.bias"}


def test_a_convolution_with_two_readers_keeps_a_scale_and_a_shift(graph: Graphs, run: Run) -> None:
    text = """(float[N,3,5,5] x) => (float[N,4,5,5] y) {
        [stem] c = Conv <pads = [1,1,1,1]> (x, w)
        [bn] b = BatchNormalization (c, gamma, beta, mean, var)
        [join] y = Add (b, c)
    }"""
    constants = {"w": normal(4, 3, 3, 3)} | statistics(4)
    x = normal(2, 3, 5, 5, seed=1)
    before = run(graph(text, **constants), x)
    model = graph(text, **constants)
    found = fold(model)
    assert (found.folded, found.total, found.kept) == (0, 1, ("bn",))
    assert operators(model) == ["Conv", "Mul", "Add", "Add"]
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(array(model, "w"), constants["w"])


def test_a_convolution_that_is_an_answer_itself_keeps_its_weights(graph: Graphs) -> None:
    model = graph(
        """(float[N,3,5,5] x) => (float[N,4,5,5] c, float[N,4,5,5] y) {
            [stem] c = Conv <pads = [1,1,1,1]> (x, w)
            [bn] y = BatchNormalization (c, gamma, beta, mean, var)
        }""",
        w=normal(4, 3, 3, 3),
        **statistics(4),
    )
    assert fold(model).kept == ("bn",)
    assert [value.name for value in model.graph.outputs] == ["c", "y"]


class PreActivation(nn.Module):
    """He et al. 2016b: BN, ReLU, convolution; the norms have no convolution to go into."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.fc = nn.Linear(4, 3)
        for norm in (self.bn1, self.bn2):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        x = x + self.conv2(self.bn1(x).relu())
        return self.fc(self.bn2(x).relu().mean((2, 3)))


def test_norms_before_their_convolution_become_scale_and_shift(run: Run) -> None:
    network = PreActivation().eval()
    model = trace(network, (3, 6, 6)).model
    found = fold(model)
    assert (found.folded, found.total, found.kept) == (0, 2, ("bn1", "bn2"))
    assert operators(model).count("Mul") == 2
    assert "BatchNormalization" not in operators(model)
    x = torch.randn(2, 3, 6, 6)
    with torch.inference_mode():
        np.testing.assert_allclose(run(model, x.numpy()), network(x).numpy(), atol=1e-5)


def test_a_norm_behind_a_linear_layer(run: Run) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4)
    ).eval()
    nn.init.uniform_(network[3].running_var, 0.2, 2)
    model = trace(network, (3, 6, 6)).model
    assert fold(model).kept == ("3",)
    x = torch.randn(2, 3, 6, 6)
    with torch.inference_mode():
        np.testing.assert_allclose(run(model, x.numpy()), network(x).numpy(), atol=1e-5)
    assert model.graph.outputs[0].name == "logits"


def test_a_zero_variance_is_what_epsilon_is_for(graph: Graphs, run: Run) -> None:
    constants = {"w": normal(4, 3, 3, 3)} | statistics(4, var=np.zeros(4))
    model = graph(CONV_BN, **constants)
    assert fold(model).folded == 1
    assert np.isfinite(run(model, normal(1, 3, 5, 5))).all()


def test_convolutions_over_one_and_three_dimensions(graph: Graphs, run: Run) -> None:
    for dims in (1, 3):
        sides = ",".join("5" * dims)
        text = f"""(float[N,3,{sides}] x) => (float[N,4,{sides}] y) {{
            [stem] c = Conv <pads = [{",".join("1" * 2 * dims)}]> (x, w)
            [bn] y = BatchNormalization (c, gamma, beta, mean, var)
        }}"""
        constants = {"w": normal(4, 3, *(3,) * dims)} | statistics(4)
        x = normal(2, 3, *(5,) * dims, seed=3)
        model = graph(text, **constants)
        fold(model)
        np.testing.assert_allclose(run(model, x), run(graph(text, **constants), x), atol=1e-4)


def test_a_graph_without_norms_is_left_alone(graph: Graphs) -> None:
    model = graph("(float[N,3,5,5] x) => (float[N,3,5,5] y) { [relu] y = Relu (x) }")
    found = fold(model)
    assert (found.folded, found.total, found.kept, found.max_weight_change) == (0, 0, (), 0.0)
    assert operators(model) == ["Relu"]


def test_a_name_that_is_taken_is_not_overwritten(graph: Graphs, run: Run) -> None:
    """`stem.bias`, which folding would add, may belong to somebody else already."""
    text = """(float[N,3,5,5] x) => (float[N,4,5,5] y) {
        [stem] c = Conv <pads = [1,1,1,1]> (x, w)
        [bn] b = BatchNormalization (c, gamma, beta, mean, var)
        [join] y = Add (b, other)
    }"""
    constants = {"w": normal(4, 3, 3, 3)} | statistics(4)
    x = normal(1, 3, 5, 5)
    models = [graph(text, other=normal(4, 1, 1), **constants) for _ in range(2)]
    models[1].graph.initializers["other"].name = "stem.bias"
    fold(models[1])
    np.testing.assert_allclose(run(models[1], x), run(models[0], x), atol=1e-4)
