"""The real TensorRT-RTX parser and builder take every head, in every precision; see `test_judge`.

Nothing is executed: outputs, types and shapes are read from the builder's own layer list.
"""

from __future__ import annotations

import re

import onnx_ir as ir
import pytest
import rtx
import torch
from thin import shallow, thin
from trace_once import traced_this_run
from typed_graphs import give_precision

from resnet_convert.ensembles.average import average
from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.tensorrt.judging.verdict import Question
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.architectures import build, find, with_head
from resnet_serve.preprocessing import Preprocessing

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
TARGETS = {"fp8": ("8.9", "12.0")}
ACTIVATIONS = (SOFTMAX, Activation(Kind.SIGMOID, (0.5,)), Activation(Kind.NONE))
OUTPUT = re.compile(r"Name: (\S+), IOMode: Output, DataType: (\w+), Dimensions: \[([-\d,]+)\]")


def typed(folded: ir.Model, precision: str) -> ir.Model:
    """The graph as `--target tensorrt` types it, with ranges that are random."""
    model = ir.from_proto(ir.to_proto(folded))
    give_precision(model, precision)
    return model


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "pyramid"),
        ("preact_resnet18", "features"),
        pytest.param("preact_resnet18", "pyramid", marks=pytest.mark.slow),
        pytest.param("resnet50d", "pyramid", marks=pytest.mark.slow),
        pytest.param("resnet20", "features", marks=pytest.mark.slow),
    ],
)
def test_every_head_is_built_in_every_precision(name: str, head: str) -> None:
    torch.manual_seed(0)
    row = shallow(thin(find(name)))
    side = 64 if row.family == "ImageNet" else 32
    network = with_head(build(row).requires_grad_(False), head)
    with torch.no_grad():
        expected = network(torch.zeros(1, 3, side, side))
    sides = {key: ("Float", [-1, *each.shape[1:]]) for key, each in expected.items()}
    folded = traced_this_run(network, (3, side, side)).model
    fold(folded)
    take_pixels(folded, Preprocessing(resize=side, crop=(side, side)))
    for precision in PRECISIONS:
        model = typed(folded, precision)
        assert check(model, RULES) == (), precision
        verdict = rtx.judge().ask(
            Question(serialize(model), TARGETS.get(precision, ("8.6", "12.0")))
        )
        assert verdict.outcome == "built", (precision, verdict.errors, verdict.refusals)
        found = {
            output: (dtype, [int(each) for each in dims.split(",")])
            for output, dtype, dims in OUTPUT.findall(verdict.layers)
        }
        assert found == sides, precision


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_the_average_of_an_ensemble_is_built(activation: Activation) -> None:
    verdict = rtx.judge().ask(Question(average(3, 10, activation)))
    assert verdict.outcome == "built", (verdict.errors, verdict.refusals)
