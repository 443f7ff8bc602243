"""Average: the ONNX model that turns several logits into the mean of what clients read in them.

    softmax   probabilities = mean of softmax(logits_k)   logits = log(max(probabilities, tiny))
    sigmoid   probabilities = mean of σ(logits_k)         logits = log(p / (1 − p)), both ≥ tiny
    none                                                  logits = mean of logits_k

The output `logits` exists because softmax(log p) = p and σ(log p / (1 − p)) = p: a client that
reads it as a classifier's logits, as every client does, gets the averaged probabilities. 1 − p is
the mean of σ(−logits_k), which is exact where p is near one. `tiny`, the smallest normal FP32,
keeps it finite where every member gives a class the probability zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_convert.graph.initializers import initializer
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.optional import optional
from resnet_serve.triton.composed_config import logits_name, outputs

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

TINY = float(np.finfo(np.float32).tiny)


def average(count: int, classes: int, activation: Activation = SOFTMAX) -> bytes:
    """`count` inputs `logits_1`…, FP32 ["batch",classes]; the outputs have that shape."""
    given = [_tensor(logits_name(number), classes) for number in range(1, count + 1)]
    graph = ir.Graph(given, [], nodes=[], opset_imports={"": OPSET}, name="average")
    if activation.kind is Kind.NONE:
        made = [_mean(graph, given, "mean")]
    elif activation.decides_labels:
        made = _sigmoids(graph, given)
    else:
        made = _softmaxes(graph, given)
    for value, name in zip(made, outputs(activation), strict=True):
        value.name = name
        value.shape, value.type = given[0].shape, given[0].type
        graph.outputs.append(value)
    return serialize(ir.Model(graph, ir_version=IR_VERSION))


def _softmaxes(graph: ir.Graph, given: list[ir.Value]) -> list[ir.Value]:
    shares = [_add(graph, "Softmax", [z], f"{z.name}.softmax", axis=1) for z in given]
    mean = _mean(graph, shares, "mean")
    return [mean, _log(graph, mean, _tiny(graph), "log")]


def _sigmoids(graph: ir.Graph, given: list[ir.Value]) -> list[ir.Value]:
    one = initializer(graph, "one", np.asarray(1, np.float32))
    negative = [_add(graph, "Neg", [z], f"{z.name}.negative") for z in given]
    shares = [_share(graph, z, one) for z in negative]
    rests = [_share(graph, z, one) for z in given]
    mean, rest, tiny = _mean(graph, shares, "mean"), _mean(graph, rests, "rest"), _tiny(graph)
    logs = [_log(graph, mean, tiny, "log"), _log(graph, rest, tiny, "log_rest")]
    return [mean, _add(graph, "Sub", logs, "odds")]


def _share(graph: ir.Graph, negated: ir.Value, one: ir.Value) -> ir.Value:
    """1 / (1 + exp(−z)) of −z; ONNX Runtime's Sigmoid is constant beyond |z| = 18."""
    power = _add(graph, "Exp", [negated], f"{negated.name}.power")
    below = _add(graph, "Add", [power, one], f"{negated.name}.below")
    return _add(graph, "Reciprocal", [below], f"{negated.name}.share")


def _mean(graph: ir.Graph, values: list[ir.Value], name: str) -> ir.Value:
    return _add(graph, "Mean", values, name)


def _log(graph: ir.Graph, value: ir.Value, tiny: ir.Value, name: str) -> ir.Value:
    return _add(graph, "Log", [_add(graph, "Max", [value, tiny], f"{name}.positive")], name)


def _tiny(graph: ir.Graph) -> ir.Value:
    return initializer(graph, "tiny", np.asarray(TINY, np.float32))


def _add(graph: ir.Graph, operator: str, inputs: Any, name: str, **attributes: int) -> ir.Value:
    node = _node(operator, inputs, name, **attributes)
    graph.append(node)
    return node.outputs[0]


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
