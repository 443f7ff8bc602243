"""Compiled: what a runtime made of a model file, and how long it takes, from the runtime itself."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOT_FOUND = "not found"
PREPARING_RUNS = 2  # in which kernels and memory are prepared
_MULTIPLYING = frozenset(
    {
        *("Conv", "FusedConv", "QLinearConv", "ConvInteger", "NhwcFusedConv"),
        *("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul", "QLinearMatMul"),
        *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
        *("Convolution", "GroupConvolution", "FullyConnected"),
    }
)


@dataclass(frozen=True)
class Compiled:
    """What one run of a model at batch 1 really executed.

    `operators` counts them by kind. `convolutions` gives, by PyTorch layer name, the precision that
    each convolution of the file is computed in ("int8", "bf16", "fp32"), `NOT_FOUND` for one that
    no executed operator names; it is None where the runtime does not report this.
    """

    operators: Mapping[str, int]
    convolutions: Mapping[str, str] | None = None


@dataclass(frozen=True)
class TimedOperator:
    """One executed operator: the median of its milliseconds in several runs at batch 1.

    `kind` is the runtime's name of it, `precision` what it computes in ("int8", "fp32"), and
    `nodes` are the nodes of the file that it is known to compute, by name.
    """

    kind: str
    precision: str
    nodes: tuple[str, ...]
    ms: float

    @property
    def multiplies(self) -> bool:
        """Whether it is a convolution or a linear layer, by any runtime's name."""
        return self.kind in _MULTIPLYING


def median_of_runs(times_ms: Sequence[float]) -> float:
    """The median of an operator's times, without those of the runs that prepare it."""
    return statistics.median(times_ms[PREPARING_RUNS:] or times_ms)
