"""Model file: a graph as the bytes of one .onnx file, and whether those bytes are valid ONNX.

The weights are in the file itself; the same graph gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
else:
    onnx = optional("onnx", extra="convert")
    ir = optional("onnx_ir", extra="convert")

LARGE_BYTES = 2**10


def serialize(model: ir.Model) -> bytes:
    """The model as the bytes of one .onnx file; the fields are in a fixed order."""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def without_weights(model: ir.Model) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """The model as bytes in which large FP32 weights are named as external, and their values.

    For a session in this process, which is then loaded in a third of the time. `model` is not
    changed, and may not be while the values are in use: they are its own.
    """
    copy = model.clone()
    weights = {}
    for name, value in copy.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.nbytes < LARGE_BYTES:
            continue
        weights[name] = array = np.ascontiguousarray(tensor.numpy())
        value.const_value = ir.ExternalTensor(
            "elsewhere", 0, array.nbytes, tensor.dtype, shape=ir.Shape(array.shape), name=name
        )
    return serialize(copy), weights


def serialize_with_outputs(model: ir.Model, names: Iterable[str]) -> bytes:
    """The model as `serialize` gives it, with the named tensors as additional outputs.

    The names of graph inputs are ignored: they cannot be outputs. `model` is not changed.
    """
    copy = model.clone()
    graph = copy.graph
    values = {value.name: value for node in graph for value in node.outputs}
    values |= {value.name: value for value in graph.inputs}
    present = {value.name for value in graph.outputs}
    for name in names:
        if name not in present and not values[name].is_graph_input():
            graph.outputs.append(values[name])
    return serialize(copy)


def check(data: bytes, *, where: str) -> None:
    """Check the bytes of an .onnx file by ONNX's own rules, types and shapes included.

    Raises `ConversionError` for a file that is not valid ONNX; `where` names the stage or model.
    It takes about 0.2 s for a ResNet-152. Reference: `onnx.checker.check_model(full_check=True)`.
    """
    try:
        onnx.checker.check_model(data, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,  # bytes that are no protobuf message, or more than 2 GiB of them
    ) as error:
        raise ConversionError(
            f"the graph is not valid ONNX ({' '.join(str(error).split())})",
            where=where,
            remedy="This is a bug in the conversion; please report the architecture.",
        ) from error
