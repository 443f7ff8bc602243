"""Half: a graph of 16-bit numbers between an FP32 (or UINT8) input and FP32 logits.

The type stands in the graph itself, FP16 or BF16: TensorRT's strongly typed networks read it there.

Rules:
1. Weights and biases are rounded to nearest even; what would overflow is refused and named.
2. One Cast enters before the stem, after the pixels' mean (which 16 bits could not hold exactly);
   one Cast leaves at the logits, which stay FP32: Triton's classification needs that.
3. Integer constants (axes, pads) and the pixel arithmetic keep their types.
4. In a graph that carries Q/DQ pairs the integers stay; the scales take the type, and must be
   numbers that it holds exactly, or the graph would no longer mean what was calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.initializers import array_of, assign
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Half:
    """How much became FP16 or BF16: tensors and values, and those that rounded to zero."""

    tensors: int
    values: int
    flushed_to_zero: int


def halve(model: ir.Model, precision: str = "fp16") -> Half:
    """Type the graph FP16 or BF16, in place; it may already carry symmetric Q/DQ pairs."""
    graph = model.graph
    dtype = ir.DataType.FLOAT16 if precision == "fp16" else ir.DataType.BFLOAT16
    entry = _entry(graph)
    pixel_nodes = _before(entry)
    tensors = values = flushed = 0
    for value in list(graph.initializers.values()):
        if value.dtype != ir.DataType.FLOAT or {use.node for use in value.uses()} <= pixel_nodes:
            continue
        exact = array_of(value)
        flushed += _round(value, dtype, precision)
        tensors, values = tensors + 1, values + exact.size
    _cast_in(graph, entry, dtype, precision)
    _cast_out(graph, precision)
    for value, found in element_types(graph).items():
        if found is not None:
            value.type = ir.TensorType(found)
    return Half(tensors, values, flushed)


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
            remedy="Use --precision fp32 for this network.",
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
    return dtype == ir.DataType.FLOAT16 and bool((np.abs(exact) > 65504.0).any())


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


def _before(entry: ir.Value) -> set[ir.Node]:
    """The pixel arithmetic: what computes the entry from the image."""
    nodes: set[ir.Node] = set()
    value: ir.Value | None = entry
    while value is not None and (producer := value.producer()) is not None:
        nodes.add(producer)
        value = producer.inputs[0]
    return nodes


def _cast_in(graph: ir.Graph, entry: ir.Value, dtype: ir.DataType, precision: str) -> None:
    readers, producer = list(entry.uses()), entry.producer()
    cast = ir.node("Cast", [entry], {"to": dtype}, name=f"{precision}.enter")
    cast.outputs[0].name = cast.name
    cast.outputs[0].shape = entry.shape
    for use in readers:
        use.node.replace_input_with(use.idx, cast.outputs[0])
    if producer is None:
        graph.insert_before(graph[0], cast)
    else:
        graph.insert_after(producer, cast)


def _cast_out(graph: ir.Graph, precision: str) -> None:
    logits = graph.outputs[0]
    producer = logits.producer()
    if producer is None:
        raise ConversionError("the graph computes nothing", where=precision)
    name, logits.name = logits.name, f"{producer.name}.{precision}"
    cast = ir.node("Cast", [logits], {"to": ir.DataType.FLOAT}, name=f"{precision}.leave")
    cast.outputs[0].name, cast.outputs[0].shape = name, logits.shape
    graph.insert_after(producer, cast)
    graph.outputs[0] = cast.outputs[0]
