"""Streams: equalisation across blocks, of the channels that residual additions hold together.

    conv1 ─► relu ─┬─► conv ─► relu ─► conv ─► Add ─► relu ─┬─► … ─► pool ─► fc
                   └───────────────────────────┘            └─ all of a stage share channel c

Where a channel of every writer of such a stream is divided by s, and what every reader makes of it
multiplied by s, the network is the same: relu(x/s) = relu(x)/s, and sums, pools, zeros and
reorderings of pixels have the same property. With r₁ the largest weight of the channel in any
writer, and r₂ in any reader, s = √(r₁·r₂)/r₂, as within a block (`equalize.py`).

Rules:
1. Channels are followed through ReLU, Add, pools, Flatten, Slice in space, and Pad of channels with
   zeros, as in shortcuts without weights: channel c of a stage is then channel c + k of the next.
2. A channel that anything else reads or writes, or that leaves the graph, keeps its scale.
3. As for pairs: no weights, no scale; streams in turn until all s are close to 1; 2^±8 in total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of, assign, bias_of, own_initializer, set_bias
from resnet_convert.graph.nodes import WEIGHTED
from resnet_convert.quantization.rewrites.equalize import (
    CLOSE,
    LARGEST_SCALE,
    SWEEPS,
    Scales,
    groups_of,
    inputs,
    largest_read,
    largest_written,
    outputs,
)
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

Ids = NDArray[np.int64]


@dataclass
class Channels:
    """Which channels of which tensors have one scale: sets of them, joined as the graph is read.

    `of` holds the number of the set of each channel, by tensor; `fixed` are sets that keep theirs.
    """

    of: dict[ir.Value, Ids] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)
    _parents: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many sets were made; those that were joined are counted too."""
        return len(self._parents)

    def new(self, count: int) -> Ids:
        """Sets of their own for `count` channels."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, one: int) -> int:
        """The number of the set that a channel belongs to now."""
        while self._parents[one] != one:
            self._parents[one] = self._parents[self._parents[one]]
            one = self._parents[one]
        return one

    def join(self, first: Ids, second: Ids) -> None:
        """Channel by channel, one scale for both."""
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            self._parents[self.find(other)] = self.find(one)

    def fix(self, ids: Ids) -> None:
        """They keep their scale."""
        self.fixed.update(ids.tolist())

    def roots(self, value: ir.Value) -> Ids:
        """The numbers of the sets of a tensor's channels."""
        return np.array([self.find(one) for one in self.of[value].tolist()], dtype=np.int64)


def follow(graph: ir.Graph) -> Channels:
    """The channels of a folded graph, by rules 1 and 2."""
    channels = Channels()
    for node in graph:
        if not _followed(node, channels):
            for value in node.inputs:
                if value in channels.of:
                    channels.fix(channels.of[value])
    for value in graph.outputs:
        if value in channels.of:
            channels.fix(channels.of[value])
    channels.fixed = {channels.find(one) for one in channels.fixed}
    return channels


def _followed(node: ir.Node, channels: Channels) -> bool:
    """Whether the channels go through a node; then those of its output are known."""
    known = [channels.of.get(value) for value in node.inputs if value is not None]
    first, kind = known[0] if known else None, node.op_type
    if kind == "Conv" or (kind == "Gemm" and _reads_columns(node)):
        weight = node.inputs[1]
        if weight is None or weight.const_value is None:
            return False
        channels.of[node.outputs[0]] = channels.new(len(array_of(weight)))
        return True
    if first is None:
        return False
    if kind == "Add":
        if len(known) != 2 or known[1] is None or len(known[1]) != len(first):
            return False
        channels.join(first, known[1])
    elif kind == "Pad":
        padded = _padded(node, first, channels)
        if padded is None:
            return False
        first = padded
    elif kind == "Slice":
        axes = node.inputs[3] if len(node.inputs) > 3 else None
        if axes is None or axes.const_value is None or array_of(axes).min() < 2:
            return False
    elif kind not in {"Relu", "MaxPool", "AveragePool", "GlobalAveragePool"} and not (
        kind == "Flatten" and _is_pooled(node)
    ):
        return False
    channels.of[node.outputs[0]] = first
    return True


def _reads_columns(gemm: ir.Node) -> bool:
    """Whether its weights are [O, I], and its input is [N, I]."""
    get = gemm.attributes.get_int
    return bool(get("transB", 0)) and not get("transA", 0)


def _is_pooled(node: ir.Node) -> bool:
    writer = None if node.inputs[0] is None else node.inputs[0].producer()
    return writer is not None and writer.op_type == "GlobalAveragePool"


def _padded(node: ir.Node, ids: Ids, channels: Channels) -> Ids | None:
    pads = node.inputs[1]
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if pads is None or pads.const_value is None or len(array_of(pads)) != 8:
        return None
    if value is not None and (value.const_value is None or array_of(value).any()):
        return None
    before, after = int(array_of(pads)[1]), int(array_of(pads)[5])
    if before < 0 or after < 0:
        return None
    padded: Ids = np.concatenate([channels.new(before), ids, channels.new(after)])
    return padded


