"""`engine.build` with the real parser and builder of TensorRT-RTX, in child processes; no GPU."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from record_rtx_layers import small_network
from rtx import BINDINGS
from rtx_builds import Job, Outcome, built, started

from resnet_convert.graph.model_file import serialize
from resnet_convert.tensorrt.inspection import inspect

TARGETS = ("8.6", "8.9", "12.0")
NO_LEAN = {"version_compatible": True}


def convolution(batch: str = "N", **attributes: str) -> bytes:
    """A small graph with one convolution, `conv2`, of weights [8,8,3,3]."""
    extra = "".join(f", {name} = {value}" for name, value in attributes.items())
    text = f"""g (float16[{batch},8,16,16] image) => (float16[{batch},8,16,16] y) {{
        [first] x = Relu(image)
        [conv2] z = Conv <pads = [1, 1, 1, 1]{extra}> (x, w)
        [last] y = Relu(z)
    }}"""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {text}')
    weights = np.random.default_rng(0).normal(size=(8, 8, 3, 3)).astype(np.float16)
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    return proto.SerializeToString()


@pytest.fixture(scope="module")
def network() -> ir.Model:
    return small_network("fp16")


@pytest.fixture(scope="module")
def outcomes(network: ir.Model) -> Mapping[str, Outcome]:
    """All builds, one after another in one process."""
    model = serialize(network)
    jobs = {
        "as is": Job(model, TARGETS),  # first: later plans contain other internal numbers
        "wrong kernel": Job(convolution(kernel_shape="[5, 5]")),
        "no ONNX": Job(b"no model"),
        "fixed batch": Job(convolution(batch="4")),
        "one target": Job(model, ("8.9",)),
        "little workspace": Job(model, TARGETS, options={"workspace_mib": 1}),
        "more workspace": Job(model, TARGETS, options={"workspace_mib": 64}),
        "version compatible": Job(model, TARGETS, options=NO_LEAN, flavour=NO_LEAN),
        "beside another builder": Job(convolution(kernel_shape="[5, 5]"), beside=True),
        "no such option": Job(model, TARGETS, options={"level": 5}),
        "no such target": Job(model, ("9.0",)),
    }
    return dict(zip(jobs, built(list(jobs.values())), strict=True))


def test_a_plan_is_built_without_a_gpu(outcomes: Mapping[str, Outcome], network: ir.Model) -> None:
    found = outcomes["as is"]
    assert found.error == ""
    assert len(found.plan) > 100_000
    assert found.version == BINDINGS
    assert found.built_for == "compute capability 8.6, 8.9, 12.0"
    inspection = inspect(found.layers, network)
    assert inspection.check().found == "9 of 9 convolutions FP16"
    assert inspection.fused == len(inspection.residuals) == 3


def test_the_targets_decide_the_plan(outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes["one target"].built_for == "compute capability 8.9"
    assert outcomes["one target"].plan != outcomes["as is"].plan


def test_progress_rises_to_the_end(outcomes: Mapping[str, Outcome]) -> None:
    steps = outcomes["as is"].progress
    assert len(steps) > 10
    assert list(steps) == sorted(set(steps))
    assert steps[-1] == (1000, 1000)


def test_nothing_deprecated_is_used(outcomes: Mapping[str, Outcome]) -> None:
    """Its timing cache does nothing, and says so in a DeprecationWarning."""
    assert outcomes["as is"].warnings == ()
    assert outcomes["as is"].timing_cache_sha256 is None


def test_another_process_builds_a_plan_of_the_same_size(
    outcomes: Mapping[str, Outcome], network: ir.Model
) -> None:
    """Internal numbers may differ: they depend on the order in which the builder's threads run."""
    (again,) = built([Job(serialize(network), TARGETS)])
    assert again.plan is not None
    assert outcomes["as is"].plan is not None
    assert len(again.plan) == len(outcomes["as is"].plan)


@pytest.mark.parametrize("case", ["wrong kernel", "beside another builder"])
def test_a_refusal_of_the_parser_names_the_layer(
    case: str, outcomes: Mapping[str, Outcome]
) -> None:
    """The parser's own error names none; the node that it was reading is the one."""
    found = outcomes[case]
    assert (found.kind, found.exit_code) == ("ConversionError", 5)
    assert found.error.startswith("tensorrt-rtx: conv2 (Conv): TensorRT-RTX 1.7.1")
    assert "kernel" in found.error
    assert "\n" not in found.error


def test_what_is_no_onnx_names_no_layer(outcomes: Mapping[str, Outcome]) -> None:
    """Also after a build that did."""
    found = outcomes["no ONNX"]
    assert found.kind == "ConversionError"
    assert "conv2" not in found.error


def test_a_profile_that_does_not_fit_the_graph(outcomes: Mapping[str, Outcome]) -> None:
    found = outcomes["fixed batch"]
    assert found.kind == "ConversionError"
    assert found.plan == b""
    assert "--optimization-level" not in found.error, "a remedy that this flavour lacks"


def test_a_workspace_that_is_too_small_and_its_remedy(outcomes: Mapping[str, Outcome]) -> None:
    refused = outcomes["little workspace"]
    assert (refused.kind, refused.exit_code) == ("UsageError", 2)
    assert "a workspace of 1 MiB is too small" in refused.error
    assert refused.error.endswith("Give a larger --workspace, or omit it.")
    assert outcomes["more workspace"].error == ""
    assert outcomes["as is"].error == ""


def test_a_lean_runtime_that_is_missing_and_its_remedy(outcomes: Mapping[str, Outcome]) -> None:
    refused = outcomes["version compatible"]
    assert (refused.kind, refused.exit_code) == ("HostError", 4)
    assert "no lean runtime" in refused.error
    assert refused.error.endswith("Omit --version-compatible.")
    assert outcomes["as is"].error == ""


@pytest.mark.parametrize("case", ["no such option", "no such target"])
def test_what_the_flavour_does_not_have(case: str, outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes[case].kind == "UsageError"


def test_ctrl_c_ends_a_build(network: ir.Model) -> None:
    last = ""
    for _ in range(5):  # on a busy host the build may end before the signal arrives
        child = started(Job(serialize(network), TARGETS))
        assert child.stdout is not None
        assert "of 1000" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        said, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        last = said.splitlines()[-1]
        if last == "interrupted":
            break
    assert last == "interrupted"
