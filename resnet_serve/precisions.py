"""The precisions: one row each, with everything that depends on a precision.

A new precision is one row here, and the graph pass that produces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from resnet_serve.errors import UsageError
from resnet_serve.parity.gate import Budget


@dataclass(frozen=True)
class Precision:
    """One precision.

    `budget` is what the gate allows it to lose. `quantized` precisions have Q/DQ pairs in the graph
    and need calibration images. `typed_for_tensorrt` and `typed_for_cpu` are the floating type of
    the tensors that are not quantized, by target; None where they stay FP32. `warning` is shown
    for every conversion to this precision.
    """

    name: str
    budget: Budget
    quantized: bool = False
    typed_for_tensorrt: str | None = None
    typed_for_cpu: str | None = None
    warning: str | None = None


# FP32 differs by rounding only. FP16 has 11 significant bits, BF16 8. The INT8 budget follows
# MLPerf (99 % of FP32 accuracy), made stricter: half a point where labels are given. FP8 has the
# same. docs/parity.md has the error rates of these limits.
_QUANTIZED_BUDGET = Budget(
    cosine=0.98, sqnr_db=15, agreement=0.97, top1_points=0.5, margin_points=1.0
)
PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        row.name: row
        for row in (
            Precision(
                "fp32",
                Budget(
                    cosine=0.99999,
                    sqnr_db=60,
                    agreement=0.999,
                    top1_points=0.1,
                    margin_points=0.2,
                ),
            ),
            Precision(
                "fp16",
                Budget(
                    cosine=0.9999, sqnr_db=40, agreement=0.99, top1_points=0.2, margin_points=0.4
                ),
                typed_for_tensorrt="fp16",
                typed_for_cpu="fp16",
            ),
            # A CPU runtime computes in BF16 when it compiles the FP32 graph.
            Precision(
                "bf16",
                Budget(
                    cosine=0.995, sqnr_db=20, agreement=0.98, top1_points=0.3, margin_points=0.6
                ),
                typed_for_tensorrt="bf16",
            ),
            Precision("int8", _QUANTIZED_BUDGET, quantized=True, typed_for_tensorrt="fp16"),
            Precision(
                "fp8",
                _QUANTIZED_BUDGET,
                quantized=True,
                typed_for_tensorrt="fp16",
                warning="FP8 is an experiment: no gain for ResNets has been published",
            ),
        )
    }
)


def find(name: str) -> Precision:
    """The row of a precision; raises `UsageError` for an unknown name."""
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}", remedy=f"Use {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]
