"""The contract of the `openvino` backend: what a configuration and its model must agree on.

The checks, their order and their words are those of the native backend (2026-08, triton-inference-
server/openvino_backend, openvino.cc and openvino_utils.cc). As there, OpenVINO converts where the
configuration has another element type than the model. The one difference: the native backend fixes
the batch to `max_batch_size` and pads smaller ones; here the batch dimension stays dynamic, and
nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from resnet_serve.runtimes.openvino import reason
from resnet_serve.triton.backends.contract import ContractError, configured_dims, mismatch

# Triton's default for every backend that can batch, unless --backend-config sets another.
DEFAULT_MAX_BATCH_SIZE = 4
# Triton's element types, and OpenVINO's names for them.
_TYPES = {
    "TYPE_BOOL": "boolean",
    "TYPE_UINT8": "u8",
    "TYPE_UINT16": "u16",
    "TYPE_UINT32": "u32",
    "TYPE_UINT64": "u64",
    "TYPE_INT8": "i8",
    "TYPE_INT16": "i16",
    "TYPE_INT32": "i32",
    "TYPE_INT64": "i64",
    "TYPE_FP16": "f16",
    "TYPE_FP32": "f32",
}
_TRITON_TYPES = {name: triton for triton, name in _TYPES.items()}


def failed(doing: str, error: Exception) -> ContractError:
    """OpenVINO's error in the native backend's words."""
    return ContractError(f"openvino error in {doing} : {reason(error)}")


def incomplete(config: Mapping[str, Any]) -> bool:
    """Whether inputs or outputs are missing, so that the model must be opened."""
    return not (config.get("input") and config.get("output"))


def complete(config: dict[str, Any], model: Any, openvino: Any) -> None:
    """Fill in what is missing, in place; only models with layouts (IR) are known to batch."""
    largest = int(config["max_batch_size"])
    has_batch = openvino.layout_helpers.has_batch
    if all(has_batch(port.get_node().layout) for port in (*model.inputs, *model.outputs)):
        largest = config["max_batch_size"] = largest or DEFAULT_MAX_BATCH_SIZE
        scheduled = "dynamic_batching" in config or "sequence_batching" in config
        if largest > 1 and not scheduled:
            config["dynamic_batching"] = {}
    for role, ports in (("input", model.inputs), ("output", model.outputs)):
        if not config.get(role):
            config[role] = [_described(port, batched=largest > 0) for port in ports]


def _described(port: Any, *, batched: bool) -> dict[str, Any]:
    shape = port.partial_shape
    # As in the native backend: with one dynamic dimension, all are dynamic.
    dims = [side.get_length() if shape.is_static else -1 for side in shape]
    return {
        "name": port.any_name,
        "data_type": _TRITON_TYPES.get(port.element_type.to_string(), "TYPE_INVALID"),
        "dims": dims[1:] if batched else dims,
    }


def prepared(config: Mapping[str, Any], model: Any, openvino: Any, *, reshape: bool) -> Any:
    """The model with the types, shapes and batch of the configuration.

    Raises `ContractError` where the model does not provide them.
    """
    with_inputs = _with_inputs(config, model, openvino, reshape=reshape)
    if config["max_batch_size"] > 0:
        size = 1 if config["max_batch_size"] == 1 else -1
        try:
            openvino.set_batch(with_inputs, openvino.Dimension(size))
        except RuntimeError as error:
            raise failed("setting max batch size", error) from error
    return _with_outputs(config, with_inputs, openvino)


def _with_inputs(config: Mapping[str, Any], model: Any, openvino: Any, *, reshape: bool) -> Any:
    name, wanted = config["name"], config["input"]
    if len(model.inputs) != len(wanted):
        raise ContractError(
            f"unable to load model '{name}', configuration expects {len(wanted)} inputs, "
            f"model provides {len(model.inputs)}"
        )
    shapes = {port.any_name: port.partial_shape for port in model.inputs}
    steps = openvino.preprocess.PrePostProcessor(model)
    for tensor in wanted:
        entry = tensor["name"]
        element = _element(config, tensor, "input", shapes, openvino)
        step = steps.input(entry).tensor().set_element_type(element)
        dims = configured_dims(tensor)
        if reshape:
            step.set_shape(_reshaped(config, entry, shapes[entry], dims, openvino))
        else:
            _check_dims(config, entry, shapes[entry], dims, exact=False)
        if config["max_batch_size"] > 0:
            step.set_layout(openvino.Layout("N..."))
    try:
        return steps.build()
    except RuntimeError as error:
        raise failed("apply model input preprocessing", error) from error


def _with_outputs(config: Mapping[str, Any], model: Any, openvino: Any) -> Any:
    shapes = {port.any_name: port.partial_shape for port in model.outputs}
    steps = openvino.preprocess.PrePostProcessor(model)
    for tensor in config["output"]:
        element = _element(config, tensor, "output", shapes, openvino)
        steps.output(tensor["name"]).tensor().set_element_type(element)
        _check_dims(
            config, tensor["name"], shapes[tensor["name"]], configured_dims(tensor), exact=True
        )
    return steps.build()


def _element(
    config: Mapping[str, Any],
    tensor: Mapping[str, Any],
    role: str,
    provided: Iterable[str],
    openvino: Any,
) -> Any:
    """OpenVINO's type for an input or output that the model has."""
    name, data_type = tensor["name"], tensor["data_type"]
    if name not in provided:
        raise ContractError(
            f"unexpected inference {role} '{name}', allowed {role}s are: "
            f"{', '.join(sorted(provided))}"
        )
    if data_type not in _TYPES:
        raise ContractError(
            f"unsupported datatype {data_type} for {role} '{name}' for model '{config['name']}'"
        )
    return getattr(openvino.Type, _TYPES[data_type])


