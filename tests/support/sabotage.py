"""Break a layer on purpose, without changing what the network computes in FP32.

    next(x) = W[:, c]·relu(w[c]∗x + b[c])  =  (W[:, c]/f)·relu((f·w[c])∗x + f·b[c])      f = 2^k > 0

A power of two shifts exponents only, so that FP32 gives the same bits. With f > 1 channel c is an
outlier that stretches the range of the layer's input until the other channels round to zero; with
f < 1 it is the layer's weights that have the outlier, and its input loses the channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from quantized import array, node
from this_cpu import U8

from resnet_convert.graph.initializers import assign
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.dialects import S8S8, Dialect
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.ranges import Range
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime


def stretch(model: ir.Model, layer: str, factor: float, channel: int | None = None) -> None:
    """Scale one input channel of `layer` by `factor`, where its producer writes it, in place.

    Without a `channel`, the most important one: with the largest weights on both sides.
    """
    assert factor > 0
    assert np.log2(factor) % 1 == 0, "only a power of two is exact"
    reader = node(model, layer)
    value = reader.inputs[0]
    assert [use.node for use in value.uses()] == [reader], "others read it too"
    writer = value.producer()
    assert writer.op_type == "Relu"
    writer = writer.inputs[0].producer()
    weight, bias = (str(writer.inputs[index].name) for index in (1, 2))
    read = str(reader.inputs[1].name)
    before, offsets, after = (array(model, name).copy() for name in (weight, bias, read))
    if channel is None:
        written = np.abs(before).reshape(len(before), -1).sum(axis=1)
        channel = int(np.argmax(written * np.abs(after).sum(axis=(0, 2, 3))))
    before[channel] *= factor
    offsets[channel] *= factor
    after[:, channel] /= factor
    for name, changed in ((weight, before), (bias, offsets), (read, after)):
        assign(model.graph.initializers[name], changed)


def stretchable(model: ir.Model) -> list[str]:
    """The layers that are the only reader of a Conv and its ReLU."""
    found = []
    for layer in model.graph:
        if layer.op_type != "Conv" or layer.inputs[0].producer() is None:
            continue
        relu = layer.inputs[0].producer()
        alone = [use.node for use in layer.inputs[0].uses()] == [layer]
        if alone and relu.op_type == "Relu" and relu.inputs[0].producer().op_type == "Conv":
            found.append(str(layer.name))
    return found


@dataclass(frozen=True)
class Calibrated:
    """A dialect with its ranges: `quantize(model, keep)` in place, as it would be deployed."""

    dialect: Dialect
    ranges: Mapping[str, Range]

    def quantize(self, model: ir.Model, keep: frozenset[str]) -> Quantization:
        return self.dialect.convert(model, self.ranges, keep=keep)


def dialect(name: str, folded: ir.Model, images: Sequence[NDArray[Any]]) -> Calibrated:
    """ "u8s8" or "s8s8", calibrated on batches of the graph's input."""
    found = {"u8s8": U8, "s8s8": S8S8}[name]
    ranges = observe(folded, found.activations(folded), images, threads=1).ranges
    return Calibrated(found, ranges)


def logits(data: bytes, batches: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
    """The logits [N,classes] of all batches, by ONNX Runtime."""
    with onnxruntime_runtime.load(data, threads=1) as session:
        return np.concatenate([session.run(batch) for batch in batches])
