"""Small graphs to quantize, and a look into what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from resnet_convert.calibrate import observe
from resnet_convert.quantize import Quantization, activations, quantize

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
    return quantize(model, found.ranges)


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