def _reshaped(
    config: Mapping[str, Any], name: str, shape: Any, dims: Sequence[int], openvino: Any
) -> Any:
    """The shape for RESHAPE_IO_LAYERS: the batch of the model, then the configured dimensions."""
    kept = list(shape)[: 1 if config["max_batch_size"] > 0 else 0]
    if len(kept) + len(dims) != len(shape):
        raise _mismatch(config, name, shape, dims)
    if any(size == 0 or size < -1 for size in dims):
        raise ContractError(
            "openvino backend does not support dimensions values other than `-1` or positive "
            "integers"
        )
    return openvino.PartialShape([*kept, *map(openvino.Dimension, dims)])


def _check_dims(
    config: Mapping[str, Any], name: str, shape: Any, dims: Sequence[int], *, exact: bool
) -> None:
    """With a batch, dimensions of an input may be dynamic; all others must match."""
    largest = config["max_batch_size"]
    if largest > 0 and not len(shape):
        raise ContractError(
            f"model '{config['name']}', tensor '{name}': for the model to support batching the "
            "shape should have at least 1 dimension"
        )
    full = [largest, *dims] if largest > 0 else list(dims)
    free = largest > 0 and not exact
    agree = len(shape) == len(full) and all(
        (free and (index == 0 or size == -1)) or _matches(side, size)
        for index, (side, size) in enumerate(zip(shape, full, strict=True))
    )
    if not agree:
        raise _mismatch(config, name, shape, dims)


def _matches(side: Any, size: int) -> bool:
    if side.is_static:
        return bool(side.get_length() == size)
    if side.get_max_length() == -1:
        return True
    return bool(side.get_min_length() < size < side.get_max_length())


def _mismatch(
    config: Mapping[str, Any], name: str, shape: Any, dims: Sequence[int]
) -> ContractError:
    batched = config["max_batch_size"] > 0
    full = [config["max_batch_size"], *dims] if batched else dims
    provided = [side.get_length() if side.is_static else -1 for side in shape]
    return mismatch(config["name"], name, provided, full, batched=batched)
