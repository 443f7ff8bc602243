"""Pixels: let the graph take raw RGB bytes, UINT8 ["batch",H,W,3], and normalise them itself.

    image ─► Cast ─► Transpose ─► Sub (mean) ─► stem

    w ∗ ((x/255 − m)/s)   =   (w/(255·s)) ∗ (x − 255·m)

The division folds exactly into the stem's weights. The mean stays a subtraction before the
convolution: its zero padding stands for *normalised* zeros, so that folding the mean into the
bias would be wrong along the border.

A mean of zero has nothing to subtract, and the pixels are divided by 255 instead:

    w ∗ (x/255/s)   =   (w/s) ∗ (x · 1/255)

A subtraction of zeros leaves the integers 0…255. Their INT8 pair has scale 1
and changes nothing: OpenVINO removes it, and with it the stem's INT8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of, assign, initializer, own_initializer
from resnet_convert.graph.nodes import writer_of
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.preprocessing import Preprocessing

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

_REMEDY = "Use --input float32."
# The last operator before the stem: what it writes is the FP32 input of the network.
_CENTRED = "pixels.centred"


def take_pixels(model: ir.Model, preprocessing: Preprocessing) -> None:
    """Replace the FP32 input ["batch",C,H,W] by UINT8 pixels ["batch",H,W,C], in place.

    Mean, standard deviation and size are those of `preprocessing`. Raises `ConversionError`, before
    anything is changed, for a network whose input does not go into convolutions of C channels only.
    """
    graph = model.graph
    normalised = graph.inputs[0]
    channels = len(preprocessing.mean)
    stems = [use.node for use in normalised.uses()]
    _check(stems, channels)
    pixels = ir.Value(
        name=normalised.name,
        shape=ir.Shape(["batch", preprocessing.height, preprocessing.width, channels]),
        type=ir.TensorType(ir.DataType.UINT8),
    )
    centre: NDArray[np.float64] = 255.0 * np.asarray(preprocessing.mean, np.float64)
    scale: NDArray[np.float64] = 255.0 * np.asarray(preprocessing.std, np.float64)
    if centre.any():
        moved = "Sub", initializer(graph, "pixels.mean", _planes(centre))
    else:
        moved = "Mul", initializer(graph, "pixels.unit", _planes(np.full_like(centre, 1 / 255)))
        scale = scale / 255.0
    # The Cast comes first: TensorRT has no arithmetic in UINT8, and ONNX Runtime is as fast.
    numbers = _node("Cast", [pixels], "pixels.float", to=ir.DataType.FLOAT)
    planes = _node("Transpose", numbers.outputs, "pixels.planes", perm=[0, 3, 1, 2])
    centred = _node(moved[0], [planes.outputs[0], moved[1]], _CENTRED)
    numbers.outputs[0].shape = pixels.shape
    for node in (planes, centred):
        node.outputs[0].shape = normalised.shape
    for stem in stems:
        weight = own_initializer(stem, 1)
        scaled = array_of(weight).astype(np.float64) / scale[None, :, None, None]
        assign(weight, scaled.astype(np.float32))
    normalised.replace_all_uses_with(centred.outputs[0])
    graph.inputs[0] = pixels
    graph.insert_before(graph[0], [numbers, planes, centred])


def network_input(graph: ir.Graph) -> ir.Value:
    """The FP32 tensor that the network reads: the centred pixels, or the graph's own input."""
    for node in graph:
        if node.name == _CENTRED:
            return node.outputs[0]
    return graph.inputs[0]


def pixel_nodes(graph: ir.Graph) -> frozenset[ir.Node]:
    """The operators between the graph's input and the network: those that normalise pixels."""
    nodes = set()
    writer = writer_of(network_input(graph))
    while writer is not None:
        nodes.add(writer)
        writer = writer_of(writer.inputs[0])
    return frozenset(nodes)


def _check(stems: Sequence[ir.Node], channels: int) -> None:
    if not stems or any(node.op_type != "Conv" for node in stems):
        raise ConversionError(
            "raw pixels need an input that goes into convolutions only",
            where="pixels",
            remedy=_REMEDY,
        )
    for stem in stems:
        if stem.attributes.get_int("group") not in (None, 1):
            raise ConversionError(
                "raw pixels need a stem without groups",
                where=f"pixels: {stem.name}",
                remedy=_REMEDY,
            )
        found = array_of(own_initializer(stem, 1)).shape[1]
        if found != channels:
            raise ConversionError(
                f"the stem takes {found} channels, an image has {channels}",
                where=f"pixels: {stem.name}",
                remedy=_REMEDY,
            )


def _planes(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape(1, -1, 1, 1)


def _node(op_type: str, inputs: Any, name: str, **attributes: Any) -> ir.Node:
    output = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT))
    return ir.node(op_type, list(inputs), attributes, outputs=[output], name=name)
