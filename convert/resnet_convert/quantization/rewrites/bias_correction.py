"""Bias correction: quantizing shifts the mean of every layer's response; subtract that shift.

    b ← b − (E[y_q] − E[y])      per output channel, over calibration images

A layer's shift is measured with all layers before it corrected already. One run is enough for that:
behind every layer of the quantized graph a node moves the mean of its response over the batch to
that of the FP32 graph over the same batch,

    conv ─► y_q ─► y_q − mean(y_q) + mean(y) ─► …

and the shifts, averaged over all batches, go into the biases of the FP32 graph, which is then
quantized again. The means of the FP32 graph are given (`mean_responses`): those of an equalised
graph are those of the graph that it was made from, divided. Reference: Nagel et al. 2019,
arXiv:1906.04721, section 4.2, in the empirical form of its appendix D.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulate
from resnet_convert.graph.initializers import bias_of, initializer, set_bias
from resnet_convert.graph.model_file import serialize_with_outputs
from resnet_convert.graph.nodes import WEIGHTED
from resnet_convert.graph.opset import AXES_ARE_AN_INPUT
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Images whose means are compared at once; twice as many would take another gigabyte for a ResNet-50
# at 224 pixels.
BATCH = 16
# The mean of each channel of a layer's response over one batch, [1, C, 1, …], by layer.
Means = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class BiasCorrection:
    """How many layers were corrected, over how many images; the largest |shift| of a channel."""

    layers: int
    images: int
    largest_shift: float


def mean_responses(
    model: ir.Model, batches: Iterable[NDArray[Any]], *, threads: int
) -> list[Means]:
    """The means of a folded FP32 graph over each batch that `correct` makes of these."""
    reference = model.clone()
    means = _with_means(reference, _responses(reference))
    with onnxruntime_runtime.load(
        serialize_with_outputs(reference, means.values()), threads=threads
    ) as session:
        found = [session.run_all(batch) for batch in _joined(batches)]
    return [{layer: each[mean] for layer, mean in means.items()} for each in found]


def correct(
    model: ir.Model,
    quantized: ir.Model,
    batches: Iterable[NDArray[Any]],
    expected: Iterable[Means],
    *,
    threads: int,
) -> BiasCorrection:
    """Correct the biases of a folded FP32 graph in place; `quantized` was made from a copy of it.

    Batches are those of the graph's input, of any size; they are joined to `BATCH` images, over
    each of which the graph's means are `expected`. Raises `UsageError` without images, and
    `ConversionError` where `quantized` lacks a layer's response.
    """
    responses = _responses(model)
    candidate = emulate(quantized)
    given = _recentred(candidate, responses)
    shifts = dict.fromkeys(responses, np.zeros(1))
    images = 0
    with onnxruntime_runtime.load(
        serialize_with_outputs(candidate, [mean for _, mean in given.values()]), threads=threads
    ) as session:
        for batch, wanted in zip(_joined(batches), expected, strict=True):
            fed = {entry: wanted[layer] for layer, (entry, _) in given.items()}
            found = session.run_all(batch, fed)
            for layer in responses:
                shift = found[given[layer][1]].astype(np.float64) - wanted[layer]
                shifts[layer] = shifts[layer] + len(batch) * shift.ravel()
            images += len(batch)
    if not images:
        raise UsageError("bias correction needs images", remedy="Give --calibration a folder.")
    for node in [node for node in model.graph if str(node.name) in responses]:
        _add_to_bias(model.graph, node, -shifts[str(node.name)] / images)
    largest = max(float(np.abs(shift).max()) / images for shift in shifts.values())
    return BiasCorrection(len(responses), images, largest)


def _responses(model: ir.Model) -> dict[str, str]:
    """The tensor that each layer writes, by its name."""
    return {
        str(node.name): str(node.outputs[0].name)
        for node in model.graph
        if node.op_type in WEIGHTED
    }


def _joined(batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    waiting: list[NDArray[Any]] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= BATCH:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _with_means(model: ir.Model, responses: dict[str, str]) -> dict[str, str]:
    """Add nodes for the mean of every response, in place; returns the means' names by layer."""
    producers = {str(value.name): node for node in model.graph for value in node.outputs}
    return {
        name: str(_mean(model.graph, producers[response]).name)
        for name, response in responses.items()
    }


def _recentred(model: ir.Model, responses: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Add nodes that move every response to a given mean, in place.

    Returns, by layer, the graph input for the given mean and the tensor of the response's own.
    """
    graph = model.graph
    producers = {str(value.name): node for node in graph for value in node.outputs}
    found = {}
    for name, response in responses.items():
        if response not in producers:
            raise ConversionError("its response is missing in the quantized graph", where=name)
        value = producers[response].outputs[0]
        uses = list(value.uses())
        mean = _mean(graph, producers[response])
        entry = ir.Value(
            name=f"{response}.wanted",
            shape=mean.outputs[0].shape,
            type=ir.TensorType(ir.DataType.FLOAT),
        )
        graph.inputs.append(entry)
        centred = ir.node("Sub", [value, mean.outputs[0]], name=f"{response}.centred")
        moved = ir.node("Add", [centred.outputs[0], entry], name=f"{response}.moved")
        for node in (centred, moved):
            _describe(node, value.shape)
        graph.insert_after(mean, [centred, moved])
        for use in uses:
            use.node.replace_input_with(use.idx, moved.outputs[0])
        found[name] = (str(entry.name), str(mean.name))
    return found


def _mean(graph: ir.Graph, layer: ir.Node) -> ir.Node:
    """Add, behind a layer, the mean of each channel over images and positions, [1, C, 1, …]."""
    value = layer.outputs[0]
    sides = list(value.shape or ())
    axes = [axis for axis in range(len(sides)) if axis != 1]
    if graph.opset_imports[""] < AXES_ARE_AN_INPUT:
        node = ir.node("ReduceMean", [value], {"axes": axes}, name=f"{value.name}.mean")
    else:
        listed = initializer(graph, f"{value.name}.mean.axes", np.asarray(axes, np.int64))
        node = ir.node("ReduceMean", [value, listed], name=f"{value.name}.mean")
    _describe(node, ir.Shape([side if axis == 1 else 1 for axis, side in enumerate(sides)]))
    graph.insert_after(layer, node)
    return node


def _describe(node: ir.Node, shape: ir.Shape | None) -> None:
    output = node.outputs[0]
    output.name, output.shape = node.name, shape
    output.type = ir.TensorType(ir.DataType.FLOAT)


def _add_to_bias(graph: ir.Graph, node: ir.Node, change: NDArray[np.float64]) -> None:
    bias = bias_of(node)
    if bias is not None:
        change = bias.astype(np.float64) + change
    set_bias(graph, node, change.astype(np.float32))
