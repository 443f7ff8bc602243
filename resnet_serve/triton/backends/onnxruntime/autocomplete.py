"""Complete a configuration from its model, as the native `onnxruntime` backend does.

Where both inputs and outputs are given, nothing is filled in; otherwise `max_batch_size`,
`dynamic_batching` and the missing side are (r24.10, `ModelState::AutoCompleteConfig` of
onnxruntime.cc).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.onnxruntime.contract import ModelTensor, Signature

# Triton's default for every backend that can batch, unless --backend-config sets another.
DEFAULT_MAX_BATCH_SIZE = 4


def wanted(config: dict[str, Any]) -> bool:
    """Whether something is missing, so that the model must be opened."""
    return not ((config.get("input") or config.get("batch_input")) and config.get("output"))


def complete(config: dict[str, Any], signature: Signature) -> None:
    """Fill in `config` (Triton's JSON form of config.pbtxt) in place.

    Raises `ContractError` for a batch size that the model does not support.
    """
    tensors = (*signature.inputs, *signature.outputs)
    if all(tensor.shape and tensor.shape[0] == -1 for tensor in tensors):
        if config["max_batch_size"] == 0:
            config["max_batch_size"] = DEFAULT_MAX_BATCH_SIZE
        scheduled = "dynamic_batching" in config or "sequence_batching" in config
        if config["max_batch_size"] > 1 and not scheduled:
            config["dynamic_batching"] = {}
    elif config["max_batch_size"] != 0:
        raise ContractError(
            f"autofill failed for model '{config['name']}': model does not support batching "
            "while non-zero max_batch_size is specified"
        )
    if not config.get("input") and not config.get("batch_input"):
        config["input"] = _described(signature.inputs, config["max_batch_size"])
    if not config.get("output"):
        config["output"] = _described(signature.outputs, config["max_batch_size"])


def _described(tensors: Sequence[ModelTensor], max_batch_size: int) -> list[dict[str, Any]]:
    described = []
    for tensor in tensors:
        dims = list(tensor.shape[1:] if max_batch_size > 0 else tensor.shape)
        entry: dict[str, Any] = {
            "name": tensor.name,
            "data_type": tensor.data_type,
            "dims": dims or [1],
        }
        if not dims and max_batch_size > 0:
            entry["reshape"] = {"shape": []}
        described.append(entry)
    return described
