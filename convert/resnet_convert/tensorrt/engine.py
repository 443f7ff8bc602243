"""Engine: a plan from the typed ONNX, for the GPU of this host or for compute capabilities.

    typed ONNX ─► parser ─► network (strongly typed) ─► builder + profiles ─► plan

Precision is in the graph alone: TensorRT 11 and TensorRT-RTX have no precision flags any more, and
a strongly typed network means the same in 10.x. Written against the Python API of TensorRT 10.16
and 11.4, which `tests/contract` holds it to, and never run with them on a GPU; run with the real
parser and builder of TensorRT-RTX 1.7.1, which need no GPU (`test_engine_real.py`).
Reference: TensorRT Python API, Builder, IBuilderConfig, OnnxParser, IProgressMonitor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.tensorrt import targets
from resnet_convert.tensorrt.build_failures import refused_graph, without_a_plan
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.progress import BuildProgress, make_monitor
from resnet_convert.tensorrt.timing_cache import TimingCache
from resnet_serve.cuda import Gpu
from resnet_serve.errors import ConversionError, HostError
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, Flavour
from resnet_serve.runtimes.tensorrt_log import Log

if TYPE_CHECKING:
    import tensorrt as trt

MIB = 2**20
# The least compute capability with kernels for a precision (TensorRT support matrix).
LEAST_CAPABILITY = {"bf16": (8, 0), "fp8": (8, 9)}
LEAST_CAPABILITY_OF_ALL = (7, 5)


@dataclass(frozen=True)
class Engine:
    """A built plan, and what it was built by.

    `version` is that of the `flavour` that built it. The plan is for `gpu`, or for the compute
    capabilities `targets`; the other of the two is empty. `seconds` is the time of the build.
    `layers` is the list of its layers in the log of the build, "" where the loaded engine has it.
    `timing_cache_sha256` is None for a flavour without such a cache; `timing_cache_reused` is
    whether kernel times of an earlier build were used; `notes` are sentences to show as warnings.
    """

    plan: bytes
    flavour: Flavour
    version: str
    gpu: Gpu | None
    targets: tuple[str, ...]
    seconds: float
    layers: str
    timing_cache_sha256: str | None
    timing_cache_reused: bool
    notes: tuple[str, ...]

    @property
    def built_for(self) -> str:
        """Where the plan runs, as text: the name of the GPU, or the compute capabilities."""
        if self.gpu is not None:
            return self.gpu.name
        return f"compute capability {', '.join(self.targets)}"


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
    built_for: Gpu | tuple[str, ...],
    *,
    flavour: Flavour = TENSORRT,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Engine:
    """Build the plan of a typed ONNX file; Ctrl-C cancels it.

    `built_for` is this host's GPU, or for a flavour that builds without one the compute
    capabilities (`("8.6", "8.9")`). `cache` is the directory of the timing caches, by default the
    user's. `progress(done, total)` is called as the build proceeds. Raises `ConversionError`
    naming the layer for a graph that TensorRT refuses, `UsageError` for options that the flavour
    does not have, and `HostError` where it is not installed, cannot use the GPU, or runs out of
    memory.
    """
    started = time.perf_counter()
    options.check(flavour)
    gpu, capabilities = targets.checked(built_for, flavour)
    library, log = flavour.library(), Log(flavour)
    builder = _builder(flavour, log)
    flags = 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    _parse(flavour, network, model, log)
    config = builder.create_builder_config()
    _configure(flavour, config, options)
    targets.choose(flavour, config, capabilities)
    _add_profiles(flavour, builder, network, config, options.profiles)
    timing = TimingCache.of(gpu, flavour.version(), cache) if gpu and flavour.timing_cache else None
    reused, notes = timing.load_into(config) if timing else (False, ())
    shown = BuildProgress(progress)
    monitor = make_monitor(library, shown)
    config.progress_monitor = monitor
    plan = _run(builder, network, config, shown)
    if plan is None:
        raise without_a_plan(flavour, log.errors, options)
    return Engine(
        plan=bytes(plan),
        flavour=flavour,
        version=flavour.version(),
        gpu=gpu,
        targets=capabilities,
        seconds=time.perf_counter() - started,
        layers=log.layers,
        timing_cache_sha256=timing.save_from(config) if timing else None,
        timing_cache_reused=reused,
        notes=notes,
    )


def _builder(flavour: Flavour, log: Log) -> trt.Builder:
    library = flavour.library()
    try:
        return library.Builder(log.logger)
    except TypeError as error:  # the Python binding's error for a null pointer from TensorRT
        reason = f" ({log.last_error})" if log.last_error else ""
        raise HostError(
            f"{flavour.title} {flavour.version()} cannot use this host's GPU{reason}",
            remedy="Check the driver with nvidia-smi, and the versions with `resnet-serve doctor`.",
        ) from error


def _parse(flavour: Flavour, network: trt.INetworkDefinition, model: bytes, log: Log) -> None:
    library = flavour.library()
    parser = library.OnnxParser(network, log.logger)
    if not parser.parse(model):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise refused_graph(flavour, errors, log)


def _configure(flavour: Flavour, config: trt.IBuilderConfig, options: BuildOptions) -> None:
    library = flavour.library()
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    if flavour.optimization_levels:
        config.builder_optimization_level = options.level
    # Otherwise the engine inspector gives names only, and precisions cannot be checked.
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED
    # TF32 is on by default: FP32 convolutions would have 10 bits of mantissa.
    config.clear_flag(library.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
    levels = library.HardwareCompatibilityLevel
    if options.hardware == "ampere+":
        config.hardware_compatibility_level = levels.AMPERE_PLUS
    elif options.hardware == "same":
        config.hardware_compatibility_level = levels.SAME_COMPUTE_CAPABILITY


def _add_profiles(
    flavour: Flavour,
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
                f"{flavour.title} refuses the batch profile {row}", where=f"tensorrt: {image.name}"
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
