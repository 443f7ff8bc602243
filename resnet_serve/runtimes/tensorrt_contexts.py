"""Execution contexts of an engine, as each flavour of TensorRT makes them.

TensorRT's plan contains its kernels. TensorRT-RTX compiles them for the GPU when a context is made:
at once and not in the background (EAGER), so that a captured CUDA graph keeps them, and with a
cache of what was compiled in a file beside the model. It says in advance whether a plan can be
loaded here. Written against the Python API of TensorRT-RTX 1.7.1; never run on a GPU that has it.
Reference: TensorRT-RTX Python API, Runtime.get_engine_validity, IRuntimeConfig, IRuntimeCache.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from resnet_serve import durable
from resnet_serve.errors import ResnetServeError

if TYPE_CHECKING:
    import tensorrt as trt
    import tensorrt_rtx_bindings as rtx

CACHE_SUFFIX = ".runtime-cache"


class _Library(Protocol):
    ExecutionContextAllocationStrategy: type[trt.ExecutionContextAllocationStrategy]


class _RtxLibrary(Protocol):
    DynamicShapesKernelSpecializationStrategy: type[rtx.DynamicShapesKernelSpecializationStrategy]
    EngineInvalidityDiagnostics: type[rtx.EngineInvalidityDiagnostics]
    EngineValidity: type[rtx.EngineValidity]
    ExecutionContextAllocationStrategy: type[rtx.ExecutionContextAllocationStrategy]


class Contexts:
    """Makes the contexts of one engine, in memory of the caller; `plan` is its file, if any."""

    def __init__(self, library: Any, engine: trt.ICudaEngine, plan: Path | None) -> None:
        del plan
        self._strategy = cast("_Library", library).ExecutionContextAllocationStrategy
        self._engine = engine

    def create(self) -> trt.IExecutionContext | None:
        """A context; None where TensorRT makes none, after it has logged why."""
        return self._engine.create_execution_context(self._strategy.USER_MANAGED)

    def capturable(self, context: trt.IExecutionContext, stream: int) -> bool:
        """Whether a CUDA graph may be captured of the context in this stream, now."""
        del context, stream
        return True

    def describe(self) -> dict[str, object]:
        """What the description of a loaded model says in addition."""
        return {}

    def close(self) -> None:
        """Keep what the next load can use."""


class CompilingContexts(Contexts):
    """Contexts of TensorRT-RTX, whose kernels are compiled here."""

    def __init__(self, library: Any, engine: trt.ICudaEngine, plan: Path | None) -> None:
        super().__init__(library, engine, plan)
        self._file = None if plan is None else plan.with_name(plan.name + CACHE_SUFFIX)
        own = cast("_RtxLibrary", library)
        config: rtx.IRuntimeConfig = cast("rtx.ICudaEngine", engine).create_runtime_config()
        config.set_execution_context_allocation_strategy(
            own.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        config.dynamic_shapes_kernel_specialization_strategy = (
            own.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        self._cache: rtx.IRuntimeCache = config.create_runtime_cache()
        kept = self._read()
        # Refused, and left empty, where it is of another version, GPU or driver.
        self._reused = bool(kept) and self._cache.deserialize(kept)
        config.set_runtime_cache(self._cache)
        self._config = config

    def create(self) -> trt.IExecutionContext | None:
        """See `Contexts`; the kernels that are not in the cache are compiled now."""
        engine = cast("rtx.ICudaEngine", self._engine)
        context = engine.create_execution_context(self._config)
        return cast("trt.IExecutionContext | None", context)

    def capturable(self, context: trt.IExecutionContext, stream: int) -> bool:
        """See `Contexts`; TensorRT-RTX decides by the shapes of the context."""
        return bool(cast("rtx.IExecutionContext", context).is_stream_capturable(stream))

    def describe(self) -> dict[str, object]:
        """Whether compiled kernels of an earlier load are used."""
        return {"runtime_cache_reused": self._reused}

    def close(self) -> None:
        """Write the compiled kernels beside the model, where the folder is writable."""
        if self._file is not None:
            with suppress(ResnetServeError, OSError):
                durable.write(self._file, bytes(self._cache.serialize()))

    def _read(self) -> bytes:
        try:
            return b"" if self._file is None else self._file.read_bytes()
        except OSError:  # a first load has none
            return b""


def any_plan(library: Any, runtime: trt.Runtime, plan: bytes, capability: str) -> str:
    """TensorRT tells nothing of a plan before it is loaded."""
    del library, runtime, plan, capability
    return ""


def validity(library: Any, runtime: trt.Runtime, plan: bytes, capability: str) -> str:
    """Why TensorRT-RTX cannot load a plan on this GPU, of this compute capability; "" if it can."""
    own, asked = cast("_RtxLibrary", library), cast("rtx.Runtime", runtime)
    found, diagnostics = asked.get_engine_validity(plan[: asked.engine_header_size])
    if found != own.EngineValidity.INVALID:
        return ""
    bits = own.EngineInvalidityDiagnostics
    sentences = {
        bits.VERSION_MISMATCH: "it was built by another version of TensorRT-RTX",
        bits.UNSUPPORTED_CC: "the engine cannot run on this GPU, which has compute capability "
        f"{capability}",
        bits.OLD_CUDA_DRIVER: "the driver of this GPU is too old for it",
        bits.OLD_CUDA_RUNTIME: "the CUDA runtime is too old for it",
        bits.INSUFFICIENT_GPU_MEMORY: "this GPU has too little memory for it",
        bits.MALFORMED_ENGINE: "it is no engine, or damaged",
        bits.CUDA_ERROR: "CUDA failed",
    }
    said = [text for bit, text in sentences.items() if int(diagnostics) & int(bit)]
    return "; ".join(said) or "it is not valid here"
