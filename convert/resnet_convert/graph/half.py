"""Half: a graph of 16-bit numbers between an FP32 (or UINT8) input and FP32 outputs.

The type is in the graph itself, FP16 or BF16: TensorRT's strongly typed networks read it there.

Rules:
1. Weights and biases are rounded to nearest even; a value that would overflow is refused and named.
2. One Cast enters before the stem, after the subtraction of the pixels' mean (which 16 bits could
   not hold exactly); one Cast leaves at each output, which stays FP32: Triton's classification
   needs that.
3. Integer constants (axes, pads) and the pixel arithmetic keep their types.
4. In a graph with Q/DQ pairs the integers stay; the scales get the type, and must be numbers that
   it holds exactly: otherwise the graph would differ from the calibrated one.
5. A module that is kept stays FP32, and so does its output, which may exceed 16 bits: behind its
   ReLU, moved, through a Q/DQ pair, up to the operators that compute something else from it. These
   compute in FP32 too, and so do the pairs that they read through. Where an operator reads a tensor
   of the other type there is a Cast, one per tensor, so that no operator mixes types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of, assign, initializer
from resnet_convert.graph.nodes import (
    COMPUTING,
    FUNCTIONS,
    MOVING,
    PAIR,
    POOLS,
    REPEATING,
    WEIGHTED,
    element_types,
    layers_named,
    writer_of,
)
from resnet_convert.graph.pixels import network_input, pixel_nodes
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

LARGEST_FP16 = 65504.0
# Operators whose output is as large as their input: what is kept in FP32 stays so behind them.
PASSING = MOVING | REPEATING | PAIR | {"Relu", "Concat"}
# Operators that can be kept in FP32 by name.
KEEPABLE = (WEIGHTED | COMPUTING | FUNCTIONS | POOLS) - PASSING


@dataclass(frozen=True)
class Half:
    """How much became FP16 or BF16: constants, their values, and those that rounded to zero.

    `fp32_nodes` are the modules that compute in FP32 (rule 5), in the graph's order.
    """

    tensors: int
    values: int
    flushed_to_zero: int
    fp32_nodes: tuple[str, ...] = ()


def halve(model: ir.Model, precision: str = "fp16", *, keep: frozenset[str] = frozenset()) -> Half:
    """Type the graph "fp16" or "bf16", in place; it may already have symmetric Q/DQ pairs.

    `keep` names modules (layers, additions, pools) that stay FP32. Raises `ConversionError` for an
    unknown name, and for a constant that the type cannot hold (rules 1 and 4). BF16 needs a later
    opset as well, see `opset.FOR_BF16`.
    """
    graph = model.graph
    dtype = ir.DataType.FLOAT16 if precision == "fp16" else ir.DataType.BFLOAT16
    normalising = pixel_nodes(graph)
    fp32_nodes = _fp32_nodes(graph, layers_named(graph, keep, where=precision, kinds=KEEPABLE))
    tensors = values = flushed = 0
    for value in list(graph.initializers.values()):
        readers = {use.node for use in value.uses()}
        scales = all(use.node.op_type == "Resize" for use in value.uses())  # FP32 by its schema
        if value.dtype != ir.DataType.FLOAT or scales or readers <= normalising | fp32_nodes:
            continue
        exact = array_of(value)
        flushed += _round(_apart(graph, value, fp32_nodes), dtype, precision)
        tensors, values = tensors + 1, values + exact.size
    _cast_in(graph, dtype, precision, fp32_nodes)
    for index, output in enumerate(graph.outputs):
        if output.producer() not in fp32_nodes:
            _cast_out(graph, index, precision)
    _cast_between(graph, normalising, fp32_nodes, dtype, precision)
    for value, found in element_types(graph).items():
        if found is not None:
            value.type = ir.TensorType(found)
    named = tuple(str(n.name) for n in graph if n in fp32_nodes and n.op_type in KEEPABLE)
    return Half(tensors, values, flushed, named)


def _fp32_nodes(graph: ir.Graph, kept: frozenset[ir.Node]) -> frozenset[ir.Node]:
    """Rule 5: the operators that compute in FP32."""
    fp32_nodes: set[ir.Node] = set(kept)
    outputs: set[ir.Value] = set()  # of the kept modules, as far as they are passed on
    grown = True
    while grown:
        before = len(fp32_nodes), len(outputs)
        for node in graph:
            if node not in fp32_nodes and outputs.isdisjoint(node.inputs):
                continue
            fp32_nodes.add(node)
            if node in kept or node.op_type in PASSING:
                outputs.update(node.outputs)
            for value in node.inputs:  # a pair stays whole, and of the type of its reader
                writer = writer_of(value)
                if writer is not None and "DequantizeLinear" in (node.op_type, writer.op_type):
                    fp32_nodes.add(writer)
        grown = (len(fp32_nodes), len(outputs)) > before
    return frozenset(fp32_nodes)


def _apart(graph: ir.Graph, value: ir.Value, fp32_nodes: frozenset[ir.Node]) -> ir.Value:
    """The constant that the operators of 16 bits read: a copy where ones of FP32 read it too."""
    uses = list(value.uses())
    narrow = [use for use in uses if use.node not in fp32_nodes]
    if len(narrow) == len(uses):
        return value
    copy = initializer(graph, f"{value.name}.narrow", array_of(value))
    for use in narrow:
        use.node.replace_input_with(use.idx, copy)
    return copy


def _round(value: ir.Value, dtype: ir.DataType, precision: str) -> int:
    """Round a constant; returns how many of its values became zero."""
    exact = array_of(value)
    with np.errstate(over="ignore"):
        rounded = exact.astype(dtype.numpy())
    if not np.isfinite(rounded.astype(np.float32)).all() or _too_large(exact, dtype):
        largest = float(np.abs(exact).max())
        limit = f" (at most {LARGEST_FP16:.0f})" if precision == "fp16" else ""
        raise ConversionError(
            f"a value of {largest:.4g} does not fit {precision.upper()}{limit}",
            where=f"{precision}: {value.name}",
            remedy="Use --precision fp32 for this network.",
        )
    if _is_scale(value) and (rounded.astype(np.float32) != exact).any():
        raise ConversionError(
            f"the scale of a Q/DQ pair is not exact in {precision.upper()}",
            where=f"{precision}: {value.name}",
            remedy="Only graphs quantized for --target tensorrt can be typed FP16.",
        )
    assign(value, rounded)
    return int(((rounded == 0) & (exact != 0)).sum())


def _too_large(exact: NDArray[Any], dtype: ir.DataType) -> bool:
    """Numpy rounds values up to 65,519 down to FP16's largest number and reports nothing."""
    return dtype == ir.DataType.FLOAT16 and bool((np.abs(exact) > LARGEST_FP16).any())


