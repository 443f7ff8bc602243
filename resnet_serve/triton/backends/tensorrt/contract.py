"""The contract of the `tensorrt` backend: what a configuration and its plan must agree on.

The checks and their words are those of the native backend (triton-inference-server/
tensorrt_backend, 2026-07, instance_state.cc, tensorrt_utils.cc and model_state.cc), so that a
configuration refused in NVIDIA's container is refused here with the same reason. Features that only
the native backend has are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_signature import EngineTensor
from resnet_serve.triton.backends.contract import ContractError, configured_dims, mismatch

DEFAULT_MODEL_FILE = "model.plan"
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


@dataclass(frozen=True)
class Options:
    """Options of one instance.

    `profiles` are the indices of the optimization profiles that it serves: only the first, unless
    its group lists others. `graphs` is whether to run CUDA graphs.
    """

    profiles: tuple[int, ...] = (0,)
    graphs: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], instance: str) -> Options:
        """From `instance_group.profile` of the instance's group, and `optimization.cuda`."""
        cuda = (config.get("optimization") or {}).get("cuda") or {}
        names = _group(config, instance).get("profile") or ["0"]
        return cls(tuple(map(_index, names)), bool(cuda.get("graphs")))


def _group(config: Mapping[str, Any], instance: str) -> Mapping[str, Any]:
    """The group of an instance, which Triton names `<group>_<number>`."""
    for group in config.get("instance_group") or []:
        if re.fullmatch(re.escape(group["name"]) + r"_\d+", instance):
            found: Mapping[str, Any] = group
            return found
    return {}


def _index(name: str) -> int:
    # std::stoi in the native backend reads the leading digits and ignores the rest.
    found = re.match(r"\s*[+-]?[0-9]+", name)
    if found is None:
        raise ContractError(f"unable to parse '{name}': stoi")
    return int(found[0])


def refuse(config: Mapping[str, Any], kind: str) -> None:
    """Raise `ContractError` for a configuration that cannot be served.

    `kind` is the instance's: "CPU", "GPU", …
    """
    name = config["name"]
    if kind != "GPU":
        raise ContractError(
            f"unable to load model '{name}', TensorRT backend supports only GPU device"
        )
    needs = "needs the native tensorrt backend"
    for field in ("batch_input", "batch_output", "sequence_batching"):
        if config.get(field):
            raise ContractError(f"model '{name}': {field} {needs}")
    if not config.get("input") or not config.get("output"):
        raise ContractError(
            f"model '{name}': completing a configuration without input or output {needs}"
        )
    for tensor in (*config["input"], *config["output"]):
        for field in ("allow_ragged_batch", "is_shape_tensor", "is_non_linear_format_io"):
            if tensor.get(field):
                raise ContractError(f"model '{name}', tensor '{tensor['name']}': {field} {needs}")


def plan_file(config: Mapping[str, Any], version_directory: Path) -> Path:
    """The plan: `default_model_filename`, or `model.plan`; raises `ContractError` without one."""
    path = version_directory / (config.get("default_model_filename") or DEFAULT_MODEL_FILE)
    if not path.is_file():
        raise ContractError(f"failed to stat file {path}")
    return path


def check(
    config: Mapping[str, Any],
    source: EngineTensor,
    results: Sequence[EngineTensor],
    profiles: Sequence[Profile],
    instance: str,
) -> None:
    """Raise `ContractError` where the plan does not provide what the configuration has.

    `source` and `results` are the plan's input and outputs, `profiles` the ones that are served.
    """
    name, batch = config["name"], config["max_batch_size"]
    if len(config["input"]) > 1:
        raise ContractError(
            f"unable to load model '{name}', configuration expects {len(config['input'])} inputs, "
            "model provides at most 1"
        )
    for role, tensors in (("input", (source,)), ("output", results)):
        for wanted in config[role]:
            _check_tensor(config, wanted, tensors, role, instance)
        configured = {each["name"] for each in config[role]}
        for tensor in tensors:
            if tensor.name not in configured:
                raise ContractError(
                    f"expected configuration for {role} '{tensor.name}' for {instance}"
                )
    largest = max(profile.maximum for profile in profiles)
    if batch > largest:
        raise ContractError(
            f"model '{name}': configuration specified max-batch {batch} "
            f"but TensorRT engine only supports max-batch {largest}"
        )


def _check_tensor(
    config: Mapping[str, Any],
    wanted: Mapping[str, Any],
    allowed: Sequence[EngineTensor],
    role: str,
    instance: str,
) -> None:
    tensor = wanted["name"]
    found = next((each for each in allowed if each.name == tensor), None)
    if found is None:
        names = ", ".join(sorted(each.name for each in allowed))
        raise ContractError(f"unexpected inference {role} '{tensor}', allowed {role}s are: {names}")
    data_type = _TYPES[found.dtype.name]
    if wanted["data_type"] != data_type:
        raise ContractError(
            f"unexpected datatype {data_type} for inference {role} '{tensor}', "
            f"expecting {wanted['data_type']} for {instance}"
        )
    dims = configured_dims(wanted)
    batched = config["max_batch_size"] > 0
    full = [-1, *dims] if batched else dims
    agree = len(full) == len(found.shape) and all(
        size == other or -1 in (size, other) for size, other in zip(found.shape, full, strict=True)
    )
    if not agree:
        raise mismatch(config["name"], tensor, found.shape, full, batched=batched)