@dataclass
class _Layer:
    """A Conv or Gemm, and the sets of the channels that it writes and reads.

    `largest` [O, I/groups, 1] is the largest weight of each kernel, in float64: all that scales are
    made from. `read` is None where the channels of its input are not known.
    """

    node: ir.Node
    largest: NDArray[np.float64]
    written: Ids
    read: Ids | None

    @property
    def groups(self) -> int:
        return groups_of(self.node)

    def is_in(self, stream: NDArray[np.bool_]) -> bool:
        """Whether it writes or reads a channel of a stream."""
        return bool(stream[self.written].any()) or (
            self.read is not None and bool(stream[self.read].any())
        )

    def scaled(
        self, weight: NDArray[np.float64], scales: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """A weight [O, I/groups, …], with the scales of all channels."""
        found = weight / outputs(scales[self.written], weight)
        if self.read is not None:
            found *= inputs(scales[self.read], weight, self.groups)
        return found


@dataclass(frozen=True)
class Streams:
    """The layers that write each stream that was equalised, and the scales of its tensors.

    The tensor between two convolutions is a stream that one layer writes.
    """

    writers: tuple[tuple[str, ...], ...]
    scales: Scales


def equalize_streams(model: ir.Model) -> Streams:
    """Equalise the channels of all streams of a folded FP32 graph, in place.

    Raises `ConversionError` for weights or biases that are shared or computed.
    """
    channels = follow(model.graph)
    layers = list(_layers(model.graph, channels))
    scales = np.ones(channels.count)
    streams = list(_streams(channels, layers))
    members = [[layer for layer in layers if layer.is_in(stream)] for stream in streams]
    for _ in range(SWEEPS):
        change = 0.0
        for stream, touched in zip(streams, members, strict=True):
            step = np.clip(
                _scales(touched, stream, channels.count) * scales,
                1 / LARGEST_SCALE,
                LARGEST_SCALE,
            )
            step = np.where(stream, step / scales, 1.0)
            scales *= step
            for layer in touched:
                layer.largest = layer.scaled(layer.largest, step)
            change = max(change, float(np.abs(np.log(step)).max(initial=0.0)))
        if change < CLOSE:
            break
    for layer in layers:
        weight = own_initializer(layer.node, 1)
        exact = layer.scaled(array_of(weight).astype(np.float64), scales)
        assign(weight, exact.astype(np.float32))
        bias = bias_of(layer.node)
        if bias is not None:
            exact = bias.astype(np.float64) / scales[layer.written]
            set_bias(model.graph, layer.node, exact.astype(np.float32))
    writers = tuple(
        tuple(str(layer.node.name) for layer in layers if stream[layer.written].any())
        for stream in streams
    )
    of_tensors = {str(value.name): scales[channels.roots(value)] for value in channels.of}
    return Streams(writers, {name: each for name, each in of_tensors.items() if (each != 1).any()})


def _layers(graph: ir.Graph, channels: Channels) -> Iterator[_Layer]:
    for node in graph:
        if node.op_type in WEIGHTED and node.outputs[0] in channels.of:
            weight = array_of(own_initializer(node, 1))
            largest = np.abs(weight).reshape(*weight.shape[:2], -1).max(axis=2, keepdims=True)
            source = node.inputs[0]
            read = channels.roots(source) if source in channels.of else None
            written = channels.roots(node.outputs[0])
            yield _Layer(node, largest.astype(np.float64), written, read)


def _streams(channels: Channels, layers: list[_Layer]) -> Iterator[NDArray[np.bool_]]:
    """For each stream, which sets of channels are its, but for those that keep their scale."""
    together = Channels()
    together.new(channels.count)
    for layer in layers:
        for ids in (layer.written, layer.read):
            if ids is not None:
                together.join(np.broadcast_to(ids[:1], ids.shape), ids)
    found: dict[int, list[int]] = {}
    for one in sorted({each for layer in layers for each in layer.written.tolist()}):
        if one not in channels.fixed:
            found.setdefault(together.find(one), []).append(one)
    for members in found.values():
        stream = np.zeros(channels.count, bool)
        stream[members] = True
        yield stream


def _scales(layers: list[_Layer], stream: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    """The s of every set of channels of a stream, 1 of all others."""
    written, read = np.zeros(count), np.zeros(count)
    for layer in layers:
        if stream[layer.written].any():
            np.maximum.at(written, layer.written, largest_written(layer.largest))
        if layer.read is not None and stream[layer.read].any():
            np.maximum.at(read, layer.read, largest_read(layer.largest, layer.groups))
    used = stream & (written > 0) & (read > 0)
    return np.where(used, np.sqrt(written / np.where(used, read, 1.0)), 1.0)
