"""A graph as bytes: copies have the same ones, passes on a copy leave the original's alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from quantized import Graphs, node, normal, residual

from resnet_convert.graph.emulate import emulate
from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import array_of, assign, set_bias
from resnet_convert.graph.model_file import (
    check,
    serialize,
    serialize_with_outputs,
    without_weights,
)
from resnet_convert.graph.opset import FOR_BF16, raise_opset
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.quantization.dialects import S8S8, U8S8, Dialect
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.rewrites.bias_correction import correct, mean_responses
from resnet_convert.quantization.rewrites.equalize import equalize
from resnet_serve.errors import ConversionError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

NORMED = """(float[N,3,6,6] image) => (float[N,4] logits) {
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w1, b1)
    [bn1] b = BatchNormalization (a, gamma, beta, mean, var)
    [relu] c = Relu (b)
    [conv2] d = Conv (c, w2)
    [pool] e = GlobalAveragePool (d)
    [flatten] logits = Flatten (e)
}"""


def network(graph: Graphs) -> ir.Model:
    """Two convolutions, one with a BatchNorm, with metadata wherever there may be some."""
    model = graph(
        NORMED,
        w1=normal(4, 3, 3, 3),
        b1=normal(4, seed=1),
        gamma=normal(4, seed=2),
        beta=normal(4, seed=3),
        mean=normal(4, seed=4),
        var=np.abs(normal(4, seed=5)),
        w2=normal(4, 4, 3, 3, seed=6),
    )
    model.producer_name, model.producer_version, model.doc_string = "resnet-serve", "1", "a model"
    model.metadata_props["weights"] = "digits"
    model.graph.doc_string = "a graph"
    model.graph.metadata_props["stage"] = "traced"
    conv = node(model, "conv1")
    conv.doc_string, conv.metadata_props["module"] = "a node", "conv1"
    conv.outputs[0].metadata_props["of"] = "conv1"
    return model


def through_protobuf(model: ir.Model) -> ir.Model:
    return ir.from_proto(ir.to_proto(model))


def test_a_clone_has_the_bytes_of_a_copy_through_protobuf(graph: Graphs) -> None:
    model = network(graph)
    data = serialize(model)
    assert serialize(model.clone()) == serialize(through_protobuf(model)) == data
    assert serialize(ir.from_proto(onnx.load_from_string(data)).clone()) == data
    for kept in (b"a model", b"a graph", b"a node", b"digits", b"traced", b"module"):
        assert kept in data


def typed(precision: str) -> Callable[[ir.Model], object]:
    def change(model: ir.Model) -> None:
        fold(model)
        halve(model, precision, keep=frozenset({"conv2"}))
        if precision == "bf16":
            raise_opset(model, *FOR_BF16)

    return change


def pixels(model: ir.Model) -> None:
    take_pixels(model, Preprocessing(resize=6, crop=(6, 6), mean=(0.5,) * 3, std=(0.2,) * 3))


def quantized(dialect: Dialect, precision: str = "int8") -> Callable[[ir.Model], object]:
    def change(model: ir.Model) -> None:
        fold(model)
        ranges = {name: Range(-4.0, 4.0) for name in dialect.activations(model)}
        dialect.convert(model, ranges, precision)

    return change


def corrected(model: ir.Model) -> None:
    fold(model)
    copy = model.clone()
    quantized(S8S8)(copy)
    batches = [normal(4, 3, 6, 6)]
    correct(model, copy, batches, mean_responses(model, batches, threads=1), threads=1)


PASSES: dict[str, Callable[[ir.Model], object]] = {
    "fold": fold,
    "pixels": pixels,
    "fp16": typed("fp16"),
    "bf16": typed("bf16"),
    "u8s8": quantized(U8S8),
    "s8s8": quantized(S8S8),
    "fp8": quantized(S8S8, "fp8"),
    "equalize": lambda model: (fold(model), equalize(model)),
    "bias correction": corrected,
}


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_on_a_clone_does_what_it_does_on_a_copy_and_leaves_the_original_alone(
    name: str, graph: Graphs
) -> None:
    model = network(graph)
    before = serialize(model)
    clone, copy = model.clone(), through_protobuf(model)
    PASSES[name](clone)
    assert serialize(model) == before
    PASSES[name](copy)
    assert serialize(clone) == serialize(copy) != before


def test_what_only_reads_a_graph_leaves_it_alone(graph: Graphs) -> None:
    model = network(graph)
    typed("fp16")(model)
    before = serialize(model)
    emulate(model)
    serialize_with_outputs(model, ["a"])
    assert serialize(model) == before


def test_a_clone_shares_its_arrays_and_they_are_read_only(graph: Graphs) -> None:
    model = residual(graph)
    clone = model.clone()
    first, second = (each.graph.initializers["w1"] for each in (model, clone))
    assert first.const_value is second.const_value
    with pytest.raises(ValueError, match="read-only"):
        array_of(second)[0] = 2
    assign(second, array_of(first))
    with pytest.raises(ValueError, match="read-only"):
        array_of(second)[0] = 2
    set_bias(clone.graph, node(clone, "conv1"), np.zeros(4, np.float32))
    assert array_of(model.graph.initializers["b1"]).any()


def test_named_tensors_become_outputs_behind_the_graphs_own(graph: Graphs) -> None:
    model = residual(graph)
    data = serialize_with_outputs(model, ["g", "image", "logits", "a"])
    assert [value.name for value in onnx.load_from_string(data).graph.output] == [
        "logits",
        "g",
        "a",
    ]


def test_a_valid_graph_passes_the_check(graph: Graphs) -> None:
    for change in PASSES.values():
        model = network(graph)
        change(model)
        check(serialize(model), where="net")


def broken(change: Callable[[onnx.ModelProto], Any]) -> Callable[[bytes], bytes]:
    def rewritten(data: bytes) -> bytes:
        proto = onnx.load_from_string(data)
        change(proto)
        return proto.SerializeToString()

    return rewritten


def unknown_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "Convolve"


def cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "c"


def wrong_type(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def wrong_shape(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        (broken(unknown_operator), "No Op registered for Convolve"),
        (broken(cycle), "topologically sorted"),
        (broken(wrong_type), "Inferred elem type differs"),
        (broken(wrong_shape), r"differ in dimension 1: \(4\) vs \(5\)"),
        (lambda data: data[: len(data) // 2], "parse"),
        (lambda _: b"", "ir_version"),
    ],
    ids=["operator", "cycle", "type", "shape", "half a file", "empty"],
)
def test_what_is_not_valid_onnx_is_refused_in_one_line(
    rewrite: Callable[[bytes], bytes], reason: str, graph: Graphs
) -> None:
    with pytest.raises(ConversionError, match=reason) as refusal:
        check(rewrite(serialize(network(graph))), where="net")
    assert str(refusal.value).startswith("net: the graph is not valid ONNX (")
    assert "\n" not in str(refusal.value)


def test_a_session_with_the_weights_beside_the_file_computes_the_same(graph: Graphs) -> None:
    model = network(graph)
    wide = {"w1": normal(64, 3, 3, 3), "w2": normal(4, 64, 3, 3, seed=6).transpose(0, 1, 3, 2)}
    per_channel = ("b1", "gamma", "beta", "mean", "var")
    wide |= {name: np.abs(normal(64, seed=seed)) for seed, name in enumerate(per_channel)}
    for name, array in wide.items():
        assign(model.graph.initializers[name], array)
    before = serialize(model)
    data, weights = without_weights(model)
    assert set(weights) == {"w1", "w2"}, "the others are small"
    assert len(data) < len(before) / 5
    assert serialize(model) == before, "the model itself is not changed"
    batch = normal(2, 3, 6, 6, seed=9)
    with (
        onnxruntime_runtime.load(before, threads=1) as whole,
        onnxruntime_runtime.load(data, threads=1, weights=weights) as beside,
    ):
        del weights
        np.testing.assert_array_equal(beside.run(batch), whole.run(batch))
        assert beside.describe()["operators"] == whole.describe()["operators"]


def test_only_large_fp32_weights_are_beside_the_file(graph: Graphs) -> None:
    model = graph(
        """(float[N,512] x) => (float[N,512] y) {
            a = Add (x, large)
            b = Cast <to = 10> (a)
            c = Add (b, half)
            d = Cast <to = 1> (c)
            y = Add (d, small)
        }""",
        large=normal(512),
        half=normal(512, seed=1).astype(np.float16),
        small=np.float32(2),
    )
    _, weights = without_weights(model)
    assert list(weights) == ["large"]
