"""A TensorRT plan on this host's GPU, in process; nothing in this file has ever run on a GPU.

    pinned input ─► GPU ─► execution context of this batch (or its CUDA graph) ─► pinned outputs

All work goes into one non-default stream. A CUDA graph holds the state of its execution context,
so every captured batch size has a context of its own; they share one activation memory, because
they never run at the same time. Written against the Python API of TensorRT 10.16, 11.4 and
TensorRT-RTX 1.7.1; where they differ, `tensorrt_flavours` has a row for each.
Reference: TensorRT developer guide, "Performing Inference", "CUDA Graphs".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.cuda import Device, open_device
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.runtimes import RunnableModel
from resnet_serve.runtimes import tensorrt_signature as signature
from resnet_serve.runtimes.profiles import serving
from resnet_serve.runtimes.tensorrt_contexts import Contexts
from resnet_serve.runtimes.tensorrt_execution import Buffers, EngineExecution, refused
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, Flavour, Library
from resnet_serve.runtimes.tensorrt_log import Log
from resnet_serve.runtimes.tensorrt_signature import EngineTensor, shown

if TYPE_CHECKING:
    import tensorrt as trt

MOST_GRAPHS = 16  # batch sizes after the first 16 run without a graph


def load(
    plan: Path | bytes,
    *,
    device: Device | None = None,
    graphs: bool = True,
    version_compatible: bool = False,
    use_profiles: Sequence[int] | None = None,
    flavour: Flavour = TENSORRT,
) -> TensorRtModel:
    """Load a plan on `device` (GPU 0 when None); the model does not close a device passed in.

    `graphs` replays a CUDA graph for each of the first 16 batch sizes. `version_compatible` lets
    the plan run the code that it contains for other versions of TensorRT: use it only for plans
    that you trust.
    `use_profiles` are the indices of the profiles to serve, all when None. Raises `InputFileError`
    for a plan that cannot be loaded here, and `HostError` without a GPU, TensorRT, or enough GPU
    memory.
    """
    return TensorRtModel(
        plan,
        device=device,
        graphs=graphs,
        version_compatible=version_compatible,
        use_profiles=use_profiles,
        flavour=flavour,
    )


class TensorRtModel(RunnableModel):
    """See `load`. `profiles` are those it serves; batches run one at a time."""

    def __init__(
        self,
        plan: Path | bytes,
        *,
        device: Device | None,
        graphs: bool,
        version_compatible: bool,
        use_profiles: Sequence[int] | None,
        flavour: Flavour,
    ) -> None:
        where = "plan" if isinstance(plan, bytes) else str(plan)
        data = plan if isinstance(plan, bytes) else _read(plan)
        self._lock = threading.Lock()
        self._flavour = flavour
        self._library = library = flavour.library()
        self._log = Log(flavour)
        self._graphs = graphs
        self._executions: dict[tuple[int, int | None], EngineExecution] = {}
        self._engine: trt.ICudaEngine | None = None
        with ExitStack() as stack:
            self._device = stack.enter_context(closing(open_device())) if device is None else device
            with self._device.current():
                self._runtime: trt.Runtime | None = _runtime(flavour, self._log, version_compatible)
                capability = self._device.describe().compute_capability
                refusal = flavour.refusal(library, self._runtime, data, capability)
                if refusal:
                    raise _unloadable(flavour, refusal, where, capability)
                self._engine = engine = _deserialized(
                    flavour, self._runtime, data, self._log, where
                )
                found = _tensors(library, engine, where)
                self.input, self.outputs = signature.image_and_outputs(*found, where)
                every = signature.profiles(engine, self.input, where)
                self._indices = signature.chosen(use_profiles, len(every))
                self.profiles = tuple(every[index] for index in self._indices)
                buffers = Buffers(
                    self._device,
                    self.input,
                    self.outputs,
                    largest=max(profile.maximum for profile in self.profiles),
                    scratch_bytes=int(engine.device_memory_size_v2),
                )
                self._buffers = stack.enter_context(closing(buffers))
                file = None if isinstance(plan, bytes) else plan
                self._contexts: Contexts = flavour.contexts(library, engine, file)
            self._closing = stack.pop_all()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The first output of one batch, which must have the engine's dtype and sides."""
        with self._lock:
            return next(iter(self._submit(batch).values())).copy()

    def run_all(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Every output of one batch, by name."""
        with self._lock:
            return {name: values.copy() for name, values in self._submit(batch).items()}

    def timed(self, batch: NDArray[Any]) -> float:
        """GPU milliseconds of copy in, execute and copy out of one batch, between CUDA events.

        The first run of a batch size is its slowest, and the second captures its graph: warm up.
        """
        with self._lock:
            self._submit(batch)
            with self._device.current():
                return self._device.elapsed_ms(self._buffers.start, self._buffers.end)

    def inspect(self) -> str:
        """The layers that TensorRT built, as the JSON of its engine inspector."""
        with self._lock, self._device.current():
            inspector: trt.EngineInspector = self._loaded.create_engine_inspector()
            return str(inspector.get_engine_information(self._library.LayerInformationFormat.JSON))

    def describe(self) -> dict[str, object]:
        """TensorRT's version, the GPU, the profiles, and the engine's layers and compatibility."""
        return {
            "runtime": self._flavour.name,
            "version": self._flavour.version(),
            "gpu": self._device.describe().to_json(),
            "profiles": [str(profile) for profile in self.profiles],
            "graphs": self._graphs,
            "layers": self._loaded.num_layers,
            "hardware_compatibility": _hardware(self._library, self._loaded),
            **self._contexts.describe(),
        }

    def close(self) -> None:
        """Release the engine and its memory; a second call does nothing."""
        with self._lock:
            if self._engine is None:
                return
            with self._device.current():
                for execution in self._executions.values():
                    execution.close()
                self._executions.clear()
                self._contexts.close()
                del self._contexts
                self._engine = self._runtime = None
            self._closing.close()

    @property
    def _loaded(self) -> trt.ICudaEngine:
        if self._engine is None:
            raise UsageError("the model is closed")
        return self._engine

    def _submit(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Run one batch; the outputs stay in pinned memory until the next."""
        _ = self._loaded  # refuses a closed model
        sides = self.input.shape[1:]
        if batch.dtype != self.input.dtype or batch.ndim == 0 or batch.shape[1:] != sides:
            raise UsageError(
                f"the engine expects {self.input.dtype} {shown(('N', *sides))}, "
                f"not {batch.dtype} {shown(batch.shape)}"
            )
        count = len(batch)
        profile = self._indices[serving(self.profiles, count)]
        device, buffers = self._device, self._buffers
        host_input = buffers.host_input[:count]
        np.copyto(host_input, batch)
        with device.current():
            execution = self._execution(profile, count)
            execution.prepare((count, *sides))
            device.record(buffers.start, buffers.stream)
            device.copy_in(buffers.input, host_input, buffers.stream)
            execution.start()
            outputs = buffers.copy_out(count)
            device.record(buffers.end, buffers.stream)
            device.synchronise(buffers.stream)
        return outputs

    def _execution(self, profile: int, count: int) -> EngineExecution:
        """The execution captured for this batch size, or the profile's own, for any size."""
        key: tuple[int, int | None] = (profile, count)
        captured = sum(size is not None for _, size in self._executions)
        if not self._graphs or (key not in self._executions and captured >= MOST_GRAPHS):
            key = (profile, None)
        if key not in self._executions:
            context: trt.IExecutionContext | None = self._contexts.create()
            if context is None:
                raise refused("did not create an execution context", self._log)
            self._executions[key] = EngineExecution(
                context,
                profile,
                self._device,
                self._buffers,
                self._log,
                capturable=None if key[1] is None else self._contexts.capturable,
            )
        return self._executions[key]


def _read(plan: Path) -> bytes:
    try:
        return plan.read_bytes()
    except OSError as error:
        raise InputFileError(f"the plan cannot be read ({error.strerror})", where=plan) from error


def _runtime(flavour: Flavour, log: Log, version_compatible: bool) -> trt.Runtime:
    library = flavour.library()
    try:
        runtime: trt.Runtime = library.Runtime(log.logger)
    except TypeError as error:  # the binding raises it where TensorRT returned null
        raise refused(f"{flavour.version()} cannot use this host's GPU", log) from error
    if version_compatible:
        runtime.engine_host_code_allowed = True
    return runtime


def _deserialized(
    flavour: Flavour, runtime: trt.Runtime, data: bytes, log: Log, where: str
) -> trt.ICudaEngine:
    engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(data)
    if engine is not None:
        return engine
    if "out of memory" in log.last_error.lower():
        raise refused(f"{flavour.version()} has not enough GPU memory for the plan", log)
    raise _unloadable(flavour, log.last_error, where)


def _unloadable(
    flavour: Flavour, reason: str, where: str, capability: str | None = None
) -> InputFileError:
    remedy = flavour.rebuild
    if capability is not None and flavour.targets and capability not in flavour.targets:
        remedy = "Convert the model with --target tensorrt for this GPU."
    return InputFileError(
        f"{flavour.title} {flavour.version()} cannot load this plan"
        + (f" ({reason})" if reason else ""),
        where=where,
        remedy=remedy,
    )


def _tensors(
    library: Library, engine: trt.ICudaEngine, where: str
) -> tuple[list[EngineTensor], list[EngineTensor]]:
    """The inputs and the outputs of the engine."""
    inputs: list[EngineTensor] = []
    outputs: list[EngineTensor] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        try:
            dtype = np.dtype(library.nptype(engine.get_tensor_dtype(name)))
        except TypeError as error:  # bfloat16, and floats of 8 and 4 bits
            raise InputFileError(f"NumPy has no type for {name!r}", where=where) from error
        tensor = EngineTensor(name, dtype, tuple(engine.get_tensor_shape(name)))
        is_input = engine.get_tensor_mode(name) == library.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(tensor)
    return inputs, outputs


def _hardware(library: Library, engine: trt.ICudaEngine) -> str | None:
    """Which other GPUs the engine runs on, as a value of `--hardware-compat`; None for none."""
    levels = library.HardwareCompatibilityLevel
    names = {levels.AMPERE_PLUS: "ampere+", levels.SAME_COMPUTE_CAPABILITY: "same"}
    return names.get(engine.hardware_compatibility_level)
