"""ONNX Runtime on the CPU, in process."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional
from resnet_serve.runtimes import RunnableModel

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
else:
    onnxruntime = optional("onnxruntime", extra="convert")

_WARNINGS_OFF = 3  # ORT_LOGGING_LEVEL_ERROR
INTEGER_CONVOLUTIONS = ("QLinearConv", "ConvInteger")


def load(
    model: Path | bytes,
    *,
    threads: int,
    outputs: tuple[str, ...] | None = None,
    arena: bool = True,
) -> OnnxRuntimeModel:
    """Create a session over a file or serialized model with `threads` intra-op threads.

    `outputs` names the outputs `run_all` returns (all of them when None). Without its `arena` a
    session keeps no memory between runs, for those who hold many.
    """
    return OnnxRuntimeModel(model, threads=threads, outputs=outputs, arena=arena)


class OnnxRuntimeModel(RunnableModel):
    """See `load`."""

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int,
        outputs: tuple[str, ...] | None,
        arena: bool,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = arena
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _WARNINGS_OFF
        # Its threads would go on spinning between runs, and slow whatever is measured beside it.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._model = model
        self._threads = threads
        self._session = _session(model, options)
        self._input = self._session.get_inputs()[0].name
        self.output_names = outputs or tuple(o.name for o in self._session.get_outputs())

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._session.run(
            self.output_names[:1], {self._input: batch}
        )[0]
        return logits

    def run_all(
        self, batch: NDArray[Any], others: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Every output by name, for the stages that look inside; `others` feeds further inputs."""
        values = self._session.run(self.output_names, {self._input: batch, **(others or {})})
        return dict(zip(self.output_names, values, strict=True))

    def describe(self) -> dict[str, object]:
        return {
            "runtime": "onnxruntime",
            "version": onnxruntime.get_version_string(),
            "providers": self._session.get_providers(),
            "threads": self._threads,
            "operators": dict(compiled_operators(self._model, threads=self._threads)),
        }

    def close(self) -> None:
        del self._session


@dataclass(frozen=True)
class Execution:
    """What one run executed, after ONNX Runtime's optimizer: each kernel's name and operator."""

    kernels: tuple[tuple[str, str], ...]

    @property
    def counts(self) -> Counter[str]:
        return Counter(operator for _, operator in self.kernels)

    @property
    def integer_convolutions(self) -> frozenset[str]:
        """Those that compute in INT8, by their names in the file, which it appends a number to."""
        return frozenset(
            re.sub(r"_token_\d+$", "", name)
            for name, operator in self.kernels
            if operator in INTEGER_CONVOLUTIONS
        )


def compiled_operators(model: Path | bytes, *, threads: int = 1) -> Counter[str]:
    """The operators that ONNX Runtime really runs, counted (see `Execution`)."""
    return execution(model, threads=threads).counts


def execution(model: Path | bytes, *, threads: int = 1) -> Execution:
    """Run it once and read the nodes that its profiler times.

    That is what the session says it executes, not what the file asks for.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _WARNINGS_OFF
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="resnet-serve-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = _session(model, options)
        entry = session.get_inputs()[0]
        shape = [side if isinstance(side, int) else 1 for side in entry.shape]
        dtype = np.uint8 if entry.type == "tensor(uint8)" else np.float32
        session.run(None, {entry.name: np.zeros(shape, dtype=dtype)})
        text = Path(session.end_profiling()).read_text(encoding="utf-8")
    kernels = re.findall(r'"name" ?:"([^"]*)_kernel_time"[^\n]*?"op_name" ?: ?"([^"]+)"', text)
    return Execution(tuple(kernels))


def _session(
    model: Path | bytes, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exception classes are private to the extension module
        where = "model" if isinstance(model, bytes) else model
        reason = str(error).splitlines()[0]
        raise InputFileError(f"ONNX Runtime cannot load it ({reason})", where=where) from error
