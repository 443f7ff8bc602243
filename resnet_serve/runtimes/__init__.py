"""Run a model in this process: one file per runtime, the same verbs in each.

    model = onnxruntime.load(path, threads=2)
    logits = model.run(batch)
    model.describe(); model.close()

`TARGETS` is the table of what a conversion can aim at: a new runtime is one file and one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import UsageError

LOGITS = "logits"


class RunnableModel(Protocol):
    """A loaded model. `run` takes one batch of its input and returns FP32 logits [N,classes]."""

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]: ...

    def run_all(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Every output by name; the runtimes of models that have no other head than the logits
        need not know of it.
        """
        return {LOGITS: self.run(batch)}

    def describe(self) -> dict[str, object]:
        """Facts about what was loaded: runtime, version, threads, what it compiled."""

    def close(self) -> None: ...

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


@dataclass(frozen=True)
class Target:
    """What a converted model is made for, and how Triton loads it.

    `dialect` is the INT8 dialect its kernels are fast in: "u8s8" (u8 activations, s8 weights) or
    "s8s8" (symmetric on both sides). `gpu` says whether it runs on a GPU.
    """

    name: str
    backend: str
    model_file: str
    precisions: tuple[str, ...]
    dialect: str
    gpu: bool = False


PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        row.name: row
        for row in (
            Target("onnxruntime", "onnxruntime", "model.onnx", ("fp32", "fp16", "int8"), "u8s8"),
            Target("openvino", "openvino", "model.onnx", ("fp32", "fp16", "bf16", "int8"), "u8s8"),
            Target("tensorrt", "tensorrt", "model.plan", PRECISIONS, "s8s8", gpu=True),
        )
    }
)


def open_on_cpu(name: str, precision: str, model: bytes, threads: int) -> RunnableModel:
    """A CPU target's runtime over a serialized model; imported when it is opened."""
    if name == "openvino":
        from resnet_serve.runtimes import openvino

        return openvino.load(model, threads=threads, bf16=precision == "bf16")
    from resnet_serve.runtimes import onnxruntime

    return onnxruntime.load(model, threads=threads)


def target(name: str, precision: str) -> Target:
    """The row for `--target` ("auto" takes the first that has the precision on this CPU)."""
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}", remedy=f"Use {', '.join(PRECISIONS)}.")
    if name == "auto":
        on_cpu = [row for row in TARGETS.values() if not row.gpu and precision in row.precisions]
        if on_cpu:
            return on_cpu[0]
        raise UsageError(
            f"no target runs {precision} on a CPU", remedy="Use --target tensorrt for a GPU host."
        )
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}", remedy=f"Use auto, {', '.join(TARGETS)}.")
    if precision not in TARGETS[name].precisions:
        raise UsageError(
            f"the target {name} has no {precision}",
            remedy=f"Use {', '.join(TARGETS[name].precisions)}.",
        )
    return TARGETS[name]
