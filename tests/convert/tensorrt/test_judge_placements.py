"""No place and no type of Q/DQ pairs makes the real builder of TensorRT-RTX write INT8.

A version of it that does fails here: then INT8 is worth another look (docs/tensorrt-rtx.md).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rtx
import torch

from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.trace import trace
from resnet_convert.tensorrt.judging.verdict import Question
from resnet_serve.architectures import build, find

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
TARGETS = ("8.9", "12.0")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import rtx_placements
    finally:
        sys.path.remove(str(BENCHMARKS))
    return rtx_placements


@pytest.fixture(scope="module")
def folded() -> Any:
    """Two basic blocks, one with an identity and one with a projection for a shortcut."""
    torch.manual_seed(0)
    row = replace(find("resnet20-b"), depths=(1, 1), widths=(32, 64))
    model = trace(build(row).eval(), (3, 32, 32)).model
    fold(model)
    return model


def test_fp16_is_fused_whole(benchmark: ModuleType, folded: Any) -> None:
    found = counted(benchmark, folded, "fp16")
    assert found["convolutions"] == "6 Half->Half"
    assert found["additions_fused"] == "2 of 2"


@pytest.mark.parametrize(
    ("placement", "convolutions"),
    [
        ("int8, as deployed", "6 Int8->Float"),
        ("int8, weights with one scale", "6 Int8->Half"),
        ("int8, channels scaled apart", "6 Int8->Half"),
        ("int8, pairs on both operands, one scale", "6 Int8->Half"),
        ("int8, Q as a bare Cast, one scale (wrong numbers)", "6 Int8->Half"),
    ],
)
def test_int8_convolutions_write_floating_point(
    benchmark: ModuleType, folded: Any, placement: str, convolutions: str
) -> None:
    found, half = (counted(benchmark, folded, each) for each in (placement, "fp16"))
    assert found["convolutions"] == convolutions
    assert found["kernels"] > half["kernels"]
    assert found["activation_mb"] > half["activation_mb"]


def counted(benchmark: ModuleType, folded: Any, placement: str) -> dict[str, Any]:
    """What the benchmark counts, the same for both targets."""
    model = serialize(benchmark.placed(folded, benchmark.PLACEMENTS[placement]))
    first, second = (
        benchmark.counted(rtx.judge().ask(Question(model, targets=(target,))), folded)
        for target in TARGETS
    )
    assert {**first, "engine_mb": 0} == {**second, "engine_mb": 0}
    found: dict[str, Any] = first
    return found
