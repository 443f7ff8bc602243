"""ONNX Runtime on the CPU, in process."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional
from resnet_serve.runtimes import RunnableModel
from resnet_serve.runtimes.compiled import (
    PREPARING_RUNS,
    Compiled,
    TimedOperator,
    median_of_runs,
)

if TYPE_CHECKING:
    import onnx
    import onnxruntime  # type: ignore[import-untyped]
else:
    onnx = optional("onnx", extra="convert")
    onnxruntime = optional("onnxruntime", extra="convert")

_WARNINGS_OFF = 3  # ORT_LOGGING_LEVEL_ERROR
_INTEGER_CONVOLUTIONS = ("QLinearConv", "ConvInteger")
# What its optimizer appends to the name of a node that it makes integer, or of a blocked layout.
_APPENDED = re.compile(r"(_token_\d+|_nchwc)$")
# Microseconds, name and operator of a node in its profile.
_KERNEL = re.compile(
    r'"dur" ?: ?(\d+)[^\n]*?"name" ?: ?"([^"]*)_kernel_time"[^\n]*?"op_name" ?: ?"([^"]+)"'
)


def load(
    model: Path | bytes,
    *,
    threads: int,
    precision: str = "fp32",  # noqa: ARG001 - the same verb as in every runtime
    outputs: tuple[str, ...] | None = None,
    shared_arena: bool = False,
    weights: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> OnnxRuntimeModel:
    """Create a session over a file or serialized model with `threads` intra-op threads.

    `precision` changes nothing here: ONNX Runtime reads it from the graph. `outputs` names the
    outputs that `run_all` returns (all of them when None). Sessions with the `shared_arena` keep
    the memory of their runs for each other, which matters where many are open. `weights` are the
    values of initializers that the model only names, as external. Raises `InputFileError` for what
    ONNX Runtime cannot load.
    """
    options = session_options(threads=threads)
    if shared_arena:
        _share_arena(options)
    session = _session(model, options, weights)
    return OnnxRuntimeModel(model, session, threads=threads, outputs=outputs, weights=weights)


def session_options(*, threads: int) -> onnxruntime.SessionOptions:
    """The options of every session in this process, whatever runs its nodes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _WARNINGS_OFF
    # Otherwise its threads spin between runs, and slow what is measured in turn with it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _share_arena(options: onnxruntime.SessionOptions) -> None:
    """Take the memory of runs from the process's arena; the weights stay outside it."""
    _register_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")


@cache
def _register_arena() -> None:
    """The arena of this process, which grows by no more than is asked for."""
    kind, memory = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType
    where = onnxruntime.OrtMemoryInfo("Cpu", kind.ORT_ARENA_ALLOCATOR, 0, memory.DEFAULT)
    as_requested = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(where, as_requested)


