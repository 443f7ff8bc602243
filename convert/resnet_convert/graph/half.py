"""Half: a graph of 16-bit numbers between an FP32 (or UINT8) input and FP32 outputs.

The type stands in the graph itself, FP16 or BF16: TensorRT's strongly typed networks read it there.

Rules:
1. Weights and biases are rounded to nearest even; what would overflow is refused and named.
2. One Cast enters before the stem, after the pixels' mean (which 16 bits could not hold exactly);
   one Cast leaves at each output, which stays FP32: Triton's classification needs that.
3. Integer constants (axes, pads) and the pixel arithmetic keep their types.
4. In a graph that carries Q/DQ pairs the integers stay; the scales take the type, and must be
   numbers that it holds exactly, or the graph would no longer mean what was calibrated.
5. A module that is kept stays FP32, and so does what it answers, which 16 bits may not hold: behind
   its ReLU, moved, through a Q/DQ pair, up to the operators that compute something else from it.
   These too compute in FP32, and so do the pairs that they read through. A Cast brings up what FP32
   operators read of the others, and one Cast brings down what the others read of theirs, so that no
   operator mixes types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of, assign, initializer
from resnet_convert.graph.nodes import MOVING, WEIGHTED, layers_named
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


LARGEST_FP16 = 65504.0
PASSING = MOVING | {"Relu", "Concat", "QuantizeLinear", "DequantizeLinear"}
KEEPABLE = WEIGHTED | {"Add", "Mul", "GlobalAveragePool", "AveragePool", "ReduceMean"}


@dataclass(frozen=True)
class Half:
    """How much became FP16 or BF16: tensors and values, and those that rounded to zero.

    `fp32_nodes` are the modules that compute in FP32 (rule 5), in the graph's order.
    """

    tensors: int
    values: int
    flushed_to_zero: int
    fp32_nodes: tuple[str, ...] = ()


def halve(model: ir.Model, precision: str = "fp16", *, keep: frozenset[str] = frozenset()) -> Half:
    """Type the graph FP16 or BF16, in place; it may already carry symmetric Q/DQ pairs.

    `keep` names modules (layers, additions, pools) that stay FP32.
    """
    graph = model.graph
    dtype = ir.DataType.FLOAT16 if precision == "fp16" else ir.DataType.BFLOAT16
    entry = _entry(graph)
    pixel_nodes = _before(entry)
    fp32_nodes = _fp32_nodes(graph, layers_named(graph, keep, where=precision, kinds=KEEPABLE))
    tensors = values = flushed = 0
    for value in list(graph.initializers.values()):
        readers = {use.node for use in value.uses()}
        if value.dtype != ir.DataType.FLOAT or readers <= pixel_nodes | fp32_nodes:
            continue
        exact = array_of(value)
        flushed += _round(_own(graph, value, fp32_nodes), dtype, precision)
        tensors, values = tensors + 1, values + exact.size
    _cast_in(graph, entry, dtype, precision, fp32_nodes)
    for index, output in enumerate(graph.outputs):
        if output.producer() not in fp32_nodes:
            _cast_out(graph, index, precision)
    _cast_between(graph, pixel_nodes, fp32_nodes, dtype, precision)
    for value, found in element_types(graph).items():
        if found is not None:
            value.type = ir.TensorType(found)
    named = tuple(str(n.name) for n in graph if n in fp32_nodes and n.op_type in KEEPABLE)
    return Half(tensors, values, flushed, named)


def _fp32_nodes(graph: ir.Graph, kept: frozenset[ir.Node]) -> frozenset[ir.Node]:
    """Rule 5: the operators that compute in FP32."""
    fp32_nodes: set[ir.Node] = set(kept)
    answers: set[ir.Value] = set()
    grown = True
    while grown:
        before = len(fp32_nodes), len(answers)
        for node in graph:
            if node not in fp32_nodes and answers.isdisjoint(node.inputs):
                continue
            fp32_nodes.add(node)
            if node in kept or node.op_type in PASSING:
                answers.update(node.outputs)
            for value in node.inputs:  # a pair stays whole, and next to who reads through it
                writer = None if value is None else value.producer()
                if writer is not None and "DequantizeLinear" in (node.op_type, writer.op_type):
                    fp32_nodes.add(writer)
        grown = (len(fp32_nodes), len(answers)) > before
    return frozenset(fp32_nodes)


def _own(graph: ir.Graph, value: ir.Value, fp32_nodes: frozenset[ir.Node]) -> ir.Value:
    """A constant for the operators of 16 bits, where ones of FP32 read it too."""
    uses = list(value.uses())
    narrow = [use for use in uses if use.node not in fp32_nodes]
    if len(narrow) == len(uses):
        return value
    copy = initializer(graph, f"{value.name}.narrow", array_of(value))
    for use in narrow:
        use.node.replace_input_with(use.idx, copy)
    return copy


def _cast_between(
    graph: ir.Graph,
    pixel_nodes: set[ir.Node],
    fp32_nodes: frozenset[ir.Node],
    dtype: ir.DataType,
    precision: str,
) -> None:
    """Cast at every border between operators of FP32 and of 16 bits, once per tensor."""
    for node in list(graph):
        if node in pixel_nodes:  # they are FP32, and what 16 bits read of them was cast already
            continue
        for value in node.outputs:
            others = [
                use for use in value.uses() if (use.node in fp32_nodes) != (node in fp32_nodes)
            ]
            if not others:
                continue
            target = dtype if node in fp32_nodes else ir.DataType.FLOAT
            name = f"{value.name}.{precision if node in fp32_nodes else 'fp32'}"
            cast = ir.node("Cast", [value], {"to": target}, name=name)
            cast.outputs[0].name, cast.outputs[0].shape = name, value.shape
            graph.insert_after(node, cast)
            for use in others:
                use.node.replace_input_with(use.idx, cast.outputs[0])


def element_types(graph: ir.Graph) -> dict[ir.Value, ir.DataType | None]:
    """The type of every tensor as the operators of our graphs imply it, whatever is annotated."""
    types = {value: value.dtype for value in (*graph.inputs, *graph.initializers.values())}
    for node in graph:
        given = [None if value is None else types.get(value) for value in node.inputs]
        found = given[0] if given else None
        if node.op_type == "Cast":
            found = ir.DataType(node.attributes["to"].as_int())
        elif node.op_type == "QuantizeLinear":
            found = given[2] if len(given) > 2 else ir.DataType.UINT8
        elif node.op_type == "DequantizeLinear":
            found = given[1]
        types.update(dict.fromkeys(node.outputs, found))
    return types


def _round(value: ir.Value, dtype: ir.DataType, precision: str) -> int:
    """Round a constant; returns how many of its values became zero."""
    exact = array_of(value)
    with np.errstate(over="ignore"):
        rounded = exact.astype(dtype.numpy())
    if not np.isfinite(rounded.astype(np.float32)).all() or _too_large(exact, dtype):
        largest = float(np.abs(exact).max())
        limit = " (at most 65504)" if precision == "fp16" else ""
        raise ConversionError(
            f"a value of {largest:.4g} does not fit {precision.upper()}{limit}",
            where=f"{precision}: {value.name}",
            remedy="Use --precision fp32 for this network, or keep the module in FP32.",
        )
    if _is_scale(value) and (rounded.astype(np.float32) != exact).any():
        raise ConversionError(
            f"the scale of a Q/DQ pair is no {precision.upper()} number",
            where=f"{precision}: {value.name}",
            remedy="Only quantized graphs made for --target tensorrt can be typed FP16.",
        )
    assign(value, rounded)
    return int(((rounded == 0) & (exact != 0)).sum())


def _too_large(exact: NDArray[Any], dtype: ir.DataType) -> bool:
    """FP16 would round up to 65,519 down to its largest number without a word."""
    return dtype == ir.DataType.FLOAT16 and bool((np.abs(exact) > LARGEST_FP16).any())


def _is_scale(value: ir.Value) -> bool:
    return any(
        use.idx == 1 and use.node.op_type in ("QuantizeLinear", "DequantizeLinear")
        for use in value.uses()
    )


def _entry(graph: ir.Graph) -> ir.Value:
    """The last FP32 value before the stem: the centred pixels, or the input itself."""
    for node in graph:
        if node.name == "pixels.centred":
            return node.outputs[0]
    return graph.inputs[0]


def pixel_arithmetic(graph: ir.Graph) -> set[ir.Node]:
    """What stays FP32 ahead of the stem (rule 3)."""
    return _before(_entry(graph))


def _before(entry: ir.Value) -> set[ir.Node]:
    """The pixel arithmetic: what computes the entry from the image."""
    nodes: set[ir.Node] = set()
    value: ir.Value | None = entry
    while value is not None and (producer := value.producer()) is not None:
        nodes.add(producer)
        value = producer.inputs[0]
    return nodes


def _cast_in(
    graph: ir.Graph,
    entry: ir.Value,
    dtype: ir.DataType,
    precision: str,
    fp32_nodes: frozenset[ir.Node],
) -> None:
    readers = [use for use in entry.uses() if use.node not in fp32_nodes]
    producer = entry.producer()
    if not readers:
        return
    cast = ir.node("Cast", [entry], {"to": dtype}, name=f"{precision}.enter")
    cast.outputs[0].name = cast.name
    cast.outputs[0].shape = entry.shape
    for use in readers:
        use.node.replace_input_with(use.idx, cast.outputs[0])
    if producer is None:
        graph.insert_before(graph[0], cast)
    else:
        graph.insert_after(producer, cast)


def _cast_out(graph: ir.Graph, index: int, precision: str) -> None:
    output = graph.outputs[index]
    producer = output.producer()
    if producer is None:
        raise ConversionError("the graph computes nothing", where=precision)
    name, output.name = output.name, f"{producer.name}.{precision}"
    number = f".{index}" if index else ""
    cast = ir.node("Cast", [output], {"to": ir.DataType.FLOAT}, name=f"{precision}.leave{number}")
    cast.outputs[0].name, cast.outputs[0].shape = name, output.shape
    graph.insert_after(producer, cast)
    graph.outputs[index] = cast.outputs[0]
