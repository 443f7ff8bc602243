"""Engine: a TensorRT plan from the typed ONNX, for the GPU of this host.

    typed ONNX ─► parser ─► network (strongly typed) ─► builder + profiles + timing cache ─► plan

Precision is in the graph alone: TensorRT 11 has no precision flags any more, and a strongly typed
network means the same in 10.x and 11.x. Written against the Python API of 10.16 and 11.4, which
`tests/contract` holds it to; it has never run on a GPU.
Reference: TensorRT Python API, Builder, IBuilderConfig, OnnxParser, IProgressMonitor.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.progress import BuildProgress, make_monitor
from resnet_convert.tensorrt.timing_cache import TimingCache
from resnet_serve.cuda import Gpu
from resnet_serve.errors import ConversionError, HostError
from resnet_serve.optional import optional
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt import make_log, version

if TYPE_CHECKING:
    import tensorrt as trt

    from resnet_serve.runtimes.tensorrt import Log
else:
    trt = optional("tensorrt", extra="tensorrt")

MIB = 2**20
# The least compute capability with kernels for a precision (TensorRT support matrix).
LEAST_CAPABILITY = {"bf16": (8, 0), "fp8": (8, 9)}
LEAST_CAPABILITY_OF_ALL = (7, 5)
_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient memory|cudaErrorMemory", re.I)


@dataclass(frozen=True)
class Engine:
    """A built plan, and what it was built by.

    `seconds` is the time of the build. `timing_cache_reused` is whether kernel times of an earlier
    build were used; `notes` are sentences to show as warnings.
    """

    plan: bytes
    tensorrt: str
    gpu: Gpu
    seconds: float
    timing_cache_sha256: str
    timing_cache_reused: bool
    notes: tuple[str, ...]


def check_gpu(gpu: Gpu, precision: str) -> None:
    """Raise `HostError` for a precision that this GPU has no kernels for, before the long build."""
    least = LEAST_CAPABILITY.get(precision, LEAST_CAPABILITY_OF_ALL)
    found = tuple(int(part) for part in gpu.compute_capability.split("."))
    if found < least:
        raise HostError(
            f"{precision} engines need compute capability {least[0]}.{least[1]}, "
            f"the {gpu.name} has {gpu.compute_capability}",
            remedy="Use --precision fp16, or another GPU.",
        )


def build(
    model: bytes,
    options: BuildOptions,
    gpu: Gpu,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Engine:
    """Build the plan of a typed ONNX file on this host's GPU, in minutes; Ctrl-C cancels it.

    `cache` is the directory of the timing caches, by default the user's. `progress(done, total)`
    is called as the build proceeds. Raises `ConversionError` naming the layer for a graph that
    TensorRT refuses, and `HostError` where TensorRT cannot use the GPU, or its memory runs out.
    """
    started = time.perf_counter()
    log = make_log()
    builder = _builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(network, model, log)
    config = builder.create_builder_config()
    _configure(config, options)
    _add_profiles(builder, network, config, options.profiles)
    timing = TimingCache.of(gpu, cache)
    reused, notes = timing.load_into(config)
    shown = BuildProgress(progress)
    monitor = make_monitor(shown)
    config.progress_monitor = monitor
    plan = _run(builder, network, config, shown)
    if plan is None:
        raise _failure(log.errors)
    return Engine(
        plan=bytes(plan),
        tensorrt=version(),
        gpu=gpu,
        seconds=time.perf_counter() - started,
        timing_cache_sha256=timing.save_from(config),
        timing_cache_reused=reused,
        notes=notes,
    )


def _builder(log: Log) -> trt.Builder:
    try:
        return trt.Builder(log)
    except TypeError as error:  # the Python binding's error for a null pointer from TensorRT
        reason = f" ({log.last_error})" if log.last_error else ""
        raise HostError(
            f"TensorRT {version()} cannot use this host's GPU{reason}",
            remedy="Check the driver with nvidia-smi, and the versions with `resnet-serve doctor`.",
        ) from error


def _parse(network: trt.INetworkDefinition, model: bytes, log: Log) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(model):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        raise ConversionError("TensorRT cannot read the graph", where=log.last_error or "tensorrt")
    first = errors[0]
    layer = f"{first.node_name()} ({first.node_operator()})" if first.node_name() else "graph"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise ConversionError(
        f"TensorRT {version()} refuses it: {' '.join(first.desc().split())}{more}",
        where=f"tensorrt: {layer}",
        remedy="Use --target onnxruntime for this network, and please report the layer.",
    )


def _configure(config: trt.IBuilderConfig, options: BuildOptions) -> None:
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    config.builder_optimization_level = options.level
    # Otherwise the engine inspector gives names only, and precisions cannot be checked.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # TF32 is on by default: FP32 convolutions would have 10 bits of mantissa.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware == "ampere+":
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    elif options.hardware == "same":
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY


def _add_profiles(
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    config: trt.IBuilderConfig,
    profiles: tuple[Profile, ...],
) -> None:
    image = network.get_input(0)
    sides = tuple(image.shape)[1:]
    for row in profiles:
        profile = builder.create_optimization_profile()
        profile.set_shape(
            image.name, (row.minimum, *sides), (row.optimum, *sides), (row.maximum, *sides)
        )
        if config.add_optimization_profile(profile) < 0:
            raise ConversionError(
                f"TensorRT refuses the batch profile {row}", where=f"tensorrt: {image.name}"
            )


def _run(
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    config: trt.IBuilderConfig,
    shown: BuildProgress,
) -> trt.IHostMemory | None:
    """Build in a second thread, so that this one can receive Ctrl-C and cancel the build."""
    with ThreadPoolExecutor(1, thread_name_prefix="tensorrt-build") as pool:
        building = pool.submit(builder.build_serialized_network, network, config)
        try:
            return building.result()
        except BaseException:
            shown.cancel()
            raise


def _failure(errors: list[str]) -> HostError | ConversionError:
    """The error of a build that returned nothing, from what TensorRT logged."""
    for line in errors:
        if _OUT_OF_MEMORY.search(line):
            return HostError(
                f"GPU memory ran out while TensorRT built the engine ({line})",
                remedy="Limit --workspace, use a smaller --batch, or free the GPU.",
            )
    return ConversionError(
        errors[-1] if errors else "TensorRT returned no plan and logged no reason",
        where="tensorrt: build",
        remedy="Try --optimization-level 2, or a smaller --batch.",
    )
