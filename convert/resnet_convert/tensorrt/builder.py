"""Builder: a host that builds the plan of a typed ONNX, and inspects it.

    BuildHost       typed ONNX ─► version guard ─► engine ─► loaded ─► inspection: on its GPU
    TargetsHost     typed ONNX ─► engine ─► inspection: for GPUs that it need not have

`resnet-convert` and `resnet-convert build-plan` both use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.stage_log import StageLog, StageName
from resnet_convert.tensorrt import engine as engine_builder
from resnet_convert.tensorrt import inspection as inspector
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.engine import Engine
from resnet_convert.tensorrt.inspection import Inspection
from resnet_serve import cuda, durable
from resnet_serve.errors import ConversionError, HostError
from resnet_serve.parity.latency import Latency
from resnet_serve.passport import EngineFacts, EngineState
from resnet_serve.runtimes import tensorrt as tensorrt_runtime
from resnet_serve.runtimes.tensorrt import TensorRtModel
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, Flavour
from resnet_serve.triton import releases

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Built:
    """A built engine and its inspection."""

    engine: Engine
    inspection: Inspection


@dataclass(frozen=True)
class EngineRecord:
    """An engine that was built, or the options of one that is still to be built.

    `triton` is the Triton release that will serve it, None where it is not known. `targets` are the
    compute capabilities that it is for, none where it is for the GPU of the host that builds it.
    `latencies` are the engine's own times by batch size.
    """

    state: EngineState
    options: BuildOptions
    triton: str | None
    built: Built | None = None
    targets: tuple[str, ...] = ()
    latencies: Mapping[int, Latency] = field(default_factory=dict)

    def facts(self) -> EngineFacts:
        """The record as the passport holds it."""
        built = self.built
        found: dict[str, object] = {
            "state": self.state,
            "triton": self.triton,
            "targets": self.targets or None,
            **self.options.to_json(),
        }
        if built is not None:
            found |= {
                "tensorrt": built.engine.version,
                "gpu": built.engine.gpu and built.engine.gpu.to_json(),
                "plan_sha256": durable.sha256(built.engine.plan),
                "plan_bytes": len(built.engine.plan),
                "build_s": round(built.engine.seconds, 1),
                "timing_cache_sha256": built.engine.timing_cache_sha256,
                "timing_cache_reused": built.engine.timing_cache_reused,
                "inspection": built.inspection.to_json(),
                "latency": {str(size): times.to_json() for size, times in self.latencies.items()},
            }
        return EngineFacts.from_json(found)


@dataclass(frozen=True)
class BuildHost:
    """A host that can build plans: its GPU, opened, and the TensorRT it has."""

    device: cuda.Device
    tensorrt: str

    def close(self) -> None:
        """Release the GPU."""
        self.device.close()

    @classmethod
    def open(cls) -> BuildHost:
        """Open this host's GPU.

        Raises `HostError` naming what is missing: TensorRT, the driver, or the GPU.
        """
        tensorrt = TENSORRT.version()
        return cls(cuda.open_device(), tensorrt)

    def guard(self, options: BuildOptions, precision: str, triton: str | None) -> str | None:
        """Check, before the long build, that the plan could run and be served.

        Returns a sentence to show as a warning, if any. Raises `HostError` for a precision that
        the GPU has no kernels for, and what `releases.check_build` raises for a Triton release
        that could not load the plan.
        """
        engine_builder.check_gpu(self.device.describe(), precision)
        if triton is None:
            return None
        return releases.check_build(
            releases.find(triton), self.tensorrt, version_compatible=options.version_compatible
        )

    @contextmanager
    def build(
        self,
        model: ir.Model,
        data: bytes,
        options: BuildOptions,
        log: StageLog,
        *,
        timing_cache: Path | None = None,
    ) -> Iterator[tuple[Built, TensorRtModel]]:
        """Build `data` (the serialized `model`) and inspect the plan, loaded within the context.

        `timing_cache` is the directory of the timing caches, by default the user's. Raises
        `ConversionError` for a graph that TensorRT refuses and for an engine that is not as
        requested, and `HostError` where the GPU's memory runs out.
        """
        with log.stage(StageName.ENGINE) as say:
            engine = engine_builder.build(
                data,
                options,
                self.device.describe(),
                cache=timing_cache,
                progress=log.progress.advance,
            )
            log.warnings.extend(engine.notes)
            say(_summary(engine))
        loaded = tensorrt_runtime.load(
            engine.plan, device=self.device, version_compatible=options.version_compatible
        )
        with loaded:
            with log.stage(StageName.INSPECT) as say:
                _check_hardware(loaded, options)
                inspection = inspector.inspect(loaded.inspect(), model)
                say(inspection.summary())
            log.warnings.extend(inspection.warnings())
            yield Built(engine, inspection), loaded


@dataclass(frozen=True)
class TargetsHost:
    """A host that builds plans for compute capabilities, whatever GPU it has, if any."""

    flavour: Flavour
    targets: tuple[str, ...]

    @classmethod
    def open(cls, flavour: Flavour, targets: tuple[str, ...]) -> TargetsHost:
        """Load the library; raises `HostError` where it is not installed or cannot be loaded."""
        flavour.library()
        return cls(flavour, targets)

    def build(self, model: ir.Model, data: bytes, options: BuildOptions, log: StageLog) -> Built:
        """Build `data` (the serialized `model`), and inspect the list of layers of the build.

        Raises `ConversionError` for a graph that the builder refuses and for a list of layers
        that cannot be read.
        """
        with log.stage(StageName.ENGINE) as say:
            engine = engine_builder.build(
                data, options, self.targets, flavour=self.flavour, progress=log.progress.advance
            )
            log.warnings.extend(engine.notes)
            say(f"{_summary(engine)}; never run here")
        with log.stage(StageName.INSPECT) as say:
            inspection = inspector.inspect(engine.layers, model)
            say(inspection.summary())
        log.warnings.extend(inspection.warnings())
        return Built(engine, inspection)


def _summary(engine: Engine) -> str:
    return (
        f"{len(engine.plan) / 1e6:.1f} MB by {engine.flavour.title} {engine.version} "
        f"for {engine.built_for}"
    )


def _check_hardware(loaded: TensorRtModel, options: BuildOptions) -> None:
    """Read the flag back from the engine: TensorRT has ignored it (pytorch/TensorRT#3941)."""
    found = loaded.describe()["hardware_compatibility"]
    if found != options.hardware:
        raise ConversionError(
            f"the engine's hardware compatibility is {found or 'none'}, requested was "
            f"{options.hardware or 'none'}",
            where="tensorrt: inspect",
            remedy="Build it without --hardware-compat, on the GPU that will serve it.",
        )


@contextmanager
def open_build_host() -> Iterator[tuple[BuildHost | None, HostError | None]]:
    """This host's GPU and TensorRT, closed at the end; or None, and the error that says why."""
    try:
        build_host = BuildHost.open()
    except HostError as missing:
        yield None, missing
        return
    with closing(build_host):
        yield build_host, None
