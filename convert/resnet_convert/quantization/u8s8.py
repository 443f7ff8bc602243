"""U8S8: Q/DQ pairs for CPUs, u8 activations and s8 weights with a scale per channel.

    q = saturate(round(x/scale) + zero)         scale = (high − low)/255, zero = round(−low/scale)

Where the pairs go (ONNX Runtime computes an operator in integers only when every activation around
it is quantized; x86 VNNI multiplies u8 × s8):
1. Every activation that a Conv, Gemm, Add of images, pool or Concat reads or writes gets one pair,
   right behind its producer, which all its readers share: so an identity shortcut shares the pair
   of its block's input, and both operands of an Add are integers. Other operators (other
   activation functions, LayerNormalization, products of activations) compute in floating point.
2. Except between an operator and its ReLU or ReLU6: the pair goes behind it. Its range starts at
   zero, where u8 saturates (and ends at 6 or before), so that the ReLU itself is dropped.
3. MaxPool, Flatten, Slice, Reshape, Transpose and zero Pad move values without changing them: next
   to an operator of rule 1 they run on integers too, and their output has the scale of their input.
   A Pad with another value has its own range.
4. Weights: symmetric s8 per output channel, −127…127, stored as integers. On a CPU without VNNI
   −64…64: its u8 × s8 products are added in pairs in 16 bits (VPMADDUBSW), and 2 · 255 · 64 is the
   most that fits; with larger weights the sums saturate.
5. Biases: s32 with scale(input)·scale(weight). A channel whose bias would not fit, or whose product
   of scales is too small for FP32, gets a larger weight scale.
6. Outputs of the graph stay FP32, logits or features; operators that read one too read its pair.
   Ranges always contain zero, so that padding is exact.
7. A layer that is kept has FP32 weights and bias, and reads its input as it was written, or moved
   (rule 3); others read the same tensor through its pair. (Behind a pair, ONNX Runtime would
   quantize the kept layer after all, and round its weights itself.)
8. The operator that writes such an input computes in FP32. So a Conv or Gemm there stays floating
   too, but reads its own input as before. Every other layer runs in integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.graph.initializers import array_of, bias_of, drop_unread, remove
from resnet_convert.graph.nodes import (
    MOVING,
    WEIGHTED,
    data_input,
    joins_images,
    layers_named,
    moves,
    output_major_weight,
    readers_of,
    rectified,
    rectifies,
    relu_of,
    source,
)
from resnet_convert.graph.pixels import pixel_nodes
from resnet_convert.quantization.qdq import (
    Quantization,
    floating_operators,
    insert_constant,
    insert_pair,
)
from resnet_convert.quantization.ranges import Range
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Operators around which every activation gets a pair (rule 1), beside additions.
_INTEGER = WEIGHTED | {"Concat", "GlobalAveragePool", "AveragePool"}
LARGEST_WEIGHT = 127
LARGEST_WEIGHT_WITHOUT_VNNI = 64
LARGEST_BIAS = 2.0**30  # the other half of 32 bits is for the sum of products it is added to
# The product of two scales stays this far above FP32's subnormal numbers, which lose digits.
SMALLEST_PRODUCT = float(np.finfo(np.float32).tiny) * 2**24


@dataclass(frozen=True)
class _Grid:
    scale: float
    zero: int


def activations(model: ir.Model) -> tuple[str, ...]:
    """The tensors that will carry a Q/DQ pair (rules 1, 2 and 6), in the graph's order."""
    return tuple(str(value.name) for value in _activations(model.graph, frozenset()))


def quantize(
    model: ir.Model,
    ranges: Mapping[str, Range],
    *,
    keep: frozenset[str] = frozenset(),
    largest_weight: int = LARGEST_WEIGHT,
) -> Quantization:
    """Insert the pairs into a folded FP32 graph, in place.

    `ranges` are those of `activations(model)`, by tensor name; those that kept layers make
    superfluous may be missing. `keep` names layers that stay floating; with them stay those that
    compute for them (rule 8). `largest_weight` is the largest integer of the weights (rule 4).
    Raises `ConversionError` for an unknown name, and for weights that are shared or have their
    output channels on another axis than 0.
    """
    graph = model.graph
    kept = layers_named(graph, keep, where="int8")
    values = _activations(graph, kept)
    grids = {str(value.name): _grid(ranges[source(value)]) for value in values}
    weighted = [node for node in graph if node.op_type in WEIGHTED]
    floating = {node for node in weighted if node in kept or _writes_for(node, kept)}
    coarsened = sum(
        _quantize_weights(graph, node, grids[str(data_input(node).name)].scale, largest_weight)
        for node in weighted
        if node not in floating
    )
    dropped = 0
    for value in values:
        grid = grids[str(value.name)]
        producer = value.producer()
        scale, zero = np.asarray(grid.scale, np.float32), np.asarray(grid.zero, np.uint8)
        name = str(value.name)
        uses = [use for use in value.uses() if not _reads_as_written(use.node, kept)]
        shared = len(uses) < len(value.uses()) or value.is_graph_output()
        if producer is not None and rectifies(producer) and grid.zero == 0 and not shared:
            insert_pair(graph, data_input(producer), scale, zero, name=name, uses=uses)
            remove(graph, producer)
            dropped += 1
        else:
            insert_pair(graph, value, scale, zero, name=name, uses=uses)
    return Quantization(
        layers=len(weighted) - len(floating),
        activations=len(values),
        dropped_relus=dropped,
        coarsened_channels=coarsened,
        floating=tuple(str(node.name) for node in weighted if node in floating),
        operators=floating_operators(graph, pixel_nodes(graph)),
    )


