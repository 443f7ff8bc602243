"""Faults: what is broken on purpose in a really trained network, for the gate to refuse.

One list for the simulation of the gate's error rates (`gate_logits.py`) and for the tests of the
gate. `LAYERS` and `scaled` break an INT8 graph; `MISTAKES` are of the reference: what a user gets
wrong in the preprocessing or in the order of the labels of the CIFAR-10 ResNet-20.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from resnet_convert.graph.initializers import array_of, assign
from resnet_serve.weights import Weights

Change = Callable[[ir.Model], None]
Mistake = Callable[[Weights], Weights]

FACTOR = 4.0
LAYERS = ("conv1", "layer2.0.conv1", "layer2.1.conv2", "layer2.2.conv2", "layer3.2.conv2")


def scaled(layer: str, factor: float = FACTOR, channel: int = 1) -> Change:
    """Multiply the scale of one output channel's weights in a quantized graph."""

    def change(model: ir.Model) -> None:
        """Scale the channel in place."""
        node = next(node for node in model.graph if node.name == layer)
        weight = node.inputs[1]
        dequantize = None if weight is None else weight.producer()
        scale = None if dequantize is None else dequantize.inputs[1]
        if scale is None:
            raise ValueError(f"{layer} is not quantized")
        values = array_of(scale).copy()
        values[channel] *= factor
        assign(scale, values)

    return change


def bgr(loaded: Weights) -> Weights:
    """The channels the other way round."""
    return replace(loaded, preprocessing=replace(loaded.preprocessing, channel_order="bgr"))


def resized(loaded: Weights) -> Weights:
    """232 → 256 of a network that takes 32 pixels as they are: resize to 37, crop 32."""
    changed = replace(loaded.preprocessing, resize=37, resize_mode="shorter")
    return replace(loaded, preprocessing=changed)


def shuffled(loaded: Weights) -> Weights:
    """The class names in a random order."""
    order = np.random.default_rng(1).permutation(len(loaded.labels))
    return replace(loaded, labels=tuple(loaded.labels[index] for index in order))


MISTAKES: dict[str, Mistake] = {
    "BGR": bgr,
    "labels shuffled": shuffled,
    "another resize": resized,
}
