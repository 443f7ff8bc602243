"""The rules of u8s8.py, one by one, and what ONNX Runtime compiles from them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import quantized
import torch
from numpy.typing import NDArray
from quantized import Graphs, Run, array, calibrated, node, normal, operators
from this_cpu import LARGEST

from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.nodes import readers_of
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.u8s8 import activations, quantize
from resnet_serve.architectures import build, find
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights


@pytest.fixture
def block(graph: Graphs) -> ir.Model:
    return quantized.block(graph)


def pair(model: ir.Model, tensor: str) -> tuple[ir.Node, ir.Node]:
    quantizer, dequantizer = node(model, f"{tensor}.q"), node(model, f"{tensor}.dq")
    assert quantizer.op_type == "QuantizeLinear"
    assert dequantizer.op_type == "DequantizeLinear"
    assert dequantizer.inputs[0] is quantizer.outputs[0]
    assert list(dequantizer.inputs[1:]) == list(quantizer.inputs[1:])
    return quantizer, dequantizer


def readers(value: ir.Value) -> set[str]:
    return {str(reader.name) for reader in readers_of(value)}


def test_one_pair_behind_every_producer_and_none_before_a_relu(block: ir.Model) -> None:
    assert activations(block) == ("image", "b", "d", "e", "g", "h", "i")
    found = calibrated(block, normal(8, 4, 6, 6))
    assert found == Quantization(layers=4, activations=7, dropped_relus=3, coarsened_channels=0)
    pairs = [n for n in block.graph if n.op_type == "QuantizeLinear"]
    assert [str(n.name) for n in pairs] == [
        f"{t}.q" for t in ("image", "b", "d", "e", "g", "h", "i")
    ]
    assert "Relu" not in operators(block)


@pytest.mark.parametrize(
    "call",
    [
        "Conv (b, w)",
        "Add (b, b)",
        "AveragePool <kernel_shape = [2,2]> (b)",
        "GlobalAveragePool (b)",
        "Concat <axis = 1> (b, b)",
    ],
)
def test_every_quantized_operator_has_pairs_on_both_sides(graph: Graphs, call: str) -> None:
    """Whatever its neighbours are: here they are not quantized themselves."""
    model = graph(
        f"(float[N,4,6,6] image) => (y) {{ b = Neg (image) c = {call} y = Neg (c) }}",
        w=normal(2, 4, 1, 1),
    )
    assert activations(model) == ("b", "c")


@pytest.mark.parametrize(
    "call",
    [
        "Relu (b)",
        "MaxPool <kernel_shape = [2,2]> (b)",
        "Slice (b, one, two, one)",
        "Pad (b, pads)",
        "Flatten (b)",
        "Reshape (b, shape)",
        "Transpose <perm = [0,1,3,2]> (b)",
    ],
)
def test_what_moves_values_is_quantized_where_a_neighbour_is(graph: Graphs, call: str) -> None:
    constants = {
        "one": np.array([1]),
        "two": np.array([2]),
        "pads": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
        "shape": np.array([0, 4, 4, 9]),
    }
    alone = f"(float[N,4,6,6] image) => (y) {{ b = Neg (image) c = {call} y = Neg (c) }}"
    assert activations(graph(alone, **constants)) == ()
    behind = alone.replace("b = Neg (image)", "b = Concat <axis = 1> (image, image)")
    moved = () if call.startswith("Relu") else ("b",)  # a ReLU's input is not rounded
    assert activations(graph(behind, **constants)) == ("image", *moved, "c")
    before = alone.replace("y = Neg (c)", "y = Concat <axis = 1> (c, c) z = Neg (y)")
    before = before.replace("=> (y)", "=> (z)")
    assert activations(graph(before, **constants)) == (*moved, "c", "y")


def test_an_identity_shortcut_shares_the_pair_of_its_block(block: ir.Model) -> None:
    calibrated(block, normal(8, 4, 6, 6))
    _, dequantizer = pair(block, "b")
    assert readers(dequantizer.outputs[0]) == {"block_conv1", "block_add"}


def test_an_add_has_integers_on_both_sides_and_behind(block: ir.Model) -> None:
    calibrated(block, normal(8, 4, 6, 6))
    add = node(block, "block_add")
    assert [value.producer().name for value in add.inputs] == ["e.dq", "b.dq"]
    assert readers(add.outputs[0]) == {"g.q"}


def test_a_relu_is_dropped_only_where_the_grid_saturates_at_zero(graph: Graphs, run: Run) -> None:
    x = normal(8, 4, 6, 6)
    model, exact = quantized.block(graph), quantized.block(graph)
    ranges = observe(model, activations(model), [x], threads=1).ranges
    below_zero = {**ranges, "d": Range(-0.5, ranges["d"].high)}
    found = quantize(model, below_zero, largest_weight=LARGEST)
    assert found.dropped_relus == 2
    assert [n.name for n in model.graph if n.op_type == "Relu"] == ["block_relu"]
    assert array(model, "d.zero") > 0
    assert numerics.compare(run(exact, x), run(model, x)).sqnr_db > 20


def test_what_moves_values_shares_the_grid_of_its_input(graph: Graphs, run: Run) -> None:
    model = quantized.moved(graph)
    x = normal(8, 4, 8, 8)
    calibrated(model, x)
    grids = {(float(array(model, f"{t}.scale")), int(array(model, f"{t}.zero"))) for t in "rmsp"}
    assert len(grids) == 1
    assert float(array(model, "f.scale")) == float(array(model, "c.scale"))
    exact = run(quantized.moved(graph), x)
    assert numerics.compare(exact, run(model, x)).sqnr_db > 25
    compiled = onnxruntime_runtime.compiled(serialize(model)).operators
    assert compiled["QLinearConv"] == 2
    assert not compiled["Conv"] + compiled["FusedConv"]


def test_a_pad_by_something_else_than_zero_has_a_range_of_its_own(graph: Graphs, run: Run) -> None:
    model = quantized.moved(graph, value=-40.0)
    x = normal(8, 4, 8, 8)
    calibrated(model, x)
    assert float(array(model, "p.scale")) > 2 * float(array(model, "s.scale"))
    exact = run(quantized.moved(graph, value=-40.0), x)
    assert numerics.compare(exact, run(model, x)).sqnr_db > 25


def test_concatenations_and_pools_stay_in_integers(graph: Graphs, run: Run) -> None:
    text = """(float[N,4,8,8] image) => (float[N,8] y) {
        [one] a = Conv <pads = [1,1,1,1]> (image, w, b)
        [two] c = Conv <pads = [1,1,1,1]> (image, v)
        [cat] d = Concat <axis = 1> (a, c)
        [pool] e = AveragePool <kernel_shape = [2,2], strides = [2,2]> (d)
        [last] f = Conv (e, u)
        [gap] g = GlobalAveragePool (f)
        [flatten] y = Flatten (g)
    }"""
    constants = {
        "w": normal(4, 4, 3, 3, scale=0.3),
        "b": normal(4),
        "v": normal(4, 4, 3, 3, seed=3, scale=0.1),
        "u": normal(8, 8, 1, 1, seed=4, scale=0.3),
    }
    model = graph(text, **constants)
    x = normal(8, 4, 8, 8)
    calibrated(model, x)
    assert numerics.compare(run(graph(text, **constants), x), run(model, x)).sqnr_db > 20
    compiled = onnxruntime_runtime.compiled(serialize(model)).operators
    assert compiled["QLinearConv"] == 3
    assert compiled["QLinearConcat"] == 1


def test_weights_are_symmetric_integers_per_channel(block: ir.Model) -> None:
    exact = array(block, "w2")
    calibrated(block, normal(8, 4, 6, 6))
    integers, scale = array(block, "block_conv1.weight.q"), array(block, "block_conv1.weight.scale")
    assert (integers.dtype, scale.dtype, scale.shape) == (np.int8, np.float32, (4,))
    assert not array(block, "block_conv1.weight.zero").any()
    assert np.abs(integers.astype(int)).max(axis=(1, 2, 3)).tolist() == [LARGEST] * 4
    step = scale[:, None, None, None]
    assert (np.abs(integers * step - exact) <= 0.5001 * step).all()
    dequantizer = node(block, "block_conv1.weight.dq")
    assert dequantizer.attributes["axis"].as_int() == 0
    assert "QuantizeLinear" not in {
        n.op_type for n in block.graph if n.outputs[0] in node(block, "block_conv1").inputs[1:]
    }


def test_the_scale_of_a_bias_is_the_product_to_the_bit(block: ir.Model) -> None:
    exact = {
        "conv1": array(block, "b1"),
        "block_conv1": array(block, "b2"),
        "fc": array(block, "b4"),
    }
    calibrated(block, normal(8, 4, 6, 6))
    for layer, taken in (("conv1", "image"), ("block_conv1", "b"), ("fc", "i")):
        product = array(block, f"{taken}.scale") * array(block, f"{layer}.weight.scale")
        assert product.dtype == np.float32
        assert array(block, f"{layer}.bias.scale").tobytes() == product.tobytes()
        integers = array(block, f"{layer}.bias.q")
        assert integers.dtype == np.int32
        found = integers * product.astype(np.float64)
        np.testing.assert_allclose(found, exact[layer], atol=product.max())


def test_logits_and_input_stay_fp32(block: ir.Model) -> None:
    calibrated(block, normal(8, 4, 6, 6))
    assert block.graph.inputs[0].dtype == block.graph.outputs[0].dtype == ir.DataType.FLOAT
    assert block.graph.outputs[0].producer() is node(block, "fc")


def test_fp32_weights_are_gone_from_the_file(block: ir.Model) -> None:
    calibrated(block, normal(8, 4, 6, 6))
    used = {value.name for n in block.graph for value in n.inputs if value is not None}
    assert set(block.graph.initializers) <= used
    assert not {"w1", "w2", "w3", "w4", "b1"} & set(block.graph.initializers)


def test_shared_weights_are_refused_and_named(graph: Graphs) -> None:
    model = graph(
        """(float[N,3,5,5] image) => (float[N,75] y) {
            [one] a = Conv (image, w)
            [two] b = Conv (a, w)
            [flatten] y = Flatten (b)
        }""",
        w=normal(3, 3, 1, 1),
    )
    with pytest.raises(ConversionError, match="'w' is shared by one, two"):
        calibrated(model, normal(2, 3, 5, 5))


def test_a_gemm_the_other_way_round_is_refused(graph: Graphs) -> None:
    model = graph(
        "(float[N,3] image) => (float[N,4] y) { [fc] y = Gemm (image, w) }", w=normal(3, 4)
    )
    with pytest.raises(ConversionError, match=r"\[classes, features\]") as refusal:
        calibrated(model, normal(2, 3))
    assert refusal.value.where == "int8: fc"


def test_norms_that_stay_as_scale_and_shift_stay_in_float(graph: Graphs, run: Run) -> None:
    text = """(float[N,4,6,6] image) => (float[N,4] y) {
        [bn_mul] a = Mul (image, factor)
        [bn] b = Add (a, offset)
        [relu] c = Relu (b)
        [conv] d = Conv (c, w)
        [pool] e = GlobalAveragePool (d)
        [flatten] y = Flatten (e)
    }"""
    constants = {
        "factor": normal(4, 1, 1),
        "offset": normal(4, 1, 1, seed=1),
        "w": normal(4, 4, 3, 3, seed=2),
    }
    model = graph(text, **constants)
    x = normal(8, 4, 6, 6)
    calibrated(model, x)
    assert numerics.compare(run(graph(text, **constants), x), run(model, x)).sqnr_db > 20
    assert onnxruntime_runtime.compiled(serialize(model)).operators["QLinearConv"] == 1


def test_digits_run_in_integers(
    folded_digits: ir.Model, digits: Weights, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    exact = run(folded_digits, digits_pixels)
    found = calibrated(folded_digits, digits_pixels)
    assert (found.layers, found.dropped_relus) == (20, 19)
    assert_integer_graph(folded_digits, convolutions=19, additions=9)
    result = numerics.compare(exact, run(folded_digits, digits_pixels))
    assert result.cosine > 0.99
    assert result.sqnr_db > 20


@pytest.fixture(scope="module")
def quantized_resnet50() -> tuple[ir.Model, Quantization]:
    torch.manual_seed(0)
    network = build(find("resnet50")).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 64))
    model = trace(network.eval(), (3, 64, 64)).model
    fold(model)
    take_pixels(model, Preprocessing(resize=64, crop=(64, 64)))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    return model, calibrated(model, images)


def test_resnet50_runs_in_integers(quantized_resnet50: tuple[ir.Model, Quantization]) -> None:
    model, found = quantized_resnet50
    assert (found.layers, found.dropped_relus) == (54, 49)
    assert_integer_graph(model, convolutions=53, additions=16)


def assert_integer_graph(model: ir.Model, *, convolutions: int, additions: int) -> None:
    """What the runtime executes, not what the file asks for."""
    asked = operators(model)
    assert not {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"} & set(asked)
    compiled = onnxruntime_runtime.compiled(serialize(model)).operators
    assert compiled["QLinearConv"] == convolutions
    assert compiled["QLinearAdd"] == additions
    assert compiled["QGemm"] == 1
    for name in ("Conv", "FusedConv", "Add", "Relu", "Gemm", "DynamicQuantizeLinear"):
        assert not compiled[name], name
