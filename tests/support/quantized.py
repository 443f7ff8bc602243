"""Small graphs to quantize, and access to the nodes and arrays of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from this_cpu import LARGEST

from resnet_convert.quantization import s8s8
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.u8s8 import activations, quantize

Graphs = Callable[..., ir.Model]
Run = Callable[..., NDArray[Any]]

LAYER = """(float[N,{inputs},5,4] image) => (float[N,F] y) {{
    [conv] a = Conv <pads = [{pads}], strides = [{stride},{stride}], group = {group}> (image, w, b)
    [relu] r = Relu (a)
    [flatten] y = Flatten (r)
}}"""


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def calibrated(model: ir.Model, *batches: NDArray[Any]) -> Quantization:
    found = observe(model, activations(model), batches, threads=1)
    return quantize(model, found.ranges, largest_weight=LARGEST)


def node(model: ir.Model, name: str) -> ir.Node:
    return next(n for n in model.graph if n.name == name)


def array(model: ir.Model, name: str) -> NDArray[Any]:
    return model.graph.initializers[name].const_value.numpy()


def operators(model: ir.Model) -> list[str]:
    return [n.op_type for n in model.graph]


def one_layer(graph: Graphs, w: NDArray[Any], b: NDArray[Any]) -> ir.Model:
    return graph(
        LAYER.format(inputs=w.shape[1], pads="0,0,0,0", stride=1, group=1),
        w=w.astype(np.float32),
        b=b.astype(np.float32),
    )


BLOCK = """(float[N,4,6,6] image) => (float[N,5] logits) {
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w1, b1)
    [relu] b = Relu (a)
    [block_conv1] c = Conv <pads = [1,1,1,1]> (b, w2, b2)
    [block_relu] d = Relu (c)
    [block_conv2] e = Conv <pads = [1,1,1,1]> (d, w3, b3)
    [block_add] f = Add (e, b)
    [block_relu_1] g = Relu (f)
    [avgpool] h = GlobalAveragePool (g)
    [flatten] i = Flatten (h)
    [fc] logits = Gemm <transB = 1> (i, w4, b4)
}"""


def block(graph: Graphs) -> ir.Model:
    """A stem, an identity block and a classifier."""
    constants = {f"w{n}": normal(4, 4, 3, 3, seed=n, scale=0.3) for n in (1, 2, 3)}
    constants |= {f"b{n}": normal(4, seed=10 + n) for n in (1, 2, 3)}
    constants |= {"w4": normal(5, 4, seed=20), "b4": normal(5, seed=21)}
    return graph(BLOCK, **constants)


MOVED = """(float[N,4,8,8] image) => (float[N,1024] y) {
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w, b)
    [relu] r = Relu (a)
    [maxpool] m = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (r)
    [slice] s = Slice (m, starts, ends, axes, steps)
    [pad] p = Pad (s, pads, value)
    [conv2] c = Conv (p, v)
    [flatten] f = Flatten (c)
    [flatten_1] y = Flatten (f)
}"""


def moved(graph: Graphs, value: float = 0.0) -> ir.Model:
    """A MaxPool, a Slice and a Pad by `value` between two convolutions, and two Flattens."""
    constants = {
        "w": normal(4, 4, 3, 3, scale=0.3),
        "b": normal(4),
        "v": normal(128, 8, 1, 1, seed=2, scale=0.3),
        "starts": np.array([0]),
        "ends": np.array([2**62]),
        "axes": np.array([3]),
        "steps": np.array([2]),
        "pads": np.array([0, 2, 0, 0, 0, 2, 0, 0]),
        "value": np.float32(value),
    }
    return graph(MOVED, **constants)


RESIDUAL = """(float[N,{channels},{side},{side}] image) => (float[N,5] logits) {{
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w1, b1)
    [relu] b = Relu (a)
    [block_conv1] c = Conv <pads = [1,1,1,1]> (b, w2, b2)
    [block_relu] d = Relu (c)
    [block_conv2] e = Conv <pads = [1,1,1,1]> (d, w3, b3)
    [block_add] f = Add (e, b)
    [block_relu_1] g = Relu (f)
    [down_conv1] h = Conv <pads = [1,1,1,1]> (g, w4, b4)
    [down_relu] i = Relu (h)
    [down_conv2] j = Conv <pads = [1,1,1,1]> (i, w5, b5)
    [down_projection] k = Conv <pads = [1,1,1,1]> (g, w6, b6)
    [down_add] l = Add (k, j)
    [down_relu_1] m = Relu (l)
    [avgpool] n = GlobalAveragePool (m)
    [flatten] o = Flatten (n)
    [fc] logits = Gemm <transB = 1> (o, w7, b7)
}}"""


def residual(graph: Graphs, channels: int = 4, side: int = 6) -> ir.Model:
    """An identity block and a projection block, whose projection is the Add's first operand."""
    scale = 1 / np.sqrt(9 * channels)
    constants = {
        f"w{n}": normal(channels, channels, 3, 3, seed=n, scale=scale) for n in range(1, 7)
    }
    constants |= {f"b{n}": normal(channels, seed=10 + n, scale=0.2) for n in range(1, 7)}
    constants |= {"w7": normal(5, channels, seed=7), "b7": normal(5, seed=17)}
    return graph(RESIDUAL.format(channels=channels, side=side), **constants)


def symmetric_residual(graph: Graphs, number: str = "int8", channels: int = 4) -> ir.Model:
    """`residual` with pairs for TensorRT, calibrated on random images; still FP32 otherwise."""
    model = residual(graph, channels)
    images = normal(8, channels, 6, 6, seed=99)
    found = observe(model, s8s8.activations(model), [images], threads=1)
    s8s8.quantize(model, found.ranges, number)
    return model
