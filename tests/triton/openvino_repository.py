"""Configurations and a small network for the `openvino` backend."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper
from quantized import calibrated, normal, residual
from tiny_repository import config

from resnet_convert.graph.model_file import serialize

SIDE = 6


def openvino_config(*, rest: str = "", **fields: Any) -> str:
    """`tiny_repository.config` for this backend and an ONNX file."""
    text = config(rest=f'default_model_filename: "model.onnx"\n{rest}', **fields)
    return text.replace('backend: "onnxruntime"', 'backend: "openvino"')


def network(*, int8: bool) -> bytes:
    """A residual network: `image` FP32 [N,3,6,6] to `logits` FP32 [N,5]."""

    def graph(text: str, **constants: NDArray[Any]) -> ir.Model:
        proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\nm {text}')
        for name, array in constants.items():
            proto.graph.initializer.append(numpy_helper.from_array(array, name))
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto))

    model = residual(graph, 3, SIDE)
    if int8:
        calibrated(model, normal(8, 3, SIDE, SIDE, seed=99))
    return serialize(model)
