"""The CUDA provider's options in config.pbtxt, as Triton's native `onnxruntime` backend reads them.

    parameters                                                     four of them, two as numbers
    optimization.execution_accelerators.gpu_execution_accelerator  "cuda": the others, as they are

Wherever a configuration has any `parameters`, and ours has, the native backend sets those four from
there, or to their defaults, whatever the accelerator says of them: there
`cudnn_conv_algo_search: "HEURISTIC"` would be EXHAUSTIVE again. They are therefore written as
parameters, although its README calls that deprecated. The accelerator's name is known since June
2024 (24.10 has it). Reference: onnxruntime_backend, src/onnxruntime.cc, `ModelState::LoadModel`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resnet_serve.triton.backends.contract import ContractError

ACCELERATOR = "cuda"
# The provider's words for the numbers 0, 1, 2 of a parameter; None where the text is passed on.
_OF_PARAMETERS: Mapping[str, tuple[str, ...] | None] = MappingProxyType(
    {
        "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
        "gpu_mem_limit": None,
        "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
        "do_copy_in_default_stream": None,
    }
)
_DEFAULTS = MappingProxyType(
    {
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "gpu_mem_limit": str(2**64 - 1),
        "arena_extend_strategy": "kNextPowerOfTwo",
        "do_copy_in_default_stream": "1",
    }
)
_DEVICE = "device_id"  # Triton sets it from the instance
_BOOLEANS = ("do_copy_in_default_stream", "use_ep_level_unified_stream")


def parameters(options: Mapping[str, str]) -> dict[str, str]:
    """The part of the provider's options that belongs into `parameters`."""
    found = {}
    for name, words in _OF_PARAMETERS.items():
        if name in options:
            found[name] = options[name] if words is None else str(words.index(options[name]))
    return found


def accelerator_parameters(options: Mapping[str, str]) -> dict[str, str]:
    """The part that belongs to the accelerator "cuda"."""
    return {
        name: value
        for name, value in options.items()
        if name not in _OF_PARAMETERS and name != _DEVICE
    }


def provider_options(config: Mapping[str, Any], device_id: int) -> dict[str, str]:
    """The provider's options that the native backend makes of a configuration (Triton's JSON).

    Raises `ContractError`, with its words, for what it refuses.
    """
    options: dict[str, str] = {}
    accelerators = (config.get("optimization") or {}).get("execution_accelerators") or {}
    for row in accelerators.get("gpu_execution_accelerator") or []:
        if row["name"] != ACCELERATOR:
            raise ContractError(f"unknown Execution Accelerator '{row['name']}' is requested")
        for name, value in (row.get("parameters") or {}).items():
            if name in _BOOLEANS and value.lower() not in ("true", "false", "0", "1", "on", "off"):
                raise ContractError(f"failed to convert '{value}' to boolean")
            if value:
                options[name] = value
    options[_DEVICE] = str(device_id)
    given = config.get("parameters") or {}
    if given:
        options |= {
            name: _word(name, given[name]["string_value"]) if name in given else default
            for name, default in _DEFAULTS.items()
        }
    return options


def _word(name: str, text: str) -> str:
    words = _OF_PARAMETERS[name]
    if words is None:
        return text
    # std::stoi reads the leading digits and ignores the rest.
    number = re.match(r"\s*[+-]?[0-9]+", text)
    if number is None:
        raise ContractError(f"failed to convert '{text}' to integral number")
    if int(number[0]) not in range(len(words)):
        raise ContractError(f"unsupported {name} value '{int(number[0])}' is requested")
    return words[int(number[0])]