def _is_scale(value: ir.Value) -> bool:
    return any(use.idx == 1 and use.node.op_type in PAIR for use in value.uses())


def _cast_in(
    graph: ir.Graph, dtype: ir.DataType, precision: str, fp32_nodes: frozenset[ir.Node]
) -> None:
    """Rule 2, at the network's input."""
    entry = network_input(graph)
    readers = [use for use in entry.uses() if use.node not in fp32_nodes]
    if not readers:
        return
    cast = _cast(entry, dtype, f"{precision}.enter")
    for use in readers:
        use.node.replace_input_with(use.idx, cast.outputs[0])
    writer = writer_of(entry)
    if writer is None:
        graph.insert_before(graph[0], cast)
    else:
        graph.insert_after(writer, cast)


def _cast_out(graph: ir.Graph, index: int, precision: str) -> None:
    """Rule 2, at an output."""
    output = graph.outputs[index]
    writer = writer_of(output)
    if writer is None:
        raise ConversionError("the graph computes nothing", where=precision)
    name, output.name = output.name, f"{writer.name}.{precision}"
    number = f".{index}" if index else ""
    cast = _cast(output, ir.DataType.FLOAT, f"{precision}.leave{number}")
    cast.outputs[0].name = name
    graph.insert_after(writer, cast)
    graph.outputs[index] = cast.outputs[0]


def _cast_between(
    graph: ir.Graph,
    normalising: frozenset[ir.Node],
    fp32_nodes: frozenset[ir.Node],
    dtype: ir.DataType,
    precision: str,
) -> None:
    """Rule 5: a Cast wherever an operator of FP32 reads one of 16 bits, or the other way round."""
    for node in list(graph):
        if node in normalising:  # FP32; where 16 bits read it, `_cast_in` has put a Cast
            continue
        for value in node.outputs:
            if value.dtype == ir.DataType.INT64:  # a size
                continue
            others = [
                use for use in value.uses() if (use.node in fp32_nodes) != (node in fp32_nodes)
            ]
            if not others:
                continue
            target = dtype if node in fp32_nodes else ir.DataType.FLOAT
            name = f"{value.name}.{precision if node in fp32_nodes else 'fp32'}"
            cast = _cast(value, target, name)
            graph.insert_after(node, cast)
            for use in others:
                use.node.replace_input_with(use.idx, cast.outputs[0])


def _cast(value: ir.Value, dtype: ir.DataType, name: str) -> ir.Node:
    """A Cast that no graph holds yet; its output has the Cast's name and the value's shape."""
    cast = ir.node("Cast", [value], {"to": dtype}, name=name)
    cast.outputs[0].name, cast.outputs[0].shape = name, value.shape
    return cast
