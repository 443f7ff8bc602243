"""Emulate: the numbers of a typed graph on a CPU that has no kernels for its types.

    y = op(x)  in FP16 or BF16      →      y = FLOAT(T(op(x)))  in FP32,  T the type of y

ONNX Runtime's CPU provider has no BF16 kernels, and computes FP16 graphs in FP32 without rounding
between the operators. Here every operator runs in FP32 over rounded constants, and its result is
rounded by a Cast and back: exactly where the typed graph rounds. QuantizeLinear and
DequantizeLinear, INT8 or FP8, stay as they are, with FP32 scales that are the same numbers.
A GPU's kernel may fuse operators and then rounds less often; it sums in another order anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.graph.initializers import array_of, assign
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.nodes import MOVING, REPEATING, element_types
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Their results are values of their inputs, or zero: rounded already. Relu is not listed although it
# is exact: ONNX Runtime drops a Relu right in front of a QuantizeLinear to FP8.
EXACT = MOVING | REPEATING | {"Concat"}


def emulated(model: ir.Model) -> bytes:
    """`emulate(model)` as the bytes of an .onnx file, for ONNX Runtime's CPU provider."""
    return serialize(emulate(model))


def emulate(model: ir.Model) -> ir.Model:
    """A copy of the model with FP32 operators whose results are rounded; tensors keep their names.

    Inputs and outputs, UINT8 or FP32, keep their types. A graph without FP16 and BF16 is copied
    unchanged.
    """
    copy = model.clone()
    graph = copy.graph
    narrow = {
        value: dtype
        for value, dtype in element_types(graph).items()
        if dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    }
    for value in graph.initializers.values():
        if value in narrow:
            assign(value, array_of(value).astype(np.float32))
    for node in list(graph):
        for output in node.outputs:
            if output not in narrow:
                continue
            output.type = ir.TensorType(ir.DataType.FLOAT)
            if node.op_type == "Cast":
                node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
            if node.op_type not in EXACT:
                _round(graph, node, output, narrow[output])
    return copy


def _round(graph: ir.Graph, node: ir.Node, exact: ir.Value, dtype: ir.DataType) -> None:
    """Give the readers of a tensor its rounded value, under the same name."""
    uses, name = list(exact.uses()), exact.name
    down = ir.node("Cast", [exact], {"to": dtype}, name=f"{name}.down")
    up = ir.node("Cast", down.outputs, {"to": ir.DataType.FLOAT}, name=f"{name}.up")
    exact.name, down.outputs[0].name, up.outputs[0].name = f"{name}.exact", down.name, name
    for step, found in ((down, dtype), (up, ir.DataType.FLOAT)):
        step.outputs[0].shape, step.outputs[0].type = exact.shape, ir.TensorType(found)
    graph.insert_after(node, [down, up])
    for use in uses:
        use.node.replace_input_with(use.idx, up.outputs[0])
    for index, output in enumerate(graph.outputs):
        if output is exact:
            graph.outputs[index] = up.outputs[0]