def _reads_as_written(reader: ir.Node, kept: frozenset[ir.Node]) -> bool:
    """Rule 7: whether an operator is a kept layer, or moves values for one."""
    return reader in kept or (
        moves(reader)
        and any(_reads_as_written(each, kept) for each in readers_of(reader.outputs[0]))
    )


def _writes_for(node: ir.Node, kept: frozenset[ir.Node]) -> bool:
    """Rule 8: whether a layer writes, through its ReLU or not, what a kept one reads."""
    last = relu_of(node) or node
    return any(_reads_as_written(reader, kept) for reader in readers_of(last.outputs[0]))


def _activations(graph: ir.Graph, kept: frozenset[ir.Node]) -> list[ir.Value]:
    """The tensors that get a pair (rules 1, 2, 6 and 7)."""
    constants = set(graph.initializers)
    found: dict[str, ir.Value] = {}
    for node in _integer_nodes(graph):
        for value in (*node.inputs, *node.outputs):
            if value is None or value.name in constants:
                continue
            readers = readers_of(value)
            if not readers and value.is_graph_output():
                continue
            if rectified(value) is not None:
                continue
            if not readers or not all(_reads_as_written(reader, kept) for reader in readers):
                found[str(value.name)] = value
    return list(found.values())


def _integer_nodes(graph: ir.Graph) -> list[ir.Node]:
    """The operators that run on integers (rules 1 to 3), in the graph's order."""
    normalising = pixel_nodes(graph)
    nodes = [node for node in graph if node not in normalising]
    found = {node for node in nodes if _computes_integers(node)}
    passing = [node for node in nodes if node.op_type in MOVING or rectifies(node)]
    for node in passing:
        if data_input(node).producer() in found:
            found.add(node)
    for node in reversed(passing):
        if found.intersection(readers_of(node.outputs[0])):
            found.add(node)
    return [node for node in nodes if node in found]


def _computes_integers(node: ir.Node) -> bool:
    of_numbers = node.outputs[0].dtype != ir.DataType.INT64  # a Concat of sizes
    return (node.op_type in _INTEGER and of_numbers) or joins_images(node)


def _grid(seen: Range) -> _Grid:
    """Scale and zero point of a range, which is extended to zero."""
    low, high = min(0.0, seen.low), max(0.0, seen.high)
    scale = float(np.float32((high - low) / 255))
    if scale < SMALLEST_PRODUCT:  # a tensor of zeros, or nearly
        scale = 1.0
    return _Grid(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def _quantize_weights(graph: ir.Graph, node: ir.Node, input_scale: float, largest: int) -> int:
    """Rules 4 and 5 for one Conv or Gemm; returns how many channels got a larger scale."""
    weight = output_major_weight(node, where="int8")
    exact = array_of(weight).astype(np.float64)
    scale = np.abs(exact).reshape(len(exact), -1).max(axis=1) / largest
    found = bias_of(node)
    bias = np.zeros(len(exact)) if found is None else found.astype(np.float64)
    needed = np.abs(bias) / (input_scale * LARGEST_BIAS)
    needed = np.maximum(needed, SMALLEST_PRODUCT / min(input_scale, 1.0))
    coarsened = int(((needed > scale) & (scale > 0)).sum())
    scale = np.maximum(scale, needed).astype(np.float32)
    shape = (-1,) + (1,) * (exact.ndim - 1)
    steps = np.rint(exact / scale.astype(np.float64).reshape(shape))
    integers = np.clip(steps, -largest, largest)
    # The product of the two FP32 scales, rounded to FP32, exactly as the runtime computes it.
    bias_scale = np.float32(input_scale) * scale
    bias_integers = np.rint(bias / bias_scale.astype(np.float64))
    names = (f"{node.name}.weight", f"{node.name}.bias")
    own = list(node.inputs[1:])
    constants = (
        insert_constant(graph, node, names[0], integers.astype(np.int8), scale),
        insert_constant(graph, node, names[1], bias_integers.astype(np.int32), bias_scale),
    )
    node.resize_inputs(3)
    for index, value in enumerate(constants, start=1):
        node.replace_input_with(index, value)
    drop_unread(graph, own)
    return coarsened
