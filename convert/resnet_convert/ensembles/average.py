"""Average: the ONNX model that turns several logits into the mean of their probabilities.

    probabilities = mean of softmax(logits_k)        logits = log(max(probabilities, tiny))

The second output exists because softmax(log p) = p: a client that reads it as a classifier's
logits, as every client does, gets the averaged probabilities. `tiny`, the smallest normal
FP32, keeps it finite where every member gives a class the probability zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_convert.graph.initializers import initializer
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_serve.optional import optional
from resnet_serve.triton.composed_config import PROBABILITIES, logits_name
from resnet_serve.triton.config import OUTPUT

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

TINY = float(np.finfo(np.float32).tiny)


def average(count: int, classes: int) -> bytes:
    """`count` inputs `logits_1`…, FP32 ["batch",classes]; both outputs have that shape."""
    given = [_tensor(logits_name(number), classes) for number in range(1, count + 1)]
    softmaxes = [_node("Softmax", [value], f"{value.name}.softmax", axis=1) for value in given]
    mean = _node("Mean", [node.outputs[0] for node in softmaxes], "mean")
    graph = ir.Graph(
        given,
        [mean.outputs[0]],
        nodes=[*softmaxes, mean],
        opset_imports={"": OPSET},
        name="average",
    )
    tiny = initializer(graph, "tiny", np.asarray(TINY, np.float32))
    positive = _node("Max", [mean.outputs[0], tiny], "positive")
    log = _node("Log", positive.outputs, "log")
    graph.extend([positive, log])
    graph.outputs.append(log.outputs[0])
    for value, name in zip(graph.outputs, (PROBABILITIES, OUTPUT), strict=True):
        value.name = name
        value.shape, value.type = given[0].shape, given[0].type
    return serialize(ir.Model(graph, ir_version=IR_VERSION))


def _tensor(name: str, classes: int) -> ir.Value:
    return ir.Value(
        name=name,
        shape=ir.Shape(["batch", classes]),
        type=ir.TensorType(ir.DataType.FLOAT),
    )


def _node(operator: str, inputs: Any, name: str, **attributes: int) -> ir.Node:
    node = ir.node(operator, inputs=inputs, attributes=attributes or None, name=name)
    node.outputs[0].name = f"{name}.output"
    return node
