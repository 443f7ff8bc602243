"""The contract of the `onnxruntime` backend: what a configuration and its model must agree on.

The checks, their order and their words are those of the native backend (r24.10,
triton-inference-server/onnxruntime_backend, onnxruntime.cc and onnxruntime_utils.cc), so that a
configuration refused in NVIDIA's container is refused here with the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_serve.triton.backends.contract import ContractError, configured_dims, mismatch, shown

_CONTROLS = (
    "CONTROL_SEQUENCE_START",
    "CONTROL_SEQUENCE_END",
    "CONTROL_SEQUENCE_READY",
    "CONTROL_SEQUENCE_CORRID",
)
# ONNX Runtime's name of an element type, Triton's, and the backend's own.
_TYPES = {
    "tensor(bool)": ("TYPE_BOOL", "BOOL"),
    "tensor(uint8)": ("TYPE_UINT8", "UINT8"),
    "tensor(uint16)": ("TYPE_UINT16", "UINT16"),
    "tensor(uint32)": ("TYPE_UINT32", "UINT32"),
    "tensor(uint64)": ("TYPE_UINT64", "UINT64"),
    "tensor(int8)": ("TYPE_INT8", "INT8"),
    "tensor(int16)": ("TYPE_INT16", "INT16"),
    "tensor(int32)": ("TYPE_INT32", "INT32"),
    "tensor(int64)": ("TYPE_INT64", "INT64"),
    "tensor(float16)": ("TYPE_FP16", "FLOAT16"),
    "tensor(float)": ("TYPE_FP32", "FLOAT"),
    "tensor(double)": ("TYPE_FP64", "DOUBLE"),
    "tensor(string)": ("TYPE_STRING", "STRING"),
}
_SUPPORTED = {triton for triton, _ in _TYPES.values()}


@dataclass(frozen=True)
class ModelTensor:
    """An input or output of the ONNX model; a symbolic dimension is -1."""

    name: str
    data_type: str
    onnx_type: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, node: Any) -> ModelTensor:
        """From an `onnxruntime.NodeArg`; raises `ContractError` for what is no tensor."""
        if not node.type.startswith("tensor("):
            kind = node.type.partition("(")[0].upper()
            raise ContractError(
                f"Unsupported ONNX Type 'ONNX_TYPE_{kind}' for I/O '{node.name}', "
                "expected 'ONNX_TYPE_TENSOR'."
            )
        data_type, onnx_type = _TYPES.get(node.type, ("TYPE_INVALID", "UNDEFINED"))
        shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
        return cls(node.name, data_type, onnx_type, shape)


@dataclass(frozen=True)
class Signature:
    """The inputs, outputs and overridable initializers of the ONNX model."""

    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]
    initializers: tuple[ModelTensor, ...] = ()

    @classmethod
    def of(cls, session: Any) -> Signature:
        """From an `onnxruntime.InferenceSession`; raises as `ModelTensor.of`."""
        return cls(
            tuple(map(ModelTensor.of, session.get_inputs())),
            tuple(map(ModelTensor.of, session.get_outputs())),
            tuple(map(ModelTensor.of, session.get_overridable_initializers())),
        )


def check(config: Mapping[str, Any], signature: Signature) -> None:
    """Raise `ContractError` where the model does not provide what the configuration has."""
    name = config["name"]
    required = [tensor for tensor in config["input"] if not tensor.get("optional")]
    expected = len(required) + _check_controls(config, signature)
    if len(signature.inputs) != expected:
        raise ContractError(
            f"unable to load model '{name}', configuration expects {expected} inputs, "
            f"model provides {len(signature.inputs)}"
        )
    allowed = (*signature.inputs, *signature.initializers)
    for tensor in config["input"]:
        if tensor.get("optional") and config["max_batch_size"] != 0:
            raise ContractError(
                f"unable to load model '{name}', optional input '{tensor['name']}' is not "
                "supported for models that support batching"
            )
        _check_tensor(config, tensor, allowed, "input")
    for tensor in config["output"]:
        _check_tensor(config, tensor, signature.outputs, "output")


def _check_tensor(
    config: Mapping[str, Any], wanted: Mapping[str, Any], provided: Sequence[ModelTensor], role: str
) -> None:
    name, tensor = config["name"], wanted["name"]
    found = next((each for each in provided if each.name == tensor), None)
    if found is None:
        allowed = ", ".join(sorted(each.name for each in provided))
        raise ContractError(
            f"unexpected inference {role} '{tensor}', allowed {role}s are: {allowed}"
        )
    data_type = wanted["data_type"]
    if data_type not in _SUPPORTED:
        raise ContractError(
            f"unsupported datatype {data_type} for {role} '{tensor}' for model '{name}'"
        )
    if data_type != found.data_type:
        raise ContractError(
            f"unable to load model '{name}', configuration expects datatype {data_type} "
            f"for {role} '{tensor}', model provides {found.data_type}"
        )
    dims = configured_dims(wanted)
    if found.shape:
        _check_dims(name, found, dims, config["max_batch_size"], exact=role == "output")
    elif any(size != 1 for size in dims):
        raise ContractError(
            f"unable to load model '{name}', scalar tensor '{tensor}', should only provide 1 in "
            "the model configuration when the model doesn't support batching. Model "
            f"configuration provided: {shown(dims)}."
        )


def _check_dims(
    model: str, found: ModelTensor, dims: Sequence[int], max_batch_size: int, *, exact: bool
) -> None:
    """An input may fix a dimension that is -1 in the model; an output must match exactly."""
    where = f"model '{model}', tensor '{found.name}'"
    full = list(dims)
    if max_batch_size > 0:
        if found.shape[0] != -1:
            raise ContractError(
                f"{where}: for the model to support batching the shape should have at least 1 "
                "dimension and the first dimension must be -1; but shape expected by the model "
                f"is {shown(found.shape)}"
            )
        full = [-1, *dims]
    agree = len(full) == len(found.shape) and all(
        size == wanted or (size == -1 and not exact)
        for size, wanted in zip(found.shape, full, strict=True)
    )
    if not agree:
        raise mismatch(model, found.name, found.shape, full, batched=max_batch_size > 0)


def _check_controls(config: Mapping[str, Any], signature: Signature) -> int:
    """Check the sequence controls, inputs of shape [1]; returns how many there are."""
    batching = config.get("sequence_batching") or {}
    count = 0
    for each in batching.get("control_input", []):
        name = each["name"]
        for control in each.get("control", []):
            if control["kind"] not in _CONTROLS:
                continue
            count += 1
            found = next((tensor for tensor in signature.inputs if tensor.name == name), None)
            if found is None:
                raise ContractError(
                    f"configuration specified sequence control '{name}', but model does not "
                    "provide that input"
                )
            dims = found.shape[1 if config["max_batch_size"] > 0 else 0 :]
            where = f"unable to load model '{config['name']}', sequence control '{name}'"
            if dims != (1,):
                raise ContractError(
                    f"{where} in model has dims {shown(dims)} but dims [1] is expected"
                )
            data_type = _control_type(control)
            if data_type != found.data_type:
                raise ContractError(
                    f"{where}, the model expects data-type {found.onnx_type} but the model "
                    f"configuration specifies data-type {data_type}"
                )
    return count


def _control_type(control: Mapping[str, Any]) -> str:
    for field, data_type in (
        ("int32_false_true", "TYPE_INT32"),
        ("fp32_false_true", "TYPE_FP32"),
        ("bool_false_true", "TYPE_BOOL"),
    ):
        if control.get(field):
            return data_type
    return str(control.get("data_type"))
