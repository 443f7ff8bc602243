"""Places and types of Q/DQ pairs, as rewrites of the graph that `--target tensorrt` makes.

`rtx_placements.py` builds each of them with the builder of TensorRT-RTX.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import array_of, assign, bias_of, initializer, set_bias
from resnet_convert.graph.nodes import joins_images
from resnet_convert.graph.opset import raise_opset
from resnet_convert.graph.shortcut import shortcut
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.qdq import insert_pair
from resnet_convert.quantization.ranges import Range

GRID = np.zeros((), np.int8)
SCALE = np.asarray(2**-5, np.float32)  # of the pairs that a placement adds


@dataclass(frozen=True)
class Placement:
    """A precision and what is changed of the graph that `--target tensorrt` makes in it.

    `changed` rewrites the quantized graph before its floating rest gets the type `rest`.
    """

    precision: str
    changed: tuple[Callable[[ir.Model], None], ...] = ()
    rest: str | None = "fp16"


def placed(folded: ir.Model, placement: Placement) -> ir.Model:
    """A copy of the graph with its pairs, in its types."""
    model = folded.clone()
    if placement.precision != "fp16":
        random = np.random.default_rng(0)
        names = s8s8.activations(model)
        ranges = {name: Range(*sorted(random.normal(0, 3, 2))) for name in names}
        s8s8.quantize(model, ranges, placement.precision)
    for change in placement.changed:
        change(model)
    if placement.rest is not None:
        halve(model, placement.rest)
    return model


def one_scale(model: ir.Model) -> None:
    """Weights with one scale per tensor instead of one per output channel."""
    for node in _weights(model):
        stored, scale, zero = node.inputs
        assert stored is not None
        assert scale is not None
        assert zero is not None
        scales = array_of(scale)
        largest = np.max(scales)
        steps = array_of(stored).astype(np.float32)
        steps = steps * (scales / largest).reshape((-1,) + (1,) * (steps.ndim - 1))
        assign(stored, np.asarray(np.rint(steps), array_of(stored).dtype))
        assign(scale, np.asarray(largest, np.float32))
        assign(zero, np.zeros((), array_of(zero).dtype))
        node.attributes.pop("axis")


def scale_apart(model: ir.Model) -> None:
    """Weights with one scale, and the rest of each channel's scale as a Mul behind the Conv."""
    graph = model.graph
    for node in _weights(model):
        layer = next(iter(node.outputs[0].uses())).node
        scale, zero = node.inputs[1], node.inputs[2]
        if layer.op_type != "Conv" or scale is None or zero is None:
            continue
        scales = array_of(scale)
        largest = np.max(scales)
        factors = (scales / largest).astype(np.float16).astype(np.float32).reshape(-1, 1, 1)
        assign(scale, np.asarray(largest, np.float32))
        assign(zero, np.zeros((), array_of(zero).dtype))
        node.attributes.pop("axis")
        bias = bias_of(layer)
        if bias is not None:
            set_bias(graph, layer, (bias / factors.reshape(-1)).clip(-6e4, 6e4))
        uses = list(layer.outputs[0].uses())
        factor = initializer(graph, f"{layer.name}.factor", factors)
        scaled = ir.node("Mul", [layer.outputs[0], factor], name=f"{layer.name}.scaled")
        scaled.outputs[0].name = scaled.name
        scaled.outputs[0].shape, scaled.outputs[0].type = (
            layer.outputs[0].shape,
            layer.outputs[0].type,
        )
        graph.insert_after(layer, scaled)
        for use in uses:
            use.node.replace_input_with(use.idx, scaled.outputs[0])


def floating_shortcut(model: ir.Model) -> None:
    """The shortcut of an addition without its pair."""
    for node in model.graph:
        index = shortcut(node) if joins_images(node) else None
        if index is not None:
            value = node.inputs[index]
            while value is not None and (writer := value.producer()) and "Linear" in writer.op_type:
                value = writer.inputs[0]
            node.replace_input_with(index, value)


