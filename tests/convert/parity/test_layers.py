"""Figure 7's numbers, and which layer loses precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from this_cpu import LARGEST

from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize, serialize_with_outputs
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.parity.layers import Layer, inspect
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.u8s8 import activations, quantize
from resnet_serve.errors import ConversionError
from resnet_serve.parity.numerics import EXACT_DB
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights

NET = """(float[N,3,6,6] image) => (float[N,4] logits) {
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w1, b1)
    [relu] b = Relu (a)
    [conv2] c = Conv <pads = [1,1,1,1]> (b, w2)
    [add] d = Add (c, b)
    [pool] e = GlobalAveragePool (d)
    [flatten] f = Flatten (e)
    [fc] logits = Gemm <transB = 1> (f, w3, b3)
}"""


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.5 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


@pytest.fixture
def net(graph: Callable[..., ir.Model]) -> ir.Model:
    return graph(
        NET,
        w1=normal(5, 3, 3, 3),
        b1=normal(5, seed=1),
        w2=normal(5, 5, 3, 3, seed=2),
        w3=normal(4, 5, seed=3),
        b3=normal(4, seed=4),
    )


def copied(model: ir.Model) -> ir.Model:
    return ir.from_proto(ir.to_proto(model))


def converted(model: ir.Model, precision: str, batch: NDArray[Any]) -> ir.Model:
    copy = model.clone()
    if precision in ("fp16", "bf16"):
        halve(copy, precision)
    elif precision.startswith("symmetric "):
        found = observe(copy, s8s8.activations(copy), [batch], threads=1)
        s8s8.quantize(copy, found.ranges, precision.removeprefix("symmetric "))
        halve(copy)
    elif precision == "int8":
        ranges = observe(copy, activations(copy), [batch], threads=1).ranges
        quantize(copy, ranges, largest_weight=LARGEST)
    return copy


def batches() -> list[NDArray[np.float32]]:
    return [3 * normal(n, 3, 6, 6, seed=n) for n in (4, 2, 3)]


def test_std_is_numpys_before_the_relu_over_all_batches(net: ir.Model) -> None:
    found = inspect(net, net.clone(), batches(), threads=1)
    assert [layer.name for layer in found] == ["conv1", "conv2", "fc"]
    with onnxruntime_runtime.load(
        serialize_with_outputs(net, ["a", "c", "logits"]), threads=1
    ) as session:
        answers = [session.run_all(batch) for batch in batches()]
    for layer, tensor in zip(found, ("a", "c", "logits"), strict=True):
        everything = np.concatenate([a[tensor] for a in answers]).astype(np.float64)
        assert layer.std == pytest.approx(everything.std(), rel=1e-9)


def test_a_large_mean_does_not_drown_the_spread(graph: Callable[..., ir.Model]) -> None:
    net = graph(
        "(float[N,2] image) => (float[N,1] y) { [fc] y = Gemm <transB = 1> (image, w, b) }",
        w=np.array([[1e-3, 0]], np.float32),
        b=np.array([100], np.float32),
    )
    batch = np.stack([np.arange(50), np.arange(50)], 1).astype(np.float32)
    (layer,) = inspect(net, net.clone(), [batch], threads=1)
    assert layer.std == pytest.approx(np.arange(50).std() * 1e-3, rel=1e-2)


def test_the_same_graph_loses_nothing(net: ir.Model) -> None:
    found = inspect(net, net.clone(), batches(), threads=1)
    assert {layer.sqnr_db for layer in found} == {EXACT_DB}


@pytest.mark.parametrize(
    ("precision", "low", "high"),
    [
        ("fp16", 55, 90),
        ("bf16", 40, 60),
        ("int8", 25, 60),
        ("symmetric int8", 25, 60),
        ("symmetric fp8", 20, 90),
    ],
)
def test_a_precision_loses_what_it_must(
    net: ir.Model, precision: str, low: float, high: float
) -> None:
    batch = np.concatenate(batches())
    found = inspect(net, converted(net, precision, batch), batches(), threads=1)
    assert all(low < layer.sqnr_db < high for layer in found), found


@pytest.mark.parametrize(
    ("precision", "raw"),
    # Both inputs of a floating and of either integer graph, one of those that are made alike.
    [
        *(("fp32", True), ("fp16", True), ("fp16", False), ("bf16", False)),
        *(("int8", True), ("int8", False), ("symmetric int8", True), ("symmetric int8", False)),
        ("symmetric fp8", True),
    ],
)
def test_noise_in_one_layer_makes_exactly_that_layer_the_worst(
    raw: bool,
    precision: str,
    folded_digits: ir.Model,
    digits: Weights,
    digits_pixels: NDArray[np.uint8],
) -> None:
    batch: NDArray[Any] = digits_pixels[:8]
    if raw:
        take_pixels(folded_digits, digits.preprocessing)
    else:
        batch = digits.preprocessing.normalize(digits_pixels[:8])
    sound = converted(folded_digits, precision, batch)
    before = inspect(folded_digits, sound, [batch], threads=1)
    for culprit in ("conv1", "layer1.1.conv2", "layer3.0.conv1", "fc"):
        model = sound.clone()
        initializers = model.graph.initializers
        name = next(n for n in (f"{culprit}.weight.q", f"{culprit}.weight") if n in initializers)
        weight = initializers[name]
        exact = weight.const_value.numpy()
        noise = np.random.default_rng(0).normal(0, exact.astype(float).std(), exact.shape)
        noisy = np.clip(exact.astype(float) + noise, -127, 127).astype(exact.dtype)
        weight.const_value = ir.tensor(noisy, name=name)
        after = inspect(folded_digits, model, [batch], threads=1)
        changed = [b.name for a, b in zip(before, after, strict=True) if a != b]
        assert changed == [culprit]
        assert min(after, key=lambda layer: layer.sqnr_db).name == culprit


def test_not_a_number_is_the_worst_of_all(net: ir.Model) -> None:
    model = net.clone()
    broken = model.graph.initializers["w2"].const_value.numpy().copy()
    broken[0] = np.nan
    model.graph.initializers["w2"].const_value = ir.tensor(broken, name="w2")
    found = inspect(net, model, batches(), threads=1)
    worst = min(found, key=lambda layer: layer.sqnr_db)
    assert (worst.name, worst.sqnr_db) == ("conv2", -np.inf)


def test_the_graphs_themselves_are_untouched(net: ir.Model) -> None:
    model = converted(net, "int8", np.concatenate(batches()))
    before = serialize(net), serialize(model)
    inspect(net, model, batches(), threads=1)
    assert (serialize(net), serialize(model)) == before


def test_a_graph_that_lost_a_layer_is_refused(net: ir.Model) -> None:
    model = net.clone()
    conv2 = next(node for node in model.graph if node.name == "conv2")
    conv2.outputs[0].name = "other"
    with pytest.raises(ConversionError, match="lost its activation") as refusal:
        inspect(net, model, batches(), threads=1)
    assert refusal.value.where == "conv2"


def test_to_json() -> None:
    assert json.loads(json.dumps(Layer("fc", 1.5, 40.0).to_json())) == {
        "name": "fc",
        "std": 1.5,
        "sqnr_db": 40.0,
    }
