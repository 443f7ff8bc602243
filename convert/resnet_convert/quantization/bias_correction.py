"""Correct biases: quantizing shifts the mean of every layer's response; take the shift back.

    b ← b − (E[y_q] − E[y])      per output channel, over calibration images

(Nagel et al. 2019, arXiv:1906.04721, section 4.2, the empirical form of its appendix D.)
A layer's shift is measured with all layers before it corrected already. One run is enough for
that: the quantized graph gets a node behind every layer that moves the response's mean, over the
batch, to the one that the FP32 graph has over the same batch,

    conv ─► y_q ─► y_q − mean(y_q) + mean(y) ─► …

and the shifts of all batches are averaged into the biases of the FP32 graph, which is then
quantized again as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulate
from resnet_convert.graph.initializers import array_of, assign, initializer, own_initializer
from resnet_convert.graph.model_file import serialize_with_outputs
from resnet_convert.graph.nodes import WEIGHTED
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Images whose means are compared, more are averaged batch by batch. Twice as many would take
# another gigabyte for a ResNet-50 at 224 pixels.
BATCH = 16
_AXES_ARE_AN_INPUT = 18  # of ReduceMean, from this opset on


@dataclass(frozen=True)
class BiasCorrection:
    """How many layers got a bias, over how many images, and the largest shift taken back."""

    layers: int
    images: int
    largest_shift: float


def correct(
    model: ir.Model, quantized: ir.Model, batches: Iterable[NDArray[Any]], *, threads: int
) -> BiasCorrection:
    """Correct the biases of a folded FP32 graph in place; `quantized` was made from a copy of it.

    Batches are those of the graph's input, of any size; they are joined to `BATCH` images.
    """
    responses = {
        str(node.name): str(node.outputs[0].name)
        for node in model.graph
        if node.op_type in WEIGHTED
    }
    reference = model.clone()
    candidate = emulate(quantized)
    means = _with_means(reference, responses)
    given = _recentred(candidate, responses)
    shifts = dict.fromkeys(responses, np.zeros(1))
    images = 0
    with (
        onnxruntime_runtime.load(
            serialize_with_outputs(reference, means.values()), threads=threads
        ) as theirs,
        onnxruntime_runtime.load(
            serialize_with_outputs(candidate, [mean for _, mean in given.values()]), threads=threads
        ) as ours,
    ):
        for batch in _joined(batches):
            expected = theirs.run_all(batch)
            fed = {entry: expected[means[name]] for name, (entry, _) in given.items()}
            found = ours.run_all(batch, fed)
            for name in responses:
                shift = found[given[name][1]].astype(np.float64) - expected[means[name]]
                shifts[name] = shifts[name] + len(batch) * shift.ravel()
            images += len(batch)
    if not images:
        raise UsageError("bias correction needs images", remedy="Give --calibration a folder.")
    for node in [node for node in model.graph if str(node.name) in responses]:
        _add(model.graph, node, -shifts[str(node.name)] / images)
    largest = max(float(np.abs(shift).max()) / images for shift in shifts.values())
    return BiasCorrection(len(responses), images, largest)


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
    """Compute the mean of every response, in place; returns the means' names by layer."""
    producers = {str(value.name): node for node in model.graph for value in node.outputs}
    return {
        name: str(_mean(model.graph, producers[response]).name)
        for name, response in responses.items()
    }


def _recentred(model: ir.Model, responses: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Move every response to a mean that is given, in place.

    Returns, by layer, the input for the wanted mean and the tensor with the one that there was.
    """
    graph = model.graph
    producers = {str(value.name): node for node in graph for value in node.outputs}
    found = {}
    for name, response in responses.items():
        if response not in producers:
            raise ConversionError("the quantized graph has lost its response", where=name)
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
    """Behind a layer, the mean of each channel over images and positions, [1, C, …]."""
    value = layer.outputs[0]
    sides = list(value.shape or ())
    axes = [axis for axis in range(len(sides)) if axis != 1]
    if graph.opset_imports[""] < _AXES_ARE_AN_INPUT:
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


def _add(graph: ir.Graph, node: ir.Node, change: NDArray[np.float64]) -> None:
    """Add to the bias of a layer, or give it one."""
    if len(node.inputs) > 2:
        bias = own_initializer(node, 2)
        assign(bias, (array_of(bias).astype(np.float64) + change).astype(np.float32))
        return
    added = initializer(graph, f"{node.name}.bias", change.astype(np.float32))
    node.resize_inputs(3)
    node.replace_input_with(2, added)
