"""S8S8: Q/DQ pairs for TensorRT, symmetric s8 (or FP8) on both sides; the rest stays floating.

    q = saturate(round(x/scale))       scale = max |x| / 127   (INT8)   or / 448   (FP8 E4M3)

TensorRT fuses Conv + Add + ReLU + the next Q into one INT8 kernel when the Add's other operand is
INT8 and nothing is between the three. So the pairs go as follows:
1. The input of every Conv and Gemm gets one pair per tensor, which all its quantized readers share.
2. Of an Add, the shortcut (`graph/shortcut.py`) has a pair and the main path has none. An identity
   shortcut shares the pair of its block's input.
3. There is a pair in front of GlobalAveragePool, so that the last block ends in integers too; the
   pool itself computes in floating point.
4. There is no pair between a Conv or an Add and its ReLU, or between the main path and its Add.
5. MaxPool, Flatten, Slice, Reshape, Transpose and zero Pad move values without changing them: a
   pair behind them has the scale of their input.
6. Weights are stored per output channel (axis 0) as INT8, −127…127, or FP8; biases stay floating.
7. Zero points are zeros, written out because their type is the type of the grid.
8. Every scale is a number that FP16 holds, and the integers are computed from it, so that the graph
   computes the same after `halve` has typed its scales FP16. A scale too small for FP16 becomes the
   smallest that does not clip; one too large is refused. A tensor of zeros has scale 1.
9. FP8: a Conv whose kernel has more than 32 elements, or with fewer than 16 input or output
   channels, stays floating: TensorRT has no FP8 kernels for it.
10. A layer that is kept stays floating: it reads its input as it was written, while others may read
   the same tensor through its pair. The Add that a floating Conv ends in stays floating too, and
   then its shortcut needs no pair.
Opset 19 is the first whose Q/DQ take FP16 scales and FP8.
References: TensorRT developer guide, "Q/DQ Layer-Placement Recommendations"; TensorRT Model
Optimizer for rule 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.nodes import WEIGHTED, layers_named, output_major_weight, source
from resnet_convert.graph.opset import FOR_FP16_SCALES, raise_opset
from resnet_convert.graph.pixels import pixel_nodes
from resnet_convert.graph.shortcut import shortcut
from resnet_convert.quantization.qdq import (
    Quantization,
    floating_operators,
    insert_constant,
    insert_pair,
)
from resnet_convert.quantization.ranges import Range
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

LARGEST: Mapping[str, float] = MappingProxyType({"int8": 127.0, "fp8": 448.0})  # of a grid
LARGEST_FP8_KERNEL = 32
FEWEST_FP8_CHANNELS = 16
_LARGEST_SCALE = 65504.0
_SMALLEST_SCALE = np.float16(2.0**-24)


def activations(model: ir.Model) -> tuple[str, ...]:
    """The names of the tensors to calibrate (rules 1–3 and 5), in the graph's order."""
    return tuple(dict.fromkeys(source(value) for value in _sites(model.graph, frozenset())))


def quantize(
    model: ir.Model,
    ranges: Mapping[str, Range],
    precision: str = "int8",
    *,
    keep: frozenset[str] = frozenset(),
) -> Quantization:
    """Insert the pairs into a folded FP32 graph, in place, and raise it to opset 19.

    `ranges` are those of `activations(model)`, by tensor name; `precision` is "int8" or "fp8";
    `keep` names layers that stay floating. Raises `ConversionError` for an unknown name, for a
    range whose scale FP16 cannot hold (rule 8), and for weights that are shared or have their
    output channels on another axis than 0.
    """
    graph = model.graph
    weighted = [node for node in graph if node.op_type in WEIGHTED]
    floating = layers_named(graph, keep, where=precision)
    if precision == "fp8":
        floating |= {node for node in weighted if not _fits_fp8(node)}
    sites = _sites(graph, floating)
    scales = {
        value: _scale(_largest(ranges[source(value)]), precision, layer=str(uses[0][0].name))
        for value, uses in sites.items()
    }
    for node in weighted:
        if node not in floating:
            _quantize_weights(graph, node, precision)
    for value, uses in sites.items():
        zero = _to_grid(np.asarray(0.0), precision)
        insert_pair(graph, value, scales[value], zero, name=str(value.name), uses=uses)
    raise_opset(model, *FOR_FP16_SCALES)
    return Quantization(
        layers=len(weighted) - len(floating),
        activations=len(sites),
        floating=tuple(str(node.name) for node in weighted if node in floating),
        operators=floating_operators(graph, pixel_nodes(graph)),
    )


