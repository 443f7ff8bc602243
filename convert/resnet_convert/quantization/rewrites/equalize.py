"""Cross-layer equalisation: channels of one size between two convolutions, for the same network.

    conv1 ─► relu ─► conv2        W₁ ← S⁻¹·W₁   b₁ ← S⁻¹·b₁   W₂ ← W₂·S       s > 0

relu(x/s) = relu(x)/s, so that the output of conv2 is the same up to rounding; and the tensor
between the two, which has one scale, loses less when its channels have the same size. With r₁ the
largest weight of a channel in conv1, and r₂ that of conv2 on the same channel, s = √(r₁·r₂)/r₂
makes both √(r₁·r₂). Reference: Nagel et al. 2019, arXiv:1906.04721, section 4.1.

Rules:
1. The ReLU is the only reader of conv1, conv2 the only reader of the ReLU: inside a block, never
   across an Add (`streams.py` does that). Neither tensor is an output of the graph.
2. conv2 of a bottleneck belongs to two pairs, so the pairs are equalised in turn until all s are
   close to 1.
3. A channel without weights on a side keeps its scale, and no channel is scaled by more than 2^±8
   in total: otherwise dead channels would multiply whatever their bias lets through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of, assign, bias_of, own_initializer, set_bias
from resnet_convert.graph.nodes import data_input, writer_of
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

LARGEST_SCALE = 2.0**8
SWEEPS = 20
CLOSE = 1e-3


# What the channels (axis 1) of a tensor are divided by, by its name; not of those that stay.
Scales = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Equalization:
    """The pairs of layers that were equalised, and the largest s or 1/s of any channel."""

    pairs: tuple[tuple[str, str], ...]
    largest_scale: float
    scales: Scales


def divided(values: NDArray[Any], by: NDArray[np.float64]) -> NDArray[np.float32]:
    """The values [N,C,…], each channel divided by its own number."""
    factors = (1 / by).astype(np.float32).reshape((-1,) + (1,) * (values.ndim - 2))
    return np.multiply(values, factors, dtype=np.float32)


def equalize(model: ir.Model) -> Equalization:
    """Equalise every pair of convolutions of a folded FP32 graph, in place.

    Raises `ConversionError` for weights or biases that are shared or computed.
    """
    found = pairs(model.graph)
    weights = {
        node: array_of(own_initializer(node, 1)).astype(np.float64)
        for node in dict.fromkeys(node for pair in found for node in pair)
    }
    scales = [np.ones(len(weights[first])) for first, _ in found]
    for _ in range(SWEEPS):
        change = 0.0
        for index, (first, second) in enumerate(found):
            before = scales[index]
            after = np.clip(
                before * _scale(weights[first], weights[second], groups_of(second)),
                1 / LARGEST_SCALE,
                LARGEST_SCALE,
            )
            step = after / before
            weights[first] /= outputs(step, weights[first])
            weights[second] *= inputs(step, weights[second], groups_of(second))
            scales[index] = after
            change = max(change, float(np.abs(np.log(step)).max(initial=0.0)))
        if change < CLOSE:
            break
    for node, exact in weights.items():
        assign(own_initializer(node, 1), exact.astype(np.float32))
    for (first, _), scale in zip(found, scales, strict=True):
        bias = bias_of(first)
        if bias is not None:
            set_bias(model.graph, first, (bias.astype(np.float64) / scale).astype(np.float32))
    largest = max((float(np.abs(np.log(scale)).max()) for scale in scales), default=0.0)
    names = tuple((str(first.name), str(second.name)) for first, second in found)
    scaled = {
        str(node.outputs[0].name): scale
        for (first, second), scale in zip(found, scales, strict=True)
        for node in (first, writer_of(data_input(second)))
        if node is not None
    }
    return Equalization(names, float(np.exp(largest)), scaled)


def pairs(graph: ir.Graph) -> list[tuple[ir.Node, ir.Node]]:
    """The pairs of convolutions of rule 1, in the graph's order."""
    found = []
    for node in graph:
        relu = _only_reader(node) if node.op_type == "Conv" else None
        if relu is None or relu.op_type != "Relu":
            continue
        second = _only_reader(relu)
        if second is not None and second.op_type == "Conv":
            found.append((node, second))
    return found


def _only_reader(node: ir.Node) -> ir.Node | None:
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or uses[0].idx != 0 or value.is_graph_output():
        return None
    return uses[0].node


def groups_of(node: ir.Node) -> int:
    """How many groups of channels a Conv has; 1 of a Gemm."""
    return node.attributes.get_int("group") or 1


def _scale(
    first: NDArray[np.float64], second: NDArray[np.float64], groups: int
) -> NDArray[np.float64]:
    """The s of each channel between two weights [O, I/groups, …]."""
    written, read = largest_written(first), largest_read(second, groups)
    used = (written > 0) & (read > 0)
    return np.where(used, np.sqrt(written / np.where(used, read, 1.0)), 1.0)


def largest_written(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest weight of each output channel."""
    return np.asarray(np.abs(weight).reshape(len(weight), -1).max(axis=1))


def largest_read(weight: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """The largest weight on each input channel, in the group that reads it."""
    by_group = np.abs(weight).reshape(groups, len(weight) // groups, weight.shape[1], -1)
    return np.asarray(by_group.max(axis=(1, 3)).ravel())


def outputs(step: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """One factor per output channel, to broadcast over [O, I/groups, …]."""
    return step.reshape((-1,) + (1,) * (weight.ndim - 1))


def inputs(
    step: NDArray[np.float64], weight: NDArray[np.float64], groups: int
) -> NDArray[np.float64]:
    """One factor per input channel; the outputs of a group read that group's channels alone."""
    each = np.repeat(step.reshape(groups, -1), len(weight) // groups, axis=0)
    return each.reshape(*each.shape, *(1,) * (weight.ndim - 2))
