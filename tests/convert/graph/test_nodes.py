"""The vocabulary: who writes and reads a tensor, what only moves values, and Q/DQ pairs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from quantized import Graphs, node, normal, residual, symmetric_residual

from resnet_convert.graph.half import halve
from resnet_convert.graph.nodes import (
    before_pair,
    data_input,
    dequantized_name,
    dequantizer,
    element_types,
    layer_of,
    layers_named,
    moves,
    output_major_weight,
    qdq_nodes,
    quantizer,
    readers_of,
    relu_of,
    source,
    stored_weight,
    writer_of,
)
from resnet_serve.errors import ConversionError

TWO_READERS = """(float[N,3,4,4] x) => (float[N,3,4,4] y) {
    [conv] a = Conv (x, w)
    [relu] b = Relu (a)
    [twice] c = Add (b, b)
    [last] y = Add (c, a)
}"""


@pytest.fixture
def shared(graph: Graphs) -> ir.Model:
    """A Conv whose output its ReLU and an Add read, and an Add that reads one tensor twice."""
    return graph(TWO_READERS, w=normal(3, 3, 1, 1))


@pytest.fixture
def pairs(graph: Graphs) -> ir.Model:
    """A residual network with INT8 pairs for TensorRT."""
    return symmetric_residual(graph)


def value(model: ir.Model, name: str) -> ir.Value:
    return next(v for n in model.graph for v in n.outputs if v.name == name)


def names(nodes: list[ir.Node]) -> list[str]:
    return [str(each.name) for each in nodes]


def test_a_tensor_has_a_writer_and_an_entry_for_each_input_that_reads_it(
    shared: ir.Model,
) -> None:
    assert writer_of(value(shared, "b")) is node(shared, "relu")
    assert writer_of(shared.graph.inputs[0]) is writer_of(None) is None
    assert names(readers_of(value(shared, "b"))) == ["twice", "twice"]
    assert names(readers_of(value(shared, "a"))) == ["relu", "last"]
    assert readers_of(value(shared, "y")) == []


def test_a_relu_belongs_to_an_operator_that_only_it_reads(shared: ir.Model, graph: Graphs) -> None:
    assert relu_of(node(shared, "conv")) is None
    model = residual(graph)
    assert relu_of(node(model, "conv1")) is node(model, "relu")
    assert relu_of(node(model, "fc")) is None


def test_an_operator_without_inputs_is_refused(shared: ir.Model) -> None:
    assert data_input(node(shared, "conv")) is shared.graph.inputs[0]
    with pytest.raises(ConversionError, match=r"empty \(Constant\): has no input"):
        data_input(ir.node("Constant", [], name="empty"))


PADS = "pads = Constant <value = int64[8] {0,0,0,0,0,0,1,1}> ()"
MOVERS = {
    "y = MaxPool <kernel_shape = [2,2]> (r)": True,
    "y = Flatten (r)": True,
    "y = Slice (r, at, to)": True,
    "y = Pad (r, pads)": True,
    "y = Pad (r, pads, zero)": True,
    "y = Pad (r, pads, one)": False,
    "y = Relu (r)": False,
    "y = AveragePool <kernel_shape = [2,2]> (r)": False,
}


@pytest.mark.parametrize(("call", "moving"), MOVERS.items())
def test_what_moves_values_has_the_range_of_its_input(
    call: str, moving: bool, graph: Graphs
) -> None:
    model = graph(
        f"(float[N,3,4,4] x) => (float y) {{ r = Neg (x) [op] {call} }}",
        at=np.array([0, 0, 1, 1]),
        to=np.array([1, 3, 4, 4]),
        pads=np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        zero=np.float32(0),
        one=np.float32(1),
    )
    assert moves(node(model, "op")) == moving
    assert source(value(model, "y")) == ("r" if moving else "y")


def test_layers_are_found_by_name_and_a_misspelt_one_is_refused(graph: Graphs) -> None:
    model = residual(graph)
    assert names(sorted(layers_named(model.graph, ["fc", "conv1"], where="int8"), key=str)) == [
        "conv1",
        "fc",
    ]
    assert layers_named(model.graph, [], where="int8") == frozenset()
    assert layers_named(model.graph, ["block_add"], where="fp16", kinds={"Add"})
    with pytest.raises(ConversionError) as refusal:
        layers_named(model.graph, ["fc", "block_add"], where="int8")
    text = str(refusal.value)
    assert text.startswith("int8: the network has no layer 'block_add' to keep. The nearest names")
    assert "block_conv1" in text


def test_weights_have_their_output_channels_first(graph: Graphs) -> None:
    model = residual(graph)
    assert output_major_weight(node(model, "fc"), where="int8").name == "w7"
    node(model, "fc").attributes["transB"] = ir.AttrInt64("transB", 0)
    with pytest.raises(ConversionError, match=r"int8: fc: needs weights \[classes, features\]"):
        output_major_weight(node(model, "fc"), where="int8")


def test_a_pair_is_walked_back_and_forth(pairs: ir.Model) -> None:
    conv = node(pairs, "block_conv1")
    dequantize = dequantizer(conv.inputs[0])
    assert dequantize is node(pairs, dequantized_name("b"))
    quantize = quantizer(dequantize.inputs[0])
    assert quantize is node(pairs, "b.q")
    assert before_pair(conv.inputs[0]) is quantize.inputs[0] is value(pairs, "b")
    assert before_pair(value(pairs, "b")) is value(pairs, "b")
    for nothing in (None, value(pairs, "b"), pairs.graph.inputs[0]):
        assert dequantizer(nothing) is quantizer(nothing) is None


def test_a_pair_is_named_by_the_first_layer_that_reads_it(pairs: ir.Model) -> None:
    # The Add reads the pair of its block's input too, but behind the block's convolution.
    assert layer_of(node(pairs, "b.q")) == layer_of(node(pairs, "b.dq")) == "block_conv1"
    assert layer_of(node(pairs, "block_conv1.weight.dq")) == "block_conv1"
    assert layer_of(node(pairs, "block_relu")) == "block_relu"


def test_weights_are_seen_as_they_are_stored(pairs: ir.Model, graph: Graphs) -> None:
    stored = stored_weight(node(pairs, "block_conv1"))
    assert stored is not None
    assert (stored.name, stored.dtype) == ("block_conv1.weight.q", ir.DataType.INT8)
    assert stored_weight(node(residual(graph), "block_conv1")).name == "w2"


def test_only_q_and_dq_are_listed_in_order(pairs: ir.Model) -> None:
    listed = names(list(qdq_nodes(pairs)))
    assert listed[:3] == ["image.q", "image.dq", "conv1.weight.dq"]
    assert listed == [str(each.name) for each in pairs.graph if "Linear" in each.op_type]


def test_types_follow_from_the_operators_whatever_is_annotated(pairs: ir.Model) -> None:
    halve(pairs)
    for each in pairs.graph:
        for output in each.outputs:
            output.type = None
    types = {str(v.name): found for v, found in element_types(pairs.graph).items()}
    assert types["image"] == types["logits"] == ir.DataType.FLOAT
    assert types["a"] == types["b1"] == ir.DataType.FLOAT16
    quantize = node(pairs, "b.q")
    assert types[str(quantize.outputs[0].name)] == ir.DataType.INT8
    assert types["b.dq"] == ir.DataType.FLOAT16
