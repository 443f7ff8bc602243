"""FP16 or BF16 inside, FP32 logits, integers as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import quantized
import torch
from numpy.typing import NDArray
from quantized import Graphs, symmetric_residual
from torch import Tensor, nn

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.half import KEEPABLE, halve
from resnet_convert.graph.initializers import assign
from resnet_convert.graph.nodes import element_types
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.ranges import Range
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights

Run = Callable[..., NDArray[Any]]
FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def inferred_types(model: ir.Model) -> dict[str, int]:
    """The type of every value, as ONNX itself infers it, whatever our annotations say."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    found = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    values = (*found.graph.value_info, *found.graph.input, *found.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize("raw", [True, False], ids=["uint8", "float32"])
def test_only_fp16_between_the_two_casts(
    raw: bool, folded_digits: ir.Model, digits: Weights
) -> None:
    if raw:
        take_pixels(folded_digits, digits.preprocessing)
    halve(folded_digits)
    types = inferred_types(folded_digits)
    nodes = list(folded_digits.graph)
    casts = [index for index, node in enumerate(nodes) if node.op_type == "Cast"]
    enter, leave = casts[-2:]
    assert nodes[leave] is nodes[-1]
    for node in nodes[enter:leave]:
        assert types[str(node.outputs[0].name)] == FLOAT16, node.name
    for node in nodes[enter + 1 : leave]:
        for value in node.inputs:
            if value is not None and value.const_value is not None:
                assert value.dtype in (ir.DataType.FLOAT16, ir.DataType.INT64), value.name
    assert types["logits"] == FLOAT
    before = [types[str(node.outputs[0].name)] for node in nodes[:enter]]
    assert before == ([FLOAT] * 3 if raw else [])


def test_annotations_agree_with_what_onnx_infers(folded_digits: ir.Model) -> None:
    halve(folded_digits)
    types = inferred_types(folded_digits)
    for node in folded_digits.graph:
        for value in node.outputs:
            assert value.dtype is not None
            assert value.dtype.value == types[str(value.name)], value.name


def test_integers_are_untouched(folded_digits: ir.Model) -> None:
    def integers() -> dict[str, list[int]]:
        return {
            name: value.const_value.numpy().tolist()
            for name, value in folded_digits.graph.initializers.items()
            if value.dtype == ir.DataType.INT64
        }

    before = integers()
    assert before
    halve(folded_digits)
    assert integers() == before


def test_the_mean_of_the_pixels_stays_exact(folded_digits: ir.Model, digits: Weights) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    halve(folded_digits)
    assert folded_digits.graph.initializers["pixels.mean"].dtype == ir.DataType.FLOAT


