"""Bias correction: the mean of every response is what it is in FP32, layer after layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import Graphs, array, normal, residual
from this_cpu import U8

from resnet_convert.graph.emulate import emulate
from resnet_convert.graph.model_file import serialize, serialize_with_outputs
from resnet_convert.quantization import s8s8, u8s8
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.dialects import S8S8, Dialect
from resnet_convert.quantization.rewrites import bias_correction
from resnet_convert.quantization.rewrites.bias_correction import (
    BATCH,
    BiasCorrection,
    mean_responses,
)
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

LAYERS = ("conv1", "block_conv1", "block_conv2", "down_conv1", "down_conv2", "down_projection")
RESPONSES = ("a", "c", "e", "h", "j", "k", "logits")
DIALECTS = pytest.mark.parametrize("dialect", [U8, S8S8], ids=["u8s8", "s8"])


def copied(model: ir.Model) -> ir.Model:
    return ir.from_proto(ir.to_proto(model))


def correct(
    model: ir.Model, ready: ir.Model, batches: Sequence[NDArray[np.float32]], *, threads: int
) -> BiasCorrection:
    """To the means of the model's own responses."""
    expected = mean_responses(model, batches, threads=threads)
    return bias_correction.correct(model, ready, batches, expected, threads=threads)


def images(count: int = BATCH, *, seed: int = 5) -> NDArray[np.float32]:
    return normal(count, 4, 6, 6, seed=seed)


def quantized(model: ir.Model, dialect: Dialect, *, cut: float = 0.4) -> ir.Model:
    """With ranges so narrow that clipping shifts the means."""
    copy = model.clone()
    seen = observe(copy, dialect.activations(copy), [images()], threads=1)
    ranges = {
        name: type(each)(each.low * cut, each.high * cut) for name, each in seen.ranges.items()
    }
    dialect.convert(copy, ranges)
    return copy


def means(model: ir.Model, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Per channel, of every response."""
    with onnxruntime_runtime.load(
        serialize_with_outputs(emulate(model), RESPONSES), threads=1
    ) as session:
        found = session.run_all(batch)
    return {
        name: np.moveaxis(found[name], 1, -1).reshape(-1, found[name].shape[1]).mean(0, float)
        for name in RESPONSES
    }


@DIALECTS
def test_means_are_those_of_fp32_once_quantized_again(graph: Graphs, dialect: Dialect) -> None:
    model, batch = residual(graph), images()
    expected = means(model, batch)
    before = means(quantized(model, dialect), batch)
    corrected = model.clone()
    ranges_of = quantized(model, dialect)
    found = correct(corrected, ranges_of, [batch], threads=1)
    assert (found.layers, found.images) == (7, BATCH)
    after = corrected.clone()
    seen = observe(model, dialect.activations(model), [batch], threads=1)
    dialect.convert(
        after,
        {n: type(each)(each.low * 0.4, each.high * 0.4) for n, each in seen.ranges.items()},
    )
    found_means = means(after, batch)
    for name in RESPONSES:
        shift = np.abs(before[name] - expected[name]).max()
        left = np.abs(found_means[name] - expected[name]).max()
        assert left < 0.05 * shift + 2e-3, name
    assert found.largest_shift > 0.05, "the ranges were cut for this"


@DIALECTS
def test_batches_are_joined_and_averaged(graph: Graphs, dialect: Dialect) -> None:
    model, batch = residual(graph), images(2 * BATCH, seed=6)
    ready = quantized(model, dialect)
    whole, parts = model.clone(), model.clone()
    found = correct(whole, ready, [batch[:BATCH], batch[BATCH:]], threads=1)
    assert correct(parts, ready, np.split(batch, 16), threads=1) == found
    assert found.images == 2 * BATCH
    assert serialize(parts) == serialize(whole)


def test_a_graph_that_lost_nothing_keeps_its_biases(graph: Graphs) -> None:
    model = residual(graph)
    corrected = model.clone()
    found = correct(corrected, model.clone(), [images()], threads=1)
    assert found.largest_shift < 1e-6
    for n in range(1, 8):
        np.testing.assert_allclose(array(corrected, f"b{n}"), array(model, f"b{n}"), atol=1e-6)


def test_a_layer_without_a_bias_gets_one(graph: Graphs) -> None:
    text = """(float[N,4,6,6] image) => (float[N,4,6,6] logits) {
        [conv1] a = Conv <pads = [1,1,1,1]> (image, w1)
        [relu] b = Relu (a)
        [conv2] logits = Conv <pads = [1,1,1,1]> (b, w2)
    }"""
    model = graph(text, w1=normal(4, 4, 3, 3), w2=normal(4, 4, 3, 3, seed=1))
    ready = model.clone()
    seen = observe(ready, u8s8.activations(ready), [images()], threads=1)
    U8.quantize(ready, seen.ranges)
    correct(model, ready, [images()], threads=1)
    assert array(model, "conv1.bias").shape == (4,)
    assert np.abs(array(model, "conv2.bias")).max() > 0


def test_the_quantized_graph_is_only_read(graph: Graphs) -> None:
    model = residual(graph)
    ready = quantized(model, U8)
    before = serialize(ready)
    correct(model.clone(), ready, [images()], threads=1)
    assert serialize(ready) == before


def test_no_images_are_refused(graph: Graphs) -> None:
    model = residual(graph)
    with pytest.raises(UsageError, match="bias correction needs images"):
        correct(model, model.clone(), [], threads=1)


def test_another_networks_graph_is_refused_and_the_layer_named(graph: Graphs) -> None:
    model, other = residual(graph), residual(graph)
    next(node for node in other.graph if node.name == "block_conv2").outputs[0].name = "elsewhere"
    with pytest.raises(ConversionError, match="response is missing") as refusal:
        correct(model, other, [images()], threads=1)
    assert refusal.value.where == "block_conv2"


def test_fp8_is_corrected_too(graph: Graphs) -> None:
    model, batch = residual(graph, channels=16), normal(8, 16, 6, 6)
    ready = model.clone()
    seen = observe(ready, s8s8.activations(ready), [batch], threads=1)
    s8s8.quantize(ready, seen.ranges, "fp8")
    found = correct(model, ready, [batch], threads=1)
    assert found.largest_shift > 0