def _sites(
    graph: ir.Graph, floating: frozenset[ir.Node]
) -> dict[ir.Value, list[tuple[ir.Node, int]]]:
    """The tensors that get a pair, and the operators (with the input) that read it."""
    sites: dict[ir.Value, list[tuple[ir.Node, int]]] = {}
    for node in graph:
        index = _quantized_operand(node, floating)
        value = None if index is None else node.inputs[index]
        if index is not None and value is not None:
            sites.setdefault(value, []).append((node, index))
    return sites


def _quantized_operand(node: ir.Node, floating: frozenset[ir.Node]) -> int | None:
    """Which input of an operator is read through a pair (rules 1–3)."""
    if node.op_type in WEIGHTED:
        return None if node in floating else 0
    if node.op_type == "Add":
        index = shortcut(node)
        main = None if index is None else node.inputs[1 - index]
        # A floating convolution computes its Add in floating point with it.
        return None if main is None or main.producer() in floating else index
    return 0 if node.op_type == "GlobalAveragePool" else None


def _fits_fp8(node: ir.Node) -> bool:
    """Rule 9."""
    if node.op_type != "Conv":
        return True
    outputs, inputs, *kernel = array_of(output_major_weight(node, where="fp8")).shape
    inputs *= node.attributes.get_int("group") or 1
    size = int(np.prod(kernel))
    return size <= LARGEST_FP8_KERNEL and min(inputs, outputs) >= FEWEST_FP8_CHANNELS


def _largest(seen: Range) -> NDArray[np.float64]:
    return np.asarray(max(-seen.low, seen.high, 0.0), np.float64)


def _scale(largest: NDArray[np.float64], precision: str, *, layer: str) -> NDArray[np.float32]:
    """Rule 8: the scales of tensors or channels whose largest values are given."""
    exact = largest / LARGEST[precision]
    if not (exact <= _LARGEST_SCALE).all():
        raise ConversionError(
            f"values up to {largest.max():.4g} need a scale beyond FP16 (at most 65504)",
            where=f"{precision}: {layer}",
            remedy="Use --precision fp32 for this network.",
        )
    nearest = exact.astype(np.float16)
    # Far down, FP16 is so coarse that its nearest number may lie well below.
    clips = exact * LARGEST[precision] > nearest.astype(np.float64) * (LARGEST[precision] + 0.5)
    with np.errstate(over="ignore"):  # above FP16's largest number; not used then
        above = np.nextafter(nearest, np.float16(np.inf))
    scale = np.where(clips, above, nearest)
    scale = np.maximum(scale, _SMALLEST_SCALE).astype(np.float32)
    return np.asarray(np.where(largest > 0, scale, np.float32(1)), np.float32)


def _to_grid(steps: NDArray[np.float64], precision: str) -> NDArray[np.generic]:
    """Multiples of a scale, rounded to the numbers that are stored."""
    largest = LARGEST[precision]
    if precision == "int8":
        return np.clip(np.rint(steps), -largest, largest).astype(np.int8)
    within = np.clip(steps, -largest, largest).astype(np.float32)
    return within.astype(ir.DataType.FLOAT8E4M3FN.numpy())


def _quantize_weights(graph: ir.Graph, node: ir.Node, precision: str) -> None:
    """Rule 6 for one Conv or Gemm."""
    weight = output_major_weight(node, where=precision)
    exact = array_of(weight).astype(np.float64)
    largest = np.abs(exact).reshape(len(exact), -1).max(axis=1)
    scale = _scale(largest, precision, layer=str(node.name))
    steps = exact / scale.astype(np.float64).reshape((-1,) + (1,) * (exact.ndim - 1))
    stored = insert_constant(graph, node, f"{node.name}.weight", _to_grid(steps, precision), scale)
    node.replace_input_with(1, stored)
    graph.initializers.pop(str(weight.name))
