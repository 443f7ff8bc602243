"""Run a model in this process: one file per runtime, the same verbs in each.

    model = onnxruntime.load(path, threads=2)
    logits = model.run(batch)
    model.describe(); model.close()

`TARGETS` is the table of the runtimes that a model can be converted for. A new runtime is one file
with the verbs of `CpuRuntime` (or, on a GPU, a `load`), and one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from resnet_serve import precisions
from resnet_serve.errors import UsageError
from resnet_serve.runtimes.compiled import Compiled, TimedOperator

LOGITS = "logits"


class RunnableModel(Protocol):
    """A loaded model. It accepts batches of its one input, and gives FP32 outputs."""

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The logits [N,classes] of one batch, or the first output of a model without logits."""
        ...

    def run_all(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Every output of one batch by name; a runtime whose models give logits alone inherits
        this.
        """
        return {LOGITS: self.run(batch)}

    def describe(self) -> dict[str, object]:
        """Facts about the loaded model: runtime, version, threads, operators it compiled."""
        ...

    def close(self) -> None:
        """Release the memory and the threads of the model."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@runtime_checkable
class TimesItself(Protocol):
    """A model on a GPU, which only events of its stream can time."""

    def timed(self, batch: NDArray[Any]) -> float:
        """Run once; milliseconds on the GPU, copies in and out included."""


class CpuRuntime(Protocol):
    """The verbs in the file of a runtime that runs on a CPU."""

    def load(self, model: Path | bytes, *, threads: int, precision: str = "fp32") -> RunnableModel:
        """Open a file or serialized model. `precision` is the one that it was converted to; a
        runtime that compiles an FP32 graph to BF16 needs it.
        """
        ...

    def compiled(
        self, model: Path | bytes, precision: str = "fp32", *, threads: int = 1
    ) -> Compiled:
        """Run it once at batch 1, and return what was executed."""
        ...

    def timed(
        self, model: Path | bytes, precision: str = "fp32", *, threads: int, runs: int
    ) -> tuple[TimedOperator, ...]:
        """Time what a run at batch 1 executes, operator by operator, in so many runs."""
        ...

    def triton_parameters(
        self, *, instances: int, threads: int, max_batch_size: int, precision: str
    ) -> dict[str, str]:
        """The parameters of its Triton backend in config.pbtxt, for `instances` × `threads`."""
        ...


@dataclass(frozen=True)
class Target:
    """One runtime that a model can be converted for.

    `title` is its name in texts. `module` is its file in this folder, `package` the Python package
    that it imports, `distributions` the names of that package in pip, and `extra` the extra of
    resnet-serve that installs it. `backend` is its backend in Triton, `platform` the platform from
    which Triton derives a native one. `default_precision` is taken where none is named; `dialect`
    is the INT8 dialect
    in which its kernels are fast: "u8s8" (u8 activations, s8 weights) or "s8s8" (symmetric on both
    sides). `purpose` says what an optional runtime is for. `notes` holds, by precision, what a user
    of it must know.
    """

    name: str
    title: str
    module: str
    package: str
    distributions: tuple[str, ...]
    extra: str
    backend: str
    model_file: str
    precisions: tuple[str, ...]
    dialect: str
    gpu: bool = False
    platform: str = ""
    default_precision: str = "fp32"
    purpose: str = ""
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def installed(self) -> bool:
        """Whether its Python package can be found here; it is not imported."""
        return find_spec(self.package) is not None

    def note(self, precision: str) -> str | None:
        """What a user of this runtime must know about a precision, if anything."""
        return self.notes.get(precision)

    @property
    def cpu_runtime(self) -> CpuRuntime:
        """Its module, imported now; raises `UsageError` for a runtime of GPUs."""
        if self.gpu:
            raise UsageError(
                f"{self.title} does not run on a CPU",
                remedy="Use --target onnxruntime or openvino.",
            )
        return cast("CpuRuntime", import_module(self.module))


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        row.name: row
        for row in (
            Target(
                "onnxruntime",
                title="ONNX Runtime",
                module="resnet_serve.runtimes.onnxruntime",
                package="onnxruntime",
                distributions=("onnxruntime", "onnxruntime-gpu"),
                extra="server",
                backend="onnxruntime",
                model_file="model.onnx",
                precisions=("fp32", "fp16", "int8"),
                dialect="u8s8",
                notes={
                    "fp16": "ONNX Runtime computes FP16 graphs in FP32 on this CPU: "
                    "smaller, not faster"
                },
            ),
            Target(
                "openvino",
                title="OpenVINO",
                module="resnet_serve.runtimes.openvino",
                package="openvino",
                distributions=("openvino",),
                extra="openvino",
                backend="openvino",
                model_file="model.onnx",
                precisions=("fp32", "fp16", "bf16", "int8"),
                dialect="u8s8",
                purpose="serving with OpenVINO",
            ),
            Target(
                "tensorrt",
                title="TensorRT",
                module="resnet_serve.runtimes.tensorrt",
                package="tensorrt",
                distributions=("tensorrt-cu13", "tensorrt-cu12"),
                extra="tensorrt",
                backend="tensorrt",
                model_file="model.plan",
                precisions=tuple(precisions.PRECISIONS),
                dialect="s8s8",
                gpu=True,
                platform="tensorrt_plan",
                purpose="engines on NVIDIA GPUs",
            ),
            Target(
                "tensorrt-rtx",
                title="TensorRT-RTX",
                module="resnet_serve.runtimes.tensorrt",
                package="tensorrt_rtx_bindings",
                distributions=(
                    "tensorrt-rtx-cu13-bindings",
                    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
                ),
                extra="tensorrt-rtx",
                backend="tensorrt_rtx",
                model_file="model.rtx",
                precisions=tuple(precisions.PRECISIONS),
                dialect="s8s8",
                gpu=True,
                default_precision="fp16",
                purpose="engines for RTX GPUs, built without one",
                notes={
                    "int8": "TensorRT-RTX 1.7.1 fuses no addition of an INT8 ResNet with its "
                    "convolution and writes FP32 between them: by its own list of layers ResNet-50 "
                    "has 107 kernels that move 115 MB of activations per image, in FP16 58 and "
                    "58 MB; --precision fp16 is probably faster"
                },
            ),
        )
    }
)


