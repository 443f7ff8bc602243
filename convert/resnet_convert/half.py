"""Half: an FP16 graph between an FP32 (or UINT8) input and FP32 logits, typed in the graph itself.

Rules:
1. Weights and biases become FP16; what would overflow 65,504 is refused and named.
2. One Cast enters FP16 before the stem, after the pixels' mean (which FP16 could not hold exactly);
   one Cast leaves it at the logits, which stay FP32: Triton's classification needs that.
3. Integer constants (axes, pads) and the pixel arithmetic keep their types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.initializers import array_of, assign
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

LARGEST = 65504.0


@dataclass(frozen=True)
class Half:
    """How much became FP16: tensors and values, and those that rounded to zero."""

    tensors: int
    values: int
    flushed_to_zero: int


def halve(model: ir.Model) -> Half:
    """Type the graph FP16, in place."""
    graph = model.graph
    entry = _entry(graph)
    pixel_nodes = {node for node in graph if str(node.name).startswith("pixels.")}
    tensors = values = flushed = 0
    for value in list(graph.initializers.values()):
        if value.dtype != ir.DataType.FLOAT or {use.node for use in value.uses()} <= pixel_nodes:
            continue
        exact = array_of(value)
        largest = float(np.abs(exact).max(initial=0.0))
        if not largest <= LARGEST:  # NaN is not
            raise ConversionError(
                f"a value of {largest:.4g} does not fit FP16 (at most 65504)",
                where=f"fp16: {value.name}",
                remedy="Use --precision fp32 or int8 for this network.",
            )
        rounded = exact.astype(np.float16)
        flushed += int(((rounded == 0) & (exact != 0)).sum())
        tensors, values = tensors + 1, values + exact.size
        assign(value, rounded)
    for node in graph:
        if node not in pixel_nodes:
            for output in node.outputs:
                output.type = ir.TensorType(ir.DataType.FLOAT16)
    _cast_in(graph, entry)
    _cast_out(graph)
    return Half(tensors, values, flushed)


def _entry(graph: ir.Graph) -> ir.Value:
    """The last FP32 value before the stem: the centred pixels, or the input itself."""
    for node in graph:
        if node.name == "pixels.centred":
            return node.outputs[0]
    return graph.inputs[0]


def _cast_in(graph: ir.Graph, entry: ir.Value) -> None:
    readers, producer = list(entry.uses()), entry.producer()
    cast = ir.node("Cast", [entry], {"to": ir.DataType.FLOAT16}, name="fp16.enter")
    cast.outputs[0].name = "fp16.enter"
    cast.outputs[0].shape, cast.outputs[0].type = entry.shape, ir.TensorType(ir.DataType.FLOAT16)
    for use in readers:
        use.node.replace_input_with(use.idx, cast.outputs[0])
    if producer is None:
        graph.insert_before(graph[0], cast)
    else:
        graph.insert_after(producer, cast)


def _cast_out(graph: ir.Graph) -> None:
    logits = graph.outputs[0]
    producer = logits.producer()
    if producer is None:
        raise ConversionError("the graph computes nothing", where="fp16")
    name, logits.name = logits.name, f"{producer.name}.fp16"
    cast = ir.node("Cast", [logits], {"to": ir.DataType.FLOAT}, name="fp16.leave")
    cast.outputs[0].name = name
    cast.outputs[0].shape, cast.outputs[0].type = logits.shape, ir.TensorType(ir.DataType.FLOAT)
    graph.insert_after(producer, cast)
    graph.outputs[0] = cast.outputs[0]
