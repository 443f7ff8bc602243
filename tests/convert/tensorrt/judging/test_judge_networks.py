"""Every kind of network in every precision through the real TensorRT-RTX: what each layer became.

Nothing is executed. Precision and fusion are read from the builder's own list of layers; the
numbers are those of TensorRT-RTX 1.7.1.
"""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir
import pytest
import rtx
import torch
from thin import shallowest
from thin_traces import thin_trace
from typed_graphs import give_precision

from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_convert.tensorrt.inspection import Inspection, inspect, requested_precisions
from resnet_convert.tensorrt.judging.verdict import Question, Verdict
from resnet_serve.architectures import Architecture, build, find
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes.profiles import Profile

AMPERE_AND_NEWER = ("8.0", "8.6", "8.9", "12.0", "12.1")
WITH_FP8 = ("8.9", "12.0", "12.1")
TURING = "7.5"
# One of basic and bottleneck blocks, and of preactivation; the other kinds in fp16 and int8.
ALL_PRECISIONS = ("resnet18", "resnet26", "preact_resnet18")
PRECISIONS = {
    **dict.fromkeys(("fp32", "fp16", "bf16", "int8"), AMPERE_AND_NEWER),
    "fp8": WITH_FP8,
}


def typed(traced: ir.Model, side: int, precision: str) -> ir.Model:
    """The graph for UINT8 images as `--target tensorrt-rtx` types it, with ranges at random."""
    model = ir.from_proto(ir.to_proto(traced))
    fold(model)
    take_pixels(model, Preprocessing(resize=side, crop=(side, side)))
    give_precision(model, precision)
    return model


def judged(model: ir.Model, *targets: str) -> Verdict:
    return rtx.judge().ask(Question(serialize(model), targets, (Profile(1, 8, 32),)))


def inspected(model: ir.Model, *targets: str) -> Inspection:
    verdict = judged(model, *targets)
    assert verdict.outcome == "built", (targets, verdict.errors, verdict.refusals)
    return inspect(verdict.layers, model)


def test_those_of_all_precisions_are_among_the_kinds() -> None:
    assert set(ALL_PRECISIONS) <= {row.name for row in shallowest()}


@pytest.fixture(scope="module", params=shallowest(), ids=lambda row: row.name)
def narrow(request: pytest.FixtureRequest) -> tuple[Architecture, ir.Model, int]:
    """A network of every kind with 16 channels and more, traced."""
    made = thin_trace(request.param)
    return made.row, made.trace.model, made.side


def test_every_kind_computes_in_the_precision_of_its_graph(
    narrow: tuple[Architecture, ir.Model, int],
) -> None:
    row, traced, side = narrow
    for precision in PRECISIONS if row.name in ALL_PRECISIONS else ("fp16", "int8"):
        targets = PRECISIONS[precision]
        model = typed(traced, side, precision)
        found = inspected(model, *targets)
        assert found.check().passed, (precision, found.check().found)
        assert len(found.convolutions) == row.convolutions
        joined = len(found.residuals)
        if precision in ("fp16", "bf16"):
            assert found.fused == joined, (precision, found.summary())
        elif precision == "int8":
            assert found.fused == 0, found.summary()


# --- What a GPU lacks ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bottlenecks() -> ir.Model:
    return thin_trace(find("resnet26")).trace.model


def test_turing_has_fp16_alone(bottlenecks: ir.Model) -> None:
    """Where it is one of the targets, INT8 becomes FP16 for all of them."""
    half = typed(bottlenecks, 64, "fp16")
    assert inspected(half, TURING).check().passed
    integers = typed(bottlenecks, 64, "int8")
    for targets in ((TURING,), (TURING, "8.6")):
        assert {found for _, found in inspected(integers, *targets).convolutions.values()} == {
            "fp16"
        }


@pytest.mark.parametrize(
    ("precision", "target", "says"),
    [
        ("fp32", TURING, "FP32 GEMM is not supported"),
        ("bf16", TURING, ""),
        *(("fp8", target, "") for target in (TURING, "8.0", "8.6")),
    ],
)
def test_what_a_target_refuses(
    bottlenecks: ir.Model, precision: str, target: str, says: str
) -> None:
    verdict = judged(typed(bottlenecks, 64, precision), target)
    assert verdict.outcome == "the builder refuses"
    assert says in " ".join(verdict.errors)


def test_a_refused_build_does_not_change_the_next(bottlenecks: ir.Model) -> None:
    """In one process TensorRT-RTX 1.7.1 built the next graph without runtime fusions."""
    half = typed(bottlenecks, 64, "fp16")
    before = judged(half, *AMPERE_AND_NEWER)
    assert judged(typed(bottlenecks, 64, "fp32"), TURING).outcome == "the builder refuses"
    after = judged(half, *AMPERE_AND_NEWER)
    assert after.plan_bytes == before.plan_bytes
    assert Counter(each.kind for each in rtx.layers(after)) == Counter(
        each.kind for each in rtx.layers(before)
    )


# --- ResNet-50 in its own width ------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet50() -> ir.Model:
    torch.manual_seed(0)
    return trace(build(find("resnet50")), (3, 64, 64)).model


def kinds(verdict: Verdict, model: ir.Model) -> Counter[str]:
    """How many convolutions became a layer of each kind, with its types."""
    layers = (rtx.computed(verdict, name) for name in requested_precisions(model))
    return Counter(
        "none" if one is None else f"{one.kind} {one.inputs[0]}→{one.outputs[0]}" for one in layers
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "expected", "fused", "megabytes"),
    [
        ("fp16", {"correlation Half→Half": 42, "runtime_fusion Half→Half": 11}, 16, 51.6),
        ("int8", {"correlation Int8→Float": 53}, 0, 33.2),
        (
            "bf16",
            {
                "correlation BFloat16→BFloat16": 52,
                "runtime_fusion BFloat16→Float": 1,
            },
            16,
            51.6,
        ),
        ("fp8", {"correlation FP8→Float": 52, "correlation Half→Half": 1}, 0, 33.0),
    ],
)
def test_resnet50(
    resnet50: ir.Model, precision: str, expected: dict[str, int], fused: int, megabytes: float
) -> None:
    model = typed(resnet50, 64, precision)
    verdict = judged(model, *PRECISIONS[precision])
    assert kinds(verdict, model) == expected
    assert inspect(verdict.layers, model).fused == fused
    assert verdict.plan_bytes == pytest.approx(megabytes * 1e6, rel=0.02)