def open_on_cpu(name: str, precision: str, model: bytes, threads: int) -> RunnableModel:
    """Load a serialized model in the CPU runtime `name`, with `threads` threads.

    Raises `InputFileError` for a model that it cannot load, `HostError` where the runtime is not
    installed or this CPU lacks the precision, and `UsageError` for a runtime of GPUs.
    """
    return TARGETS[name].cpu_runtime.load(model, threads=threads, precision=precision)


def compiled(name: str, precision: str, model: bytes) -> Compiled:
    """What the CPU runtime `name` makes of a serialized model; errors as for `open_on_cpu`."""
    return TARGETS[name].cpu_runtime.compiled(model, precision)


def timed(
    name: str, precision: str, model: bytes, *, threads: int, runs: int
) -> tuple[TimedOperator, ...]:
    """The times of a serialized model's operators in the CPU runtime `name`, as it says itself."""
    return TARGETS[name].cpu_runtime.timed(model, precision, threads=threads, runs=runs)


def target(name: str, precision: str) -> Target:
    """The row for `--target`; "auto" is the first that has the precision on this CPU.

    Raises `UsageError` for unknown names, and for a target that lacks the precision.
    """
    wanted = precisions.find(precision).name
    if name == "auto":
        on_cpu = [row for row in TARGETS.values() if not row.gpu and wanted in row.precisions]
        if on_cpu:
            return on_cpu[0]
        raise UsageError(
            f"no target runs {wanted} on a CPU", remedy="Use --target tensorrt for a GPU host."
        )
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}", remedy=f"Use auto, {', '.join(TARGETS)}.")
    if wanted not in TARGETS[name].precisions:
        raise UsageError(
            f"the target {name} has no {wanted}",
            remedy=f"Use {', '.join(TARGETS[name].precisions)}.",
        )
    return TARGETS[name]
