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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert.tensorrt.progress import BuildProgress, make_monitor
from resnet_serve import durable
from resnet_serve.cuda import Gpu
from resnet_serve.errors import ConversionError, HostError, UsageError
from resnet_serve.optional import optional
from resnet_serve.runtimes.profiles import Profile, covering
from resnet_serve.runtimes.tensorrt import make_log, version
from resnet_serve.user_cache import user_cache

if TYPE_CHECKING:
    import tensorrt as trt

    from resnet_serve.runtimes.tensorrt import Log
else:
    trt = optional("tensorrt", extra="tensorrt")

MIB = 2**20
LEVELS = range(6)
HARDWARE = ("ampere+", "same")  # any Ampere or newer; any GPU of the same compute capability
# Where the tensor cores begin to take a type (TensorRT support matrix).
LEAST_CAPABILITY = {"bf16": (8, 0), "fp8": (8, 9)}
_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient memory|cudaErrorMemory", re.I)


@dataclass(frozen=True)
class BuildOptions:
    """What decides a plan besides the graph and the GPU.

    `workspace_mib` None leaves TensorRT the whole device. `hardware` is None for this very GPU.
    """

    profiles: tuple[Profile, ...]
    workspace_mib: int | None = None
    level: int = 3
    hardware: str | None = None
    version_compatible: bool = False

    def __post_init__(self) -> None:
        covering(self.profiles)
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(f"a workspace of {self.workspace_mib} MiB is none")
        if self.level not in LEVELS:
            raise UsageError(
                f"the optimization level is {LEVELS[0]} to {LEVELS[-1]}, not {self.level}"
            )
        if self.hardware is not None and self.hardware not in HARDWARE:
            raise UsageError(
                f"unknown hardware compatibility {self.hardware!r}",
                remedy=f"Use {' or '.join(HARDWARE)}.",
            )

    def to_json(self) -> dict[str, object]:
        return {
            "profiles": [str(profile) for profile in self.profiles],
            "workspace_mib": self.workspace_mib,
            "level": self.level,
            "hardware_compatibility": self.hardware,
            "version_compatible": self.version_compatible,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BuildOptions:
        return cls(
            profiles=tuple(Profile.parse(text) for text in data["profiles"]),
            workspace_mib=data["workspace_mib"],
            level=data["level"],
            hardware=data["hardware_compatibility"],
            version_compatible=data["version_compatible"],
        )


@dataclass(frozen=True)
class Engine:
    """A built plan and what built it."""

    plan: bytes
    tensorrt: str
    gpu: Gpu
    seconds: float
    timing_cache_sha256: str
    timing_cache_reused: bool
    notes: tuple[str, ...]


def check_gpu(gpu: Gpu, precision: str) -> None:
    """Refuse, before minutes of work, a precision that this GPU has no kernels for."""
    least = LEAST_CAPABILITY.get(precision, (7, 5))
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
    """Build the plan of a typed ONNX on this host's GPU; minutes, cancelled by Ctrl-C.

    Raises `ConversionError` naming the layer for a graph that TensorRT cannot take, and `HostError`
    when the GPU's memory runs out. The timing cache is kept per TensorRT build and GPU in `cache`.
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
    reused, notes = timing.give(config)
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
        timing_cache_sha256=timing.take(config),
        timing_cache_reused=reused,
        notes=notes,
    )


def _builder(log: Log) -> trt.Builder:
    try:
        return trt.Builder(log)
    except TypeError as error:  # what the binding makes of the null that TensorRT returned
        said = f" ({log.last_error})" if log.last_error else ""
        raise HostError(
            f"TensorRT {version()} cannot use this host's GPU{said}",
            remedy="Check the driver with nvidia-smi; `resnet-serve doctor` shows what is here.",
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
        remedy="Take --target onnxruntime for this network, and please report the layer.",
    )


def _configure(config: trt.IBuilderConfig, options: BuildOptions) -> None:
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    config.builder_optimization_level = options.level
    # Without the details the inspector gives names only, and no precision could be proved.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # On by default: FP32 would silently carry 10 bits.
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
    """Build in a second thread: this one stays free to take Ctrl-C and pass it on."""
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
                remedy="Give --workspace a limit, a smaller --batch, or free the GPU.",
            )
    return ConversionError(
        errors[-1] if errors else "TensorRT returned no plan and logged no reason",
        where="tensorrt: build",
        remedy="Try --optimization-level 2, or a smaller --batch.",
    )


@dataclass(frozen=True)
class TimingCache:
    """What TensorRT measured of its kernels, kept for the next build of this TensorRT and GPU."""

    path: Path

    @classmethod
    def of(cls, gpu: Gpu, folder: Path | None) -> TimingCache:
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{gpu.name} sm{gpu.compute_capability}").strip("-")
        root = folder or user_cache() / "timing"
        return cls(root / f"tensorrt-{version()}-{name}.cache")

    def give(self, config: trt.IBuilderConfig) -> tuple[bool, tuple[str, ...]]:
        """Hand the kept cache to a build; whether it was taken, and what is to be said."""
        kept = self.path.read_bytes() if self.path.is_file() else b""
        if kept and config.set_timing_cache(config.create_timing_cache(kept), False):
            return True, ()
        if not config.set_timing_cache(config.create_timing_cache(b""), False):
            raise HostError("TensorRT takes no timing cache", where=self.path)
        refused = f"TensorRT refused the timing cache {self.path}; it is made anew"
        return False, (refused,) if kept else ()

    def take(self, config: trt.IBuilderConfig) -> str:
        """Keep the cache of a finished build; returns its SHA-256."""
        found = config.get_timing_cache()
        if found is None:
            raise HostError("TensorRT returned no timing cache", where=self.path)
        data = bytes(found.serialize())
        durable.write(self.path, data)
        return durable.sha256(data)
