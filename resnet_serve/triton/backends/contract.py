"""The contract between a configuration and its model: the refusals that all backends share.

Their words are those of the native backends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class ContractError(ValueError):
    """The configuration requests what the model, or the backend, does not provide."""


def count_parameter(config: Mapping[str, Any], key: str) -> int:
    """A parameter of a configuration that is a number from 0; 0 where it has none.

    Raises `ContractError` for what is no such number.
    """
    text = ((config.get("parameters") or {}).get(key) or {}).get("string_value", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ContractError(
            f"model '{config['name']}': expected the parameter '{key}' to be a "
            f"non-negative number, got {text}"
        )
    return int(text)


def configured_dims(tensor: Mapping[str, Any]) -> list[int]:
    """The dimensions of an input or output as its model sees them.

    Triton's JSON writes 64-bit integers as numbers or as strings.
    """
    return [int(value) for value in (tensor.get("reshape") or {}).get("shape", tensor["dims"])]


def mismatch(
    model: str, tensor: str, provided: Sequence[int], configured: Sequence[int], *, batched: bool
) -> ContractError:
    """The refusal of a tensor's shape; `configured` includes the batch if `batched`."""
    batch = (
        "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor "
        "shape, making complete "
        if batched
        else ""
    )
    return ContractError(
        f"model '{model}', tensor '{tensor}': the model expects {len(provided)} dimensions "
        f"(shape {shown(provided)}) but the model configuration specifies {len(configured)} "
        f"dimensions ({batch}shape {shown(configured)})"
    )


def shown(dims: Iterable[object]) -> str:
    """Dimensions as the native backends write them: [8,224,224,3]."""
    return "[" + ",".join(map(str, dims)) + "]"
