"""TensorRT's rules on numbers, types and operators: broken one by one, kept by all our graphs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from broken_graphs import BROKEN
from numpy.typing import NDArray
from quantized import Graphs, calibrated, symmetric_residual
from thin import shallowest
from thin_traces import thin_trace

from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.lint import tensorrt
from resnet_convert.lint.rules import check, refuse
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.ranges import Range
from resnet_serve.architectures import Architecture, find
from resnet_serve.errors import ConversionError
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import Preprocessing

# One of every stem, and of every order of normalisation.
FP32_IMAGES = ("resnet20", "resnet18", "resnet18d", "preact_resnet18", "resnetv2_18")


@pytest.fixture
def block(graph: Graphs) -> ir.Model:
    """A residual block, symmetric INT8 over FP16, as we hand it to TensorRT."""
    model = symmetric_residual(graph)
    halve(model)
    assert check(model, RULES) == ()
    return model


@pytest.mark.parametrize("name", BROKEN)
def test_a_breach_is_found_by_its_rule_alone(block: ir.Model, name: str) -> None:
    rule, layer, change = BROKEN[name]
    change(block)
    found = check(block, RULES)
    assert {finding.rule for finding in found} == {rule}
    assert layer in {finding.layer for finding in found}


def test_a_function_is_found(block: ir.Model) -> None:
    function = ir.Function("ours", "f", graph=ir.Graph([], [], nodes=[]), attributes=[])
    block.functions[function.identifier()] = function
    assert {finding.rule for finding in check(block, RULES)} == {"T12"}


def test_scales_of_fp32_may_stand_before_opset_19(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    model.graph.opset_imports[""] = 13
    assert check(model, RULES) == ()


def test_every_rule_has_a_number_of_its_own_and_a_remedy() -> None:
    numbers = [rule.number for rule in RULES.rules]
    assert numbers == [f"T{n}" for n in range(1, len(numbers) + 1)]
    assert numbers == re.findall(r"^(T\d+) ", tensorrt.__doc__ or "", re.MULTILINE)
    assert all(rule.remedy.endswith(".") for rule in RULES.rules)


def test_a_graph_made_for_the_cpu_is_refused_with_what_to_do(
    folded_digits: ir.Model, digits_pixels: NDArray[np.uint8], digits: Any
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    calibrated(folded_digits, digits_pixels)
    with pytest.raises(ConversionError, match=r"TensorRT rule T1, and \d+ more") as refusal:
        refuse(check(folded_digits, RULES))
    assert refusal.value.exit_code == 5
    assert refusal.value.where == "lint: conv1"
    assert "--target tensorrt" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="module", params=shallowest(), ids=lambda row: row.name)
def narrow(request: pytest.FixtureRequest) -> tuple[Architecture, ir.Model]:
    """A network of every kind, folded; thin, because all that the rules ask is 16 channels."""
    made = thin_trace(request.param)
    model = ir.from_proto(ir.to_proto(made.trace.model))
    fold(model)
    return made.row, model


def test_every_graph_we_make_keeps_every_rule(narrow: tuple[Architecture, ir.Model]) -> None:
    """Whatever the ranges are: placement and types do not depend on them. Of FP32 images too:
    their graphs differ before the first convolution alone, which a stem decides.
    """
    row, folded = narrow
    if row.name in FP32_IMAGES:
        keeps_every_rule(row, folded)
    side = int(folded.graph.inputs[0].shape[2])
    raw = ir.from_proto(ir.to_proto(folded))
    take_pixels(raw, Preprocessing(resize=side, crop=(side, side)))
    keeps_every_rule(row, raw)


def test_one_of_every_stem_takes_fp32_images() -> None:
    assert {find(name).stem for name in FP32_IMAGES} == {row.stem for row in shallowest()}


def keeps_every_rule(row: Architecture, folded: ir.Model) -> None:
    data = ir.to_proto(folded)
    random = np.random.default_rng(0)
    ranges = {name: Range(*sorted(random.normal(0, 3, 2))) for name in s8s8.activations(folded)}
    for precision in PRECISIONS:
        model = ir.from_proto(data)
        if precision in ("int8", "fp8"):
            found = s8s8.quantize(model, ranges, precision)
            assert found.layers + len(found.floating) == row.convolutions + 1
            # FP8 asks for 16 channels on both sides; a thin deep stem has 8.
            stem = ("conv1.0", "conv1.3", "conv1.6") if row.stem == "deep" else ("conv1",)
            assert found.floating == (stem if precision == "fp8" else ())
            halve(model)
        elif precision != "fp32":
            halve(model, precision)
        assert check(model, RULES) == (), precision


def test_our_int8_graphs_are_onnx(graph: Graphs) -> None:
    for number in ("int8", "fp8"):
        model = symmetric_residual(graph, number, channels=16)
        halve(model)
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