class OnnxRuntimeModel(RunnableModel):
    """See `load`."""

    def __init__(
        self,
        model: Path | bytes,
        session: onnxruntime.InferenceSession,
        *,
        threads: int,
        outputs: tuple[str, ...] | None = None,
        weights: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._weights = weights  # the session reads them where they are
        self._threads = threads
        self._session = session
        self._input = self._session.get_inputs()[0].name
        self.output_names = outputs or tuple(o.name for o in self._session.get_outputs())

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The first of the model's outputs for one batch."""
        logits: NDArray[np.float32] = self._session.run(
            self.output_names[:1], {self._input: batch}
        )[0]
        return logits

    def run_all(
        self, batch: NDArray[Any], others: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Every output by name; `others` are the values of further inputs, by name."""
        values = self._session.run(self.output_names, {self._input: batch, **(others or {})})
        return dict(zip(self.output_names, values, strict=True))

    def describe(self) -> dict[str, object]:
        """Version, execution providers, threads, and counts of the operators that it executes."""
        return {
            "runtime": "onnxruntime",
            "version": onnxruntime.get_version_string(),
            "providers": self._session.get_providers(),
            "threads": self._threads,
            "operators": dict(
                Counter(
                    operator
                    for _, operator, _ in _kernels(
                        self._model, self._threads, weights=self._weights
                    )
                )
            ),
        }

    def close(self) -> None:
        """Release the session."""
        del self._session


def compiled(model: Path | bytes, precision: str = "fp32", *, threads: int = 1) -> Compiled:
    """The kernels that one run at batch 1 executes, after ONNX Runtime's optimizer.

    They are read from its profile. Only integer kernels keep the name of their convolution, so
    `convolutions` is None unless `precision` is "int8"; the other convolutions are then FP32.
    """
    kernels = _kernels(model, threads)
    operators = Counter(operator for _, operator, _ in kernels)
    if precision != "int8":
        return Compiled(operators)
    integer = {
        _APPENDED.sub("", name)
        for name, operator, _ in kernels
        if operator in _INTEGER_CONVOLUTIONS
    }
    names = _convolutions(model)
    return Compiled(operators, {name: "int8" if name in integer else "fp32" for name in names})


def timed(
    model: Path | bytes,
    precision: str = "fp32",  # noqa: ARG001 - the same verb as in every runtime
    *,
    threads: int,
    runs: int,
) -> tuple[TimedOperator, ...]:
    """Every operator that a run at batch 1 executes, in order, timed by its profile in `runs` runs.

    A floating convolution has the name of its output, or of the activation that is fused into it.
    """
    return tuple(
        TimedOperator(
            operator,
            "int8" if operator.startswith("Q") or operator in _INTEGER_CONVOLUTIONS else "fp32",
            (_APPENDED.sub("", name),),
            median_of_runs(times_ms),
        )
        for name, operator, times_ms in _kernels(model, threads, PREPARING_RUNS + runs)
    )


def triton_parameters(
    *,
    instances: int,  # noqa: ARG001 - the same verb as in every runtime
    threads: int,
    max_batch_size: int,  # noqa: ARG001
    precision: str,  # noqa: ARG001
) -> dict[str, str]:
    """Parameters of Triton's `onnxruntime` backend: each instance has `threads` of its own.

    Reference: onnxruntime_backend, README.md, "Parameter mapping".
    """
    return {"intra_op_thread_count": str(threads), "inter_op_thread_count": "1"}


def _kernels(
    model: Path | bytes,
    threads: int,
    runs: int = 1,
    weights: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> tuple[tuple[str, str, list[float]], ...]:
    """Name and operator of each node that is timed, in order, with its milliseconds in each run.

    The runs are of zeros. The profile is not read as JSON: names in it are not escaped.
    """
    options = session_options(threads=threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="resnet-serve-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = _session(model, options, weights)
        entry = session.get_inputs()[0]
        shape = [side if isinstance(side, int) else 1 for side in entry.shape]
        dtype = np.uint8 if entry.type == "tensor(uint8)" else np.float32
        for _ in range(runs):
            session.run(None, {entry.name: np.zeros(shape, dtype=dtype)})
        text = Path(session.end_profiling()).read_text(encoding="utf-8")
    events = _KERNEL.findall(text)
    count = len(events) // runs
    return tuple(
        (name, operator, [int(each[0]) / 1e3 for each in events[place::count]])
        for place, (_, name, operator) in enumerate(events[:count])
    )


def _convolutions(model: Path | bytes) -> list[str]:
    """The names of the convolutions in the file."""
    proto = (
        onnx.load_model_from_string(model)
        if isinstance(model, bytes)
        else onnx.load_model(model, load_external_data=False)
    )
    return [node.name for node in proto.graph.node if node.op_type == "Conv"]


def _session(
    model: Path | bytes,
    options: onnxruntime.SessionOptions,
    weights: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> onnxruntime.InferenceSession:
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in weights.values()]
        options.add_external_initializers(list(weights), values)
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exception classes are private to the extension module
        raise unloadable(model, error) from error


def unloadable(model: Path | bytes, error: Exception) -> InputFileError:
    """The error for a model that a session refuses, with the first line of its reason."""
    where = "model" if isinstance(model, bytes) else model
    reason = str(error).splitlines()[0]
    return InputFileError(f"ONNX Runtime cannot load it ({reason})", where=where)
