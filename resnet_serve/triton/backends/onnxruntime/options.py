"""Options of the `onnxruntime` backend in a configuration: those of the session, and the file.

Names, defaults and refusals are the native backend's (r24.10, `ModelState::ModelState` and
`ModelState::LoadModel` of onnxruntime.cc). Features that only the native backend has are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve.triton.backends.contract import ContractError

DEFAULT_MODEL_FILE = "model.onnx"
_INT32 = range(-(2**31), 2**31)
_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_SHRINKAGE = "memory.enable_memory_arena_shrinkage"


@dataclass(frozen=True)
class Options:
    """Options of a session; thread counts of 0, and None elsewhere, are ONNX Runtime's default."""

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    parallel: bool = False
    graph_level: int | None = None
    memory_arena: bool | None = None
    memory_pattern: bool | None = None
    arena_shrinkage: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Options:
        """Read `parameters` and `optimization`; unknown parameters are ignored.

        Raises `ContractError` for a value out of range.
        """
        values = {
            key: value["string_value"] for key, value in (config.get("parameters") or {}).items()
        }
        mode = _integer(values, "execution_mode")
        if mode not in (0, 1):
            raise ContractError(
                "Invalid configuration value provided. Expected values for  execution_mode are "
                f"0 or 1 but got {mode} ."
            )
        graph = (config.get("optimization") or {}).get("graph")
        return cls(
            intra_op_threads=max(0, _integer(values, "intra_op_thread_count")),
            inter_op_threads=max(0, _integer(values, "inter_op_thread_count")),
            parallel=mode == 1,
            graph_level=None if graph is None else int(graph.get("level", 0)),
            memory_arena=_boolean(values, "enable_mem_arena"),
            memory_pattern=_boolean(values, "enable_mem_pattern"),
            arena_shrinkage=values.get(_SHRINKAGE),
        )

    def session_options(self, onnxruntime: Any) -> Any:
        """The `onnxruntime.SessionOptions`."""
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = {
            -1: levels.ORT_ENABLE_BASIC,
            1: levels.ORT_ENABLE_EXTENDED,
            2: levels.ORT_DISABLE_ALL,
        }.get(self.graph_level or 0, levels.ORT_ENABLE_ALL)
        options.intra_op_num_threads = self.intra_op_threads
        options.inter_op_num_threads = self.inter_op_threads
        if self.parallel:
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        if self.memory_arena is not None:
            options.enable_cpu_mem_arena = self.memory_arena
        if self.memory_pattern is not None:
            options.enable_mem_pattern = self.memory_pattern
        # Otherwise its threads spin between requests, and take the cores from what waits for them.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def run_options(self, onnxruntime: Any) -> Any:
        """The `onnxruntime.RunOptions`, or None where the defaults will do."""
        if self.arena_shrinkage is None:
            return None
        options = onnxruntime.RunOptions()
        options.add_run_config_entry(_SHRINKAGE, self.arena_shrinkage)
        return options


def _integer(values: Mapping[str, str], key: str) -> int:
    text = values.get(key, "0")
    # std::stoi in the native backend reads the leading digits and ignores the rest.
    found = re.match(r"\s*[+-]?[0-9]+", text)
    if found is None or int(found[0]) not in _INT32:
        raise ContractError(f"failed to convert '{text}' to integral number")
    return int(found[0])


def _boolean(values: Mapping[str, str], key: str) -> bool | None:
    text = values.get(key)
    if text is None:
        return None
    if text.lower() not in _BOOLEANS:
        raise ContractError(f"failed to convert '{text}' to boolean")
    return _BOOLEANS[text.lower()]


def model_file(config: Mapping[str, Any], version_directory: Path) -> Path:
    """The ONNX file: `default_model_filename`, or `model.onnx` in a directory of that name.

    Raises `ContractError` where there is none.
    """
    path = version_directory / (config.get("default_model_filename") or DEFAULT_MODEL_FILE)
    if not path.exists():
        raise ContractError(f"failed to stat file {path}")
    if not path.is_dir():
        return path
    inside = path / DEFAULT_MODEL_FILE
    if not inside.exists():
        raise ContractError(f"unable to find '{inside}' for model instance '{config['name']}'")
    return inside


def refuse_native_only(config: Mapping[str, Any], kind: str) -> None:
    """Raise `ContractError` for features that only the native backend has.

    `kind` is the instance's: "CPU", "GPU", … On a GPU the CUDA provider is here too.
    """
    where = f"model '{config['name']}'"
    needs = "needs the native onnxruntime backend"
    if kind not in ("CPU", "GPU"):
        raise ContractError(
            f"{where}: an instance group of kind KIND_{kind} {needs}; this one serves KIND_CPU and "
            "KIND_GPU"
        )
    accelerators = (config.get("optimization") or {}).get("execution_accelerators") or {}
    for accelerator in accelerators.get("gpu_execution_accelerator") or []:
        if kind == "GPU" and accelerator["name"] == "tensorrt":
            raise ContractError(f"{where}: the Execution Accelerator 'tensorrt' {needs}")
    # As in the native backend, an instance on the CPU ignores gpu_execution_accelerator.
    for accelerator in accelerators.get("cpu_execution_accelerator") or []:
        if accelerator["name"] == "openvino":
            raise ContractError(f"{where}: the Execution Accelerator 'openvino' {needs}")
        raise ContractError(f"unknown Execution Accelerator '{accelerator['name']}' is requested")
    for field in ("batch_input", "batch_output"):
        if config.get(field):
            raise ContractError(f"{where}: {field} {needs}")
    if (config.get("sequence_batching") or {}).get("state"):
        raise ContractError(f"{where}: implicit sequence state {needs}")
    if (config.get("model_operations") or {}).get("op_library_filename"):
        raise ContractError(f"{where}: an op_library_filename {needs}")
    for tensor in config.get("input") or []:
        if tensor.get("allow_ragged_batch"):
            raise ContractError(f"{where}, tensor '{tensor['name']}': allow_ragged_batch {needs}")
