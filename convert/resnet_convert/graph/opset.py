"""Opset: the version of the ONNX operators in a graph, and how to raise it where a type needs it.

From 17 to 22, of the operators that we write, only the reductions (ReduceMean, ReduceMax, …) are
written differently: from 18 on, their axes are an input. Reference: ONNX Changelog.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.graph.initializers import initializer
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Opset and IR version of what we write; Triton 24.10 and everything newer load them.
OPSET, IR_VERSION = 17, 8
FOR_FP16_SCALES = (19, 9)  # the first whose Q/DQ pairs take FP16 scales, and FP8
AXES_ARE_AN_INPUT = 18  # of reductions, from this opset on; an attribute before
FOR_BF16 = (22, 10)  # the first whose Conv and pools take BF16


def raise_opset(model: ir.Model, opset: int, ir_version: int) -> None:
    """Raise a graph of opset 17 to one of 18 to 22, and its IR version, in place."""
    graph = model.graph
    for node in graph:
        axes = node.attributes.get_ints("axes") if node.op_type.startswith("Reduce") else None
        if axes is not None:
            listed = initializer(graph, f"{node.name}.axes", np.asarray(axes, np.int64))
            node.resize_inputs(2)
            node.replace_input_with(1, listed)
            node.attributes.pop("axes")
    graph.opset_imports[""] = opset
    model.ir_version = ir_version
