"""The dialects side by side: what each quantizes, types and runs as."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from quantized import Graphs, array, node, normal, residual

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import check, serialize
from resnet_convert.lint import cpu, tensorrt
from resnet_convert.lint.rules import check as violations
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.dialects import S8S8, U8S7, U8S8, Dialect, dialect_of
from resnet_convert.quantization.ranges import Range
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

DIALECTS = pytest.mark.parametrize("dialect", [U8S8, U8S7, S8S8], ids=lambda each: each.name)
IMAGES = normal(8, 4, 6, 6, seed=9)


def ranges(dialect: Dialect, model: ir.Model) -> dict[str, Range]:
    calibration = observe(
        model, dialect.activations(model), [IMAGES], threads=1, symmetric=dialect.symmetric
    )
    return dict(calibration.ranges)


def test_a_target_has_its_dialect() -> None:
    assert dialect_of(for_tensorrt=True, vnni=True) is dialect_of(for_tensorrt=True, vnni=False)
    assert dialect_of(for_tensorrt=True, vnni=True) is S8S8
    assert dialect_of(for_tensorrt=False, vnni=True) is U8S8
    assert dialect_of(for_tensorrt=False, vnni=False) is U8S7


@DIALECTS
def test_to_convert_is_to_quantize_and_to_type_the_rest(graph: Graphs, dialect: Dialect) -> None:
    converted, typed = residual(graph), residual(graph)
    found = ranges(dialect, typed)
    first = dialect.convert(converted, found)
    second = dialect.quantize(typed, found)
    if dialect.rest is not None:
        halve(typed, dialect.rest)
    assert serialize(converted) == serialize(typed)
    assert first == second
    assert (first.layers, first.floating) == (7, ())
    check(serialize(converted), where=dialect.name)
    rules = tensorrt.RULES if dialect is S8S8 else cpu.RULES
    assert violations(converted, rules) == ()


@DIALECTS
def test_it_runs_on_this_cpu(graph: Graphs, dialect: Dialect) -> None:
    exact, model = residual(graph), residual(graph)
    dialect.convert(model, ranges(dialect, exact))
    with (
        onnxruntime_runtime.load(serialize(exact), threads=1) as theirs,
        onnxruntime_runtime.load(dialect.serialize(model), threads=1) as ours,
    ):
        found = numerics.compare(theirs.run(IMAGES), ours.run(IMAGES))
    # On a CPU without VNNI, U8S8 saturates: the converter uses U8S7 there.
    assert found.sqnr_db > (5 if dialect is U8S8 else 20)
    expected = emulated(model) if dialect is S8S8 else serialize(model)
    assert dialect.serialize(model) == expected


@DIALECTS
def test_a_kept_layer_stays_floating(graph: Graphs, dialect: Dialect) -> None:
    model = residual(graph)
    found = dialect.convert(model, ranges(dialect, model), keep=frozenset({"fc"}))
    assert "fc" in found.floating
    assert found.layers == 7 - len(found.floating)


@pytest.mark.parametrize(("dialect", "largest"), [(U8S8, 127), (U8S7, 64), (S8S8, 127)])
def test_weights_use_their_whole_grid(graph: Graphs, dialect: Dialect, largest: int) -> None:
    model = residual(graph)
    dialect.quantize(model, ranges(dialect, model))
    integers = np.abs(array(model, "block_conv1.weight.q").astype(int))
    assert (integers.reshape(len(integers), -1).max(axis=1) == largest).all()


def test_fp8_is_for_tensorrt_alone(graph: Graphs) -> None:
    model = residual(graph, channels=16)
    found = {name: Range(-4, 4) for name in S8S8.activations(model)}
    S8S8.convert(model, found, "fp8")
    quantizers = [each for each in model.graph if each.op_type == "QuantizeLinear"]
    assert {str(each.outputs[0].dtype) for each in quantizers} == {"FLOAT8E4M3FN"}
    assert node(model, "fc").inputs[0] is not None
    for dialect in (U8S8, U8S7):
        with pytest.raises(ConversionError, match="no CPU runtime computes in FP8"):
            dialect.quantize(residual(graph), {}, "fp8")
