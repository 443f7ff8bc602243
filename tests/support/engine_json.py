"""The engine inspector's JSON for one of our graphs, in the forms of TensorRT 10.x and 11.x.

The layers are as TensorRT's documents show them for such graphs: convolution, addition and ReLU
fused into one layer, named after its ONNX nodes. They were not read from a real engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

OLD = {"fp32": "Row major linear FP32", "fp16": "Channel major FP16 format where channel % 8 == 0",
       "bf16": "Channel major BFloat16 format where channel % 8 == 0",
       "int8": "Thirty-two wide channel vectorized row major Int8 format",
       "fp8": "Sixteen wide channel vectorized row major FP8 format"}  # fmt: skip
NEW = {"fp32": "Float", "fp16": "Half", "bf16": "BFloat16", "int8": "Int8", "fp8": "FP8"}
WEIGHTS = {"fp32": "Float", "fp16": "Half", "bf16": "BFloat16", "int8": "Int8", "fp8": "FP8"}


def information(
    model: ir.Model,
    precision: str,
    *,
    major: int,
    but: Mapping[str, str] | None = None,
    fuse: bool = True,
    reformats: int = 0,
) -> str:
    """The JSON; `but` gives some convolutions another precision, by name."""
    layers = []
    for node in model.graph:
        if node.op_type != "Conv":
            continue
        nodes = [str(node.name)]
        value = node.outputs[0]
        while fuse and len(value.uses()) == 1:
            reader = value.uses()[0].node
            if reader.op_type not in ("Add", "Relu") or str(reader.name) in _held(layers):
                break
            nodes.append(str(reader.name))
            value = reader.outputs[0]
        layers.append(_layer(nodes, (but or {}).get(nodes[0], precision), major))
    for node in model.graph:
        if node.op_type == "Add" and str(node.name) not in _held(layers):
            layers.append(_layer([str(node.name)], precision, major, kind="PointWiseV2"))
    layers += [
        {**_layer([], precision, major, kind="Reformat"), "Name": f"Reformatting CopyNode {index}"}
        for index in range(reformats)
    ]
    entry, logits = str(model.graph.inputs[0].name), str(model.graph.outputs[0].name)
    if major < 11:
        return json.dumps({"Layers": layers, "Bindings": [entry, logits]})
    tensors = [
        {"Name": entry, "IOMode": "Input", "DataType": "UInt8"},
        {"Name": logits, "IOMode": "Output", "DataType": "Float"},
    ]
    return json.dumps({"Layers": layers, "I/O Tensors": tensors})


def _held(layers: list[dict[str, Any]]) -> str:
    return " ".join(layer["Metadata"] for layer in layers)


def _layer(
    nodes: list[str], precision: str, major: int, kind: str = "CaskConvolution"
) -> dict[str, Any]:
    def tensor(name: str) -> dict[str, Any]:
        described: dict[str, Any] = {"Name": name, "Dimensions": [8, 64, 56, 56]}
        if major < 11:
            return {**described, "Format/Datatype": OLD[precision]}
        return {**described, "Format": "kCHW32", "DataType": NEW[precision]}

    layer: dict[str, Any] = {
        "Name": " + ".join(nodes),
        "LayerType": kind,
        "Inputs": [tensor("x")],
        "Outputs": [tensor("y")],
        "Metadata": "\x1e".join(f"[ONNX Layer: {name}]" for name in nodes),
    }
    if kind == "CaskConvolution":
        layer["Weights"] = {"Type": WEIGHTS[precision], "Count": 1}
        layer["Bias"] = {"Type": "Float", "Count": 1}
    return layer
