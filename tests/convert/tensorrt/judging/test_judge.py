"""The judge: the real TensorRT-RTX in a child process, what it builds, refuses and dies of."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import onnx_ir as ir
import pytest
import rtx
from broken_graphs import computed_scale, dilated_pool
from quantized import Graphs, symmetric_residual

from resnet_convert.graph.half import halve
from resnet_convert.tensorrt.judging.judge import Judge
from resnet_convert.tensorrt.judging.verdict import Question
from resnet_serve.errors import HostError
from resnet_serve.runtimes.profiles import Profile


def data(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString())


@pytest.fixture
def block(graph: Graphs) -> ir.Model:
    model = symmetric_residual(graph)
    halve(model)
    return model


def test_a_good_graph_is_built_for_every_target(block: ir.Model) -> None:
    targets = ("8.0", "8.6", "8.9", "12.0", "12.1")
    verdict = rtx.judge().ask(Question(data(block), targets))
    assert verdict.outcome == "built"
    assert verdict.tensorrt == rtx.BINDINGS
    assert verdict.plan_bytes is not None and verdict.plan_bytes > 10_000
    assert "[ONNX Layer: block_conv1]" in verdict.layers
    assert verdict.errors == ()


def test_a_graph_may_be_parsed_alone(block: ir.Model) -> None:
    verdict = rtx.judge().ask(Question(data(block), build=False))
    assert (verdict.outcome, verdict.layers) == ("parsed", "")


def test_the_parser_names_the_layer_and_the_operator(block: ir.Model) -> None:
    dilated_pool(block)
    verdict = rtx.judge().ask(Question(data(block)))
    assert verdict.outcome == "the parser refuses"
    assert {(each.layer, each.operator) for each in verdict.refusals} == {("block_relu", "MaxPool")}


def test_a_crash_is_a_verdict_and_the_next_graph_has_a_fresh_process(block: ir.Model) -> None:
    good = data(block)
    computed_scale(block)
    verdict = rtx.judge().ask(Question(data(block)))
    assert (verdict.outcome, verdict.signal) == ("crashed", signal.SIGSEGV)
    assert rtx.judge().ask(Question(good)).outcome == "built"


def test_the_builder_refuses_a_profile_upside_down(block: ir.Model) -> None:
    profile = Profile(1, 4, 8)
    object.__setattr__(profile, "minimum", 6)
    verdict = rtx.judge().ask(Question(data(block), profiles=(profile,)))
    assert verdict.outcome == "the builder refuses"
    assert any("profile" in line for line in verdict.errors)


def test_a_child_that_takes_too_long_is_ended(block: ir.Model) -> None:
    with Judge(rtx.environment(), longest_s=60) as judge:
        assert judge.version() == rtx.BINDINGS
        judge.longest_s = 0.001
        verdict = judge.ask(Question(data(block)))
    assert (verdict.outcome, verdict.signal) == ("crashed", signal.SIGKILL)
    assert verdict.errors == ("no verdict within 0.001 s",)


def test_without_the_library_the_remedy_is_its_extra(block: ir.Model) -> None:
    ours = os.pathsep.join(map(str, rtx.OURS))
    with (
        Judge({**os.environ, "PYTHONPATH": ours}) as judge,
        pytest.raises(HostError, match="TensorRT-RTX is not installed") as refusal,
    ):
        judge.ask(Question(data(block)))
    assert "resnet-serve[tensorrt-rtx]" in str(refusal.value)


def test_a_damaged_library_is_said(block: ir.Model, tmp_path: Path) -> None:
    for name in (
        "onnxruntime_ep_nv_tensorrt_rtx/__init__.py",
        "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_rtx.so.1.7.1",
        "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_onnxparser_rtx.so.1.7.1",
        "tensorrt_rtx_bindings/__init__.py",
        "tensorrt_rtx_cu13_bindings-1.7.1.116.dist-info/METADATA",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    facts = tmp_path / "tensorrt_rtx_cu13_bindings-1.7.1.116.dist-info" / "METADATA"
    facts.write_text("Name: tensorrt-rtx-cu13-bindings\nVersion: 1.7.1.116\n")
    ours = os.pathsep.join([str(tmp_path), *map(str, rtx.OURS)])
    with (
        Judge({**os.environ, "PYTHONPATH": ours}) as judge,
        pytest.raises(HostError, match=r"cannot be loaded .*libtensorrt_rtx"),
    ):
        judge.ask(Question(data(block)))