def pair_on_main(model: ir.Model) -> None:
    """A pair between the main path and its addition too."""
    for node in list(model.graph):
        index = shortcut(node) if joins_images(node) else None
        if index is not None:
            value = node.inputs[1 - index]
            assert value is not None
            insert_pair(
                model.graph, value, SCALE, GRID, name=f"{node.name}.main", uses=[(node, 1 - index)]
            )


def pair_behind_add(model: ir.Model) -> None:
    """A pair between every addition and its ReLU."""
    for node in list(model.graph):
        if joins_images(node):
            value = node.outputs[0]
            uses = [(use.node, use.idx) for use in value.uses()]
            insert_pair(model.graph, value, SCALE, GRID, name=f"{node.name}.sum", uses=uses)


def pair_before_relu(model: ir.Model) -> None:
    """Every pair in front of its ReLU: the same numbers, since negative steps become zero there."""
    for relu in [node for node in model.graph if node.op_type == "Relu"]:
        readers = [use.node for use in relu.outputs[0].uses()]
        quantizer = next((node for node in readers if node.op_type == "QuantizeLinear"), None)
        if quantizer is None:
            continue
        dequantizer = next(iter(quantizer.outputs[0].uses())).node
        for use in list(dequantizer.outputs[0].uses()):
            use.node.replace_input_with(use.idx, relu.outputs[0])
        quantizer.replace_input_with(0, relu.inputs[0])
        relu.replace_input_with(0, dequantizer.outputs[0])
    model.graph.sort()


def newer_opset(model: ir.Model) -> None:
    """Opset 22, the last that `raise_opset` knows."""
    raise_opset(model, 22, 10)


def bare_cast(model: ir.Model) -> None:
    """Every Q as a Cast to INT8 alone: wrong numbers, and the least that could be fused."""
    graph = model.graph
    for node in list(graph):
        if node.op_type == "QuantizeLinear":
            cast = ir.node("Cast", [node.inputs[0]], {"to": ir.DataType.INT8}, name=node.name)
            cast.outputs[0].shape = node.outputs[0].shape
            cast.outputs[0].type = node.outputs[0].type
            uses = list(node.outputs[0].uses())
            graph.insert_after(node, cast)
            for use in uses:
                use.node.replace_input_with(use.idx, cast.outputs[0])
            name = node.outputs[0].name
            graph.remove(node, safe=True)
            cast.outputs[0].name = name


PLACEMENTS = {
    "fp16": Placement("fp16"),
    "int8, as deployed": Placement("int8"),
    "int8, weights with one scale": Placement("int8", (one_scale,)),
    "int8, weights with one scale, shortcut floating": Placement(
        "int8", (one_scale, floating_shortcut)
    ),
    "int8, channels scaled apart": Placement("int8", (scale_apart,)),
    "int8, shortcut floating": Placement("int8", (floating_shortcut,)),
    "int8, pairs on both operands": Placement("int8", (pair_on_main,)),
    "int8, pairs on both operands, one scale": Placement("int8", (one_scale, pair_on_main)),
    "int8, pair behind the addition": Placement("int8", (pair_behind_add,)),
    "int8, pair behind the addition, one scale": Placement("int8", (one_scale, pair_behind_add)),
    "int8, pair before the ReLU": Placement("int8", (pair_before_relu,)),
    "int8, pair before the ReLU, one scale": Placement("int8", (one_scale, pair_before_relu)),
    "int8, rest FP32": Placement("int8", rest=None),
    "int8, rest FP32, one scale": Placement("int8", (one_scale,), rest=None),
    "int8, opset 22, one scale": Placement("int8", (one_scale, newer_opset)),
    "int8, Q as a bare Cast, one scale (wrong numbers)": Placement("int8", (one_scale, bare_cast)),
    "fp8, as deployed": Placement("fp8"),
}


def _weights(model: ir.Model) -> list[ir.Node]:
    return [
        node
        for node in model.graph
        if node.op_type == "DequantizeLinear"
        and node.inputs[0] is not None
        and node.inputs[0].is_initializer()
    ]
