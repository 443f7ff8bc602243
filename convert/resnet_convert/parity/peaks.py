"""Peaks: the fastest this CPU multiplies, measured, so that a speed can be judged.

    rate = 2 · MACs / time     of single convolutions that keep every multiplier busy,
                               u8 × s8 or floating

The best of a few large convolutions counts: what no network of small ones will exceed. On a CPU
with VNNI the integer peak comes close to the instruction's.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import initializer
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

RUNS = 15  # of the two that are the fastest after five
COMPARED, FASTEST = 5, 2
QUICK_RUNS = 3  # of floating convolutions, which take longer
WORTH_IT = 5e8  # multiply-adds: a smaller network spends its time elsewhere


@dataclass(frozen=True)
class Convolution:
    """`channels` in and out, a square `side`, a square `kernel`; `batch` images at once."""

    channels: int
    side: int
    kernel: int
    batch: int = 1

    @property
    def operations(self) -> int:
        """Multiplications and additions, as GOP/s are counted."""
        macs = self.channels**2 * self.kernel**2 * self.side**2
        return 2 * self.batch * macs

    def __str__(self) -> str:
        return f"{self.kernel}×{self.kernel}, {self.channels} channels, {self.batch}×{self.side}²"


CONVOLUTIONS = (
    Convolution(256, 28, 3, 4),
    Convolution(512, 28, 3),
    Convolution(512, 14, 3, 8),
    Convolution(1024, 28, 1, 4),
    Convolution(2048, 14, 1, 4),
)


@dataclass(frozen=True)
class Peak:
    """The best rate found, in 10⁹ operations per second, and by which convolution."""

    gops: float
    by: Convolution
    threads: int
    precision: str = "int8"

    def images_per_s(self, macs_per_image: float) -> float:
        """What a network of so many multiply-adds per image could reach at this rate."""
        return self.gops * 1e9 / (2 * macs_per_image)


def measure(*, threads: int, precision: str = "int8") -> Peak:
    """Time the convolutions in turn, and take the best median of the rounds; a few seconds.

    `precision` is "int8" or "fp32".
    """
    integer = precision == "int8"
    made = _integer_model if integer else _floating_model
    sessions = {
        each: onnxruntime_runtime.load(made(each), threads=threads) for each in CONVOLUTIONS
    }
    batches = {
        each: np.random.default_rng(0)
        .integers(0, 256, (each.batch, each.channels, each.side, each.side))
        .astype(np.uint8 if integer else np.float32)
        for each in CONVOLUTIONS
    }
    seconds: dict[Convolution, list[float]] = {each: [] for each in CONVOLUTIONS}
    for done in range(RUNS if integer else QUICK_RUNS):
        if done == COMPARED:
            for each in sorted(sessions, key=lambda each: _rate(each, seconds[each]))[:-FASTEST]:
                sessions.pop(each).close()
        for each, session in sessions.items():
            session.run(batches[each])
            started = time.perf_counter()
            session.run(batches[each])
            seconds[each].append(time.perf_counter() - started)
    rates = {each: _rate(each, seconds[each]) for each in sessions}
    for session in sessions.values():
        session.close()
    best = max(rates, key=lambda each: rates[each])
    return Peak(rates[best], best, threads, precision)


def _rate(each: Convolution, seconds: list[float]) -> float:
    """In 10⁹ operations per second, at the median."""
    return each.operations / statistics.median(seconds) / 1e9


def macs(model: ir.Model) -> int:
    """The multiply-adds of one image through the convolutions and the classifier of a graph."""
    return sum(macs_by_layer(model).values())


def macs_by_layer(model: ir.Model) -> dict[str, int]:
    """The multiply-adds of one image through each convolution and linear layer, by name."""
    found: dict[str, int] = {}
    for node in model.graph:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        weight, shape = node.inputs[1], node.outputs[0].shape
        if weight is None or weight.shape is None or shape is None:
            raise ConversionError("has no shape", where=str(node.name))
        sides = [int(side) for side in list(shape)[2:] if isinstance(side, int)]
        times, _, _ = str(shape[0]).rpartition("*batch")  # a linear layer over every position
        found[str(node.name)] = (
            int(times or 1)
            * math.prod(int(side) for side in weight.shape if isinstance(side, int))
            * math.prod(sides)
        )
    return found


def _floating_model(each: Convolution) -> bytes:
    """One Conv, FP32 in and out."""
    weight = np.random.default_rng(1).normal(size=_kernel(each)).astype(np.float32)
    return _convolution(each, "Conv", ir.DataType.FLOAT, {"w": weight})


def _integer_model(each: Convolution) -> bytes:
    """One QLinearConv, u8 in and out."""
    # Seven bits: on a CPU without VNNI larger products would saturate; the time is the same.
    weight = np.random.default_rng(1).integers(-64, 65, _kernel(each)).astype(np.int8)
    scale = np.float32(1 / 64)
    constants: dict[str, NDArray[Any]] = {
        "x.scale": np.asarray(scale),
        "x.zero": np.asarray(128, np.uint8),
        "w": weight,
        "w.scale": np.full(each.channels, scale, np.float32),
        "w.zero": np.zeros(each.channels, np.int8),
        "y.scale": np.asarray(np.float32(each.channels / 8)),
        "y.zero": np.asarray(128, np.uint8),
    }
    return _convolution(each, "QLinearConv", ir.DataType.UINT8, constants)


def _kernel(each: Convolution) -> tuple[int, int, int, int]:
    return each.channels, each.channels, each.kernel, each.kernel


def _convolution(
    each: Convolution, kind: str, dtype: ir.DataType, constants: Mapping[str, NDArray[Any]]
) -> bytes:
    """One operator on `x` and the constants, with as large an output."""
    sides = [each.batch, each.channels, each.side, each.side]
    entry = ir.Value(name="x", shape=ir.Shape(sides), type=ir.TensorType(dtype))
    graph = ir.Graph([entry], [], nodes=[], opset_imports={"": OPSET}, name="peak")
    values = [initializer(graph, name, array) for name, array in constants.items()]
    pad = each.kernel // 2
    node = ir.node(kind, [entry, *values], {"pads": [pad] * 4, "kernel_shape": [each.kernel] * 2})
    output = node.outputs[0]
    output.name, output.type = "y", ir.TensorType(dtype)
    output.shape = ir.Shape(sides)
    graph.append(node)
    graph.outputs.append(output)
    return serialize(ir.Model(graph, ir_version=IR_VERSION))
