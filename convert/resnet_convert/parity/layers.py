"""Layers: how far each layer of the converted graph is from the reference, in PyTorch's names.

`std` is the standard deviation of a layer's response after BatchNorm and before the ReLU, the
quantity of figure 7 in He et al. 2016. `sqnr_db` compares the layer's activation in the converted
graph with the one in the folded FP32 graph *given the same input*: every converted layer is fed
what the FP32 layer was fed, so that a layer's number is its own loss and not
that of the layers before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulate
from resnet_convert.graph.nodes import WEIGHTED, dequantized_name, relu_of
from resnet_convert.graph.segments.cutting import leading_to
from resnet_convert.graph.segments.running import Arrays, loaded, run, walk
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.parity.numerics import decibels

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

PART = 2**16  # which stay in the cache of a core


@dataclass(frozen=True)
class Layer:
    """One weighted layer: its response's spread, and the SQNR of its activation in dB."""

    name: str
    std: float
    sqnr_db: float

    def to_json(self) -> dict[str, object]:
        """The fields, by name."""
        return asdict(self)


@dataclass(frozen=True)
class _Tensors:
    """Tensors of the folded graph: a layer's input, its response, and its activation after ReLU."""

    input: str
    response: str
    activation: str


def inspect(
    folded: ir.Model, converted: ir.Model, batches: Iterable[NDArray[Any]], *, threads: int
) -> tuple[Layer, ...]:
    """Run both graphs over the batches, a segment of layers at a time, in the graph's order.

    A typed graph (FP16, BF16, Q/DQ over FP16) is emulated: it rounds as it would on its GPU. Raises
    `ConversionError` where the converted graph lacks a layer's activation.
    """
    layers = _layers(folded)
    alone = converted.clone()
    image = str(folded.graph.inputs[0].name)
    sources = {image: image} | _separate(alone, layers)
    available = {str(value.name) for node in alone.graph for value in node.outputs}
    twins = {name: _twin(name, tensors, available) for name, tensors in layers.items()}
    emulation = emulate(alone)
    wanted = {tensor for tensors in layers.values() for tensor in astuple(tensors)} - {image}
    sums = {name: np.zeros(5) for name in layers}  # n, Σx, Σx², signal, noise
    with ExitStack() as stack:
        reference = stack.enter_context(walk(folded, wanted, threads=threads))
        groups = [
            [name for name, tensors in layers.items() if tensors.response in shown]
            for shown in (frozenset(segment.shown) for segment in reference.segments)
        ]
        parts = leading_to(emulation, [[twins[name] for name in group] for group in groups])
        sessions = [stack.enter_context(loaded(part, threads=threads)) for part in parts]
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        for batch in batches:
            for seen, group, part, session in zip(
                reference.run(batch), groups, parts, sessions, strict=True
            ):
                theirs = {image: batch} | seen.given | seen.shown
                ours = run(session, {entry: theirs[sources[entry]] for entry in part.given})

                def summed(
                    name: str, theirs: Arrays = theirs, ours: Arrays = ours
                ) -> NDArray[np.float64]:
                    response, activation = layers[name].response, layers[name].activation
                    return _sums(theirs[response], theirs[activation], ours[twins[name]])

                for name, found in zip(group, pool.map(summed, group), strict=True):
                    sums[name] += found
    return tuple(_summary(name, total) for name, total in sums.items())


def _sums(
    response: NDArray[np.float32], activation: NDArray[np.float32], converted: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The five sums of a layer over one batch, of `PART` values at a time."""
    tensors = [each.ravel() for each in (response, activation, converted)]
    total = np.zeros(5)
    for at in range(0, response.size, PART):
        x, a, b = (each[at : at + PART].astype(np.float64) for each in tensors)
        noise = a - b
        total += np.array([x.size, x.sum(), x @ x, a @ a, noise @ noise])
    return total


def _layers(folded: ir.Model) -> dict[str, _Tensors]:
    found = {}
    for node in folded.graph:
        if node.op_type in WEIGHTED:
            response = node.outputs[0]
            relu = relu_of(node)
            activation = response if relu is None else relu.outputs[0]
            names = (value.name for value in (node.inputs[0], response, activation) if value)
            found[str(node.name)] = _Tensors(*map(str, names))
    return found


def _separate(converted: ir.Model, layers: Mapping[str, _Tensors]) -> dict[str, str]:
    """Feed every layer from an FP32 graph input of its own, through its own Cast or Q/DQ, in place.

    Returns the tensor of the folded graph that each new input stands for.
    """
    graph = converted.graph
    entries: dict[str, ir.Value] = {}
    entrances: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        tensors = layers.get(str(node.name))
        given = node.inputs[0] if node.inputs else None
        if tensors is None or given is None or given.is_graph_input():
            continue
        if tensors.input not in entries:
            entry = ir.Value(
                name=f"{tensors.input}.given",
                shape=given.shape,
                type=ir.TensorType(ir.DataType.FLOAT),
            )
            graph.inputs.append(entry)
            entries[tensors.input] = entry
        # Two layers may read one tensor differently: one through its Q/DQ pair, one as it is.
        if given not in entrances:
            entry = entries[tensors.input]
            entrances[given] = _entrance(graph, entry, given, before=node)
        node.replace_input_with(0, entrances[given])
    return {str(entry.name): name for name, entry in entries.items()}


def _entrance(graph: ir.Graph, entry: ir.Value, given: ir.Value, *, before: ir.Node) -> ir.Value:
    """`entry` as `given` was: in its type, and dequantized from the same grid if it was."""
    steps: list[ir.Node] = []
    value = entry
    if given.dtype is not None and given.dtype != ir.DataType.FLOAT:
        steps.append(ir.node("Cast", [value], {"to": given.dtype}))
        value = steps[-1].outputs[0]
    producer = given.producer()
    if producer is not None and producer.op_type == "DequantizeLinear":
        grid = producer.inputs[1:]
        steps.append(ir.node("QuantizeLinear", [value, *grid]))
        steps.append(ir.node("DequantizeLinear", [steps[-1].outputs[0], *grid]))
    for number, step in enumerate(steps):
        step.name = step.outputs[0].name = f"{given.name}.given.{number}"
    graph.insert_before(before, steps)
    return steps[-1].outputs[0] if steps else entry


def _twin(name: str, tensors: _Tensors, available: set[str]) -> str:
    """The activation in the converted graph: as dequantized, where it was quantized."""
    for twin in (dequantized_name(tensors.activation), tensors.activation):
        if twin in available:
            return twin
    raise ConversionError("the converted graph has lost its activation", where=name)


def _summary(name: str, total: NDArray[np.float64]) -> Layer:
    count, first, second, signal, noise = (float(x) for x in total)
    variance = max(0.0, second / count - (first / count) ** 2)
    return Layer(name=name, std=float(np.sqrt(variance)), sqnr_db=decibels(signal, noise))
