"""Layers that stay floating in a u8 × s8 graph, and others with them: rules 7 and 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import quantized
from numpy.typing import NDArray
from quantized import Graphs, Run, array, node, normal, residual
from this_cpu import LARGEST

from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.nodes import readers_of
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.u8s8 import activations, quantize
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights


@pytest.fixture
def block(graph: Graphs) -> ir.Model:
    return quantized.block(graph)


def keeping(model: ir.Model, x: NDArray[Any], *names: str) -> Quantization:
    ranges = observe(model, activations(model), [x], threads=1).ranges
    return quantize(model, ranges, keep=frozenset(names), largest_weight=LARGEST)


def test_a_kept_layer_is_floating_and_so_is_who_writes_for_it(block: ir.Model) -> None:
    before = {name: array(block, name) for name in ("w3", "b3")}
    found = keeping(block, normal(8, 4, 6, 6), "block_conv2")
    assert found.floating == ("block_conv1", "block_conv2")
    assert (found.layers, found.activations, found.dropped_relus) == (2, 6, 2)
    assert not any(n.name == "d.q" for n in block.graph)
    for name, exact in before.items():
        np.testing.assert_array_equal(array(block, name), exact)
    # Behind it the Add has integers on both sides, as before.
    add = node(block, "block_add")
    assert [value.producer().name for value in add.inputs] == ["e.dq", "b.dq"]


def test_a_kept_layer_reads_as_written_beside_a_pair(block: ir.Model) -> None:
    found = keeping(block, normal(8, 4, 6, 6), "block_conv1")
    assert found.floating == ("conv1", "block_conv1")
    # The ReLU stays: whoever reads past the pair has no grid that saturates at zero.
    assert found.dropped_relus == 2
    assert node(block, "block_conv1").inputs[0].producer() is node(block, "relu")
    assert readers_of(node(block, "b.dq").outputs[0]) == [node(block, "block_add")]


def test_the_stem_and_the_classifier_can_be_kept(block: ir.Model) -> None:
    found = keeping(block, normal(8, 4, 6, 6), "conv1", "fc")
    assert found.floating == ("conv1", "fc")
    left = {str(n.name) for n in block.graph if n.op_type == "QuantizeLinear"}
    # What the pool answers is moved to the classifier, and read there as it is.
    assert left == {"b.q", "d.q", "e.q", "g.q"}
    assert node(block, "flatten").inputs[0].producer() is node(block, "avgpool")


def test_what_only_kept_layers_read_has_no_pair(graph: Graphs) -> None:
    model = residual(graph)
    x = normal(8, 4, 6, 6)
    assert keeping(model, x, "down_conv1").floating == ("down_conv1",)
    model = residual(graph)
    assert keeping(model, x, "down_conv1", "down_projection").floating == (
        "down_conv1",
        "down_projection",
    )
    assert node(model, "down_conv1").inputs[0].producer() is node(model, "block_relu_1")
    assert not any(n.name == "g.q" for n in model.graph)


def test_a_maxpool_moves_for_a_kept_layer(graph: Graphs) -> None:
    """As in the first block of the ImageNet networks: the stem's result is read as written."""
    model = quantized.moved(graph)
    found = keeping(model, normal(8, 4, 8, 8), "conv2")
    assert found.floating == ("conv1", "conv2")
    assert [str(n.name) for n in model.graph if n.op_type == "QuantizeLinear"] == [
        "image.q",
        "c.q",
        "f.q",
    ]


def test_all_kept_is_fp32_but_for_the_additions(block: ir.Model, graph: Graphs, run: Run) -> None:
    x = normal(8, 4, 6, 6)
    names = ("conv1", "block_conv1", "block_conv2", "fc")
    assert keeping(block, x, *names).layers == 0
    assert numerics.compare(run(quantized.block(graph), x), run(block, x)).sqnr_db > 35


@pytest.mark.parametrize(
    ("name", "nearest"), [("block_conv9", "block_conv"), ("relu", "conv1"), ("", "fc")]
)
def test_an_unknown_layer_is_refused_with_the_nearest(
    block: ir.Model, name: str, nearest: str
) -> None:
    before = serialize(block)
    with pytest.raises(ConversionError, match=f"no layer '{name}' to keep") as refusal:
        keeping(block, normal(8, 4, 6, 6), "fc", name)
    assert nearest in str(refusal.value.remedy)
    assert serialize(block) == before


@pytest.mark.parametrize(
    ("keep", "convolutions", "additions"),
    [
        (["fc"], 0, 0),
        (["conv1"], 1, 0),
        (["layer1.0.conv1"], 2, 0),
        (["layer2.1.conv1"], 1, 1),
        (["layer2.1.conv2"], 2, 0),
        (["layer3.0.conv1", "layer3.0.conv2"], 2, 1),
    ],
)
def test_the_other_layers_still_run_in_integers(
    keep: list[str],
    convolutions: int,
    additions: int,
    folded_digits: ir.Model,
    digits: Weights,
    digits_pixels: NDArray[np.uint8],
    run: Run,
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    exact = run(folded_digits, digits_pixels)
    found = keeping(folded_digits, digits_pixels, *keep)
    assert set(keep) <= set(found.floating)
    compiled = onnxruntime_runtime.compiled(serialize(folded_digits)).operators
    assert compiled["Conv"] + compiled["FusedConv"] == convolutions
    assert compiled["QLinearConv"] == 19 - convolutions
    assert compiled["QLinearAdd"] == 9 - additions
    assert compiled["QGemm"] == ("fc" not in keep)
    assert numerics.compare(exact, run(folded_digits, digits_pixels)).sqnr_db > 20