def test_it_runs_and_stays_close(
    folded_digits: ir.Model, digits: Weights, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    planes = digits.preprocessing.normalize(digits_pixels)
    exact = run(folded_digits, planes)
    found = halve(folded_digits)
    answer = run(folded_digits, planes)
    assert answer.dtype == np.float32
    assert 40 < numerics.compare(exact, answer).sqnr_db < 90, "FP16, neither FP32 nor noise"
    assert found.tensors == 2 * 20 + 2  # weight and bias of 20 layers, the fillers of two Pads
    counted = sum(
        value.const_value.size
        for value in folded_digits.graph.initializers.values()
        if value.dtype == ir.DataType.FLOAT16
    )
    assert found.values == counted


def model_with(weight: float) -> ir.Model:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        network[0].weight[1, 2] = weight
    return trace(network, (3, 4, 4)).model


@pytest.mark.parametrize("weight", [65505.0, -1e6, 1e30])
def test_what_does_not_fit_is_refused_and_named(weight: float) -> None:
    with pytest.raises(ConversionError, match="does not fit FP16") as refusal:
        halve(model_with(weight))
    assert refusal.value.where == "fp16: 0.weight"
    assert f"{abs(weight):.4g}" in str(refusal.value)


def test_not_a_number_does_not_fit(folded_digits: ir.Model) -> None:
    constant = folded_digits.graph.initializers["fc.weight"]
    broken = constant.const_value.numpy().copy()
    broken[0, 0] = np.nan
    constant.const_value = ir.tensor(broken, name="fc.weight")
    with pytest.raises(ConversionError, match=r"fc\.weight"):
        halve(folded_digits)


def test_the_largest_fp16_fits() -> None:
    halve(model_with(65504.0))


def test_values_that_become_zero_are_counted() -> None:
    assert halve(model_with(1e-9)).flushed_to_zero == 1
    assert halve(model_with(0.0)).flushed_to_zero == 0
    assert halve(model_with(6e-8)).flushed_to_zero == 0  # the smallest subnormal number is kept


def test_bf16_is_rounded_to_nearest_even_and_named(
    folded_digits: ir.Model, digits: Weights, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    planes = digits.preprocessing.normalize(digits_pixels)
    exact = run(folded_digits, planes)
    weight = folded_digits.graph.initializers["fc.weight"].const_value.numpy().copy()
    found = halve(folded_digits, "bf16")
    assert found.tensors == 2 * 20 + 2
    graph = folded_digits.graph
    stored = graph.initializers["fc.weight"].const_value.numpy()
    nearest = torch.from_numpy(weight).bfloat16().float().numpy()
    np.testing.assert_array_equal(stored.astype(np.float32), nearest)
    assert (graph[0].name, graph[-1].name) == ("bf16.enter", "bf16.leave")
    assert {node.outputs[0].dtype for node in list(graph)[:-1]} == {ir.DataType.BFLOAT16}
    assert graph.outputs[0].dtype == ir.DataType.FLOAT
    with onnxruntime_runtime.load(emulated(folded_digits), threads=1) as session:
        assert 25 < numerics.compare(exact, session.run(planes)).sqnr_db < 55


@pytest.mark.parametrize("weight", [3.4e38, np.nan, np.inf])
def test_bf16_holds_what_fp16_cannot_but_no_infinity(weight: float) -> None:
    halve(model_with(1e30), "bf16")
    model = model_with(1.0)
    assign(model.graph.initializers["0.weight"], np.full((2, 3, 1, 1), weight, np.float32))
    with pytest.raises(ConversionError, match="does not fit BF16") as refusal:
        halve(model, "bf16")
    assert refusal.value.where == "bf16: 0.weight"


@pytest.mark.parametrize("number", ["int8", "fp8"])
def test_a_quantized_graph_keeps_its_integers(graph: Graphs, number: str) -> None:
    model = symmetric_residual(graph, number, channels=16)
    kept = {"INT8", "FLOAT8E4M3FN"}
    initializers = model.graph.initializers
    before = {
        name: value.const_value.numpy().copy()
        for name, value in initializers.items()
        if str(value.dtype) in kept
    }
    halve(model)
    for name, stored in before.items():
        np.testing.assert_array_equal(initializers[name].const_value.numpy(), stored)
    others = {str(value.dtype) for name, value in initializers.items() if name not in before}
    assert others == {"FLOAT16"}
    assert model.graph[0].name == "fp16.enter"
    types = inferred_types(model)
    for value, dtype in element_types(model.graph).items():
        if str(value.name) in types:
            assert dtype is not None
            assert types[str(value.name)] == dtype.value, value.name


def test_the_cast_stands_before_the_pixels_are_quantized(
    folded_digits: ir.Model, digits: Weights
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    ranges = dict.fromkeys(s8s8.activations(folded_digits), Range(-200.0, 200.0))
    s8s8.quantize(folded_digits, ranges)
    halve(folded_digits)
    assert inferred_types(folded_digits)["pixels.centred"] == FLOAT
    quantizer = quantized.node(folded_digits, "pixels.centred.q")
    assert quantizer.inputs[0].producer() is quantized.node(folded_digits, "fp16.enter")


def test_a_scale_that_would_be_rounded_is_refused(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    with pytest.raises(ConversionError, match="scale of a Q/DQ pair is not exact in BF16"):
        halve(model, "bf16")


def test_an_input_that_two_nodes_read_is_cast_before_both(run: Run) -> None:
    class Bypass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv1 = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            first = self.conv1(x)
            return (x.relu() + first).mean((2, 3))

    network = Bypass()
    model = trace(network, (3, 4, 4)).model
    graph = model.graph
    # The same readers, listed in another order than they run in.
    image, conv = graph.inputs[0], next(node for node in graph if node.op_type == "Conv")
    conv.replace_input_with(0, None)
    conv.replace_input_with(0, image)
    assert image.uses()[0].node is not conv
    halve(model)
    x = torch.randn(2, 3, 4, 4)
    with torch.inference_mode():
        np.testing.assert_allclose(run(model, x.numpy()), network(x).numpy(), atol=1e-2)
    assert [node.op_type for node in graph].count("Cast") == 2


def test_a_kept_module_is_fp32_up_to_those_that_read_it(
    folded_digits: ir.Model, digits: Weights, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    planes = digits.preprocessing.normalize(digits_pixels)
    exact = run(folded_digits, planes)
    weight = quantized.array(folded_digits, "layer1.0.conv1.weight").copy()
    found = halve(folded_digits, keep=frozenset({"layer1.0.conv1"}))
    assert found.fp32_nodes == ("layer1.0.conv1", "layer1.0.conv2")
    assert found.tensors == 2 * 18 + 2
    np.testing.assert_array_equal(quantized.array(folded_digits, "layer1.0.conv1.weight"), weight)
    casts = [str(n.name) for n in folded_digits.graph if n.op_type == "Cast"]
    assert casts == ["fp16.enter", "relu.fp32", "layer1.0.conv2.fp16", "fp16.leave"]
    types = inferred_types(folded_digits)
    assert types["layer1.0.relu"] == types["layer1.0.conv2"] == FLOAT
    assert types["layer1.0.add"] == types["relu"] == FLOAT16
    assert 40 < numerics.compare(exact, run(folded_digits, planes)).sqnr_db < 90


def test_everything_kept_is_fp32(folded_digits: ir.Model) -> None:
    nodes = [n for n in folded_digits.graph if n.op_type in KEEPABLE]
    before = [n.op_type for n in folded_digits.graph]
    found = halve(folded_digits, keep=frozenset(str(n.name) for n in nodes))
    assert (found.tensors, found.values) == (0, 0)
    assert [n.op_type for n in folded_digits.graph] == before
    assert set(inferred_types(folded_digits).values()) <= {FLOAT, onnx.TensorProto.INT64}


def test_a_constant_that_both_read_is_kept_and_rounded(graph: Graphs, run: Run) -> None:
    text = """(float[N,2,1,1] image) => (float[N,2] y) {
        [one] a = Conv (image, w, b)
        [relu] r = Relu (a)
        [two] c = Conv (r, v, b)
        [three] d = Conv (c, u, b)
        [flatten] y = Flatten (d)
    }"""
    constants = {n: quantized.normal(2, 2, 1, 1, seed=i) for i, n in enumerate("wvu")}
    model = graph(text, **constants, b=quantized.normal(2))
    halve(model, keep=frozenset({"one"}))
    assert quantized.node(model, "one").inputs[2].dtype == ir.DataType.FLOAT
    assert quantized.node(model, "three").inputs[2].dtype == ir.DataType.FLOAT16
    assert run(model, quantized.normal(3, 2, 1, 1)).shape == (3, 2)


def test_an_unknown_module_to_keep_is_refused(folded_digits: ir.Model) -> None:
    with pytest.raises(ConversionError, match=r"no layer 'layer1\.0\.ad' to keep") as refusal:
        halve(folded_digits, keep=frozenset({"layer1.0.ad"}))
    assert "layer1.0.add" in str(refusal.value.remedy)
