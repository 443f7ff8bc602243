"""The emulated graph against PyTorch with every rounding written out, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from quantized import Graphs, node, operators, residual, symmetric_residual
from torch.nn import functional

from resnet_convert.graph.emulate import emulate, emulated
from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import assign
from resnet_convert.graph.model_file import serialize
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

Array = NDArray[np.float32]
Rounding = Callable[[Array], Array]
CHANNELS = 16


def rounding(precision: str) -> Rounding:
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return lambda x: torch.from_numpy(np.asarray(x, np.float32)).to(dtype).float().numpy()


def coarse(*shape: int, seed: int, step: float = 0.25) -> Array:
    """Few multiples of a power of two: their FP32 sums are exact in whatever order."""
    random = np.random.default_rng(seed)
    return (step * random.integers(-4, 5, shape)).astype(np.float32)


def made_coarse(model: ir.Model) -> ir.Model:
    for index, value in enumerate(model.graph.initializers.values()):
        if value.dtype == ir.DataType.FLOAT and str(value.name)[0] in "wb":
            step = 2.0**-7 if str(value.name)[0] == "w" else 2.0**-3
            assign(value, coarse(*value.shape.numpy(), seed=index, step=step))
    return model


def evaluate(model: ir.Model, image: Array, rounded: Rounding) -> dict[str, Array]:
    """The typed graph by its operators' definitions, in FP32, rounding every result."""
    values: dict[str, Array] = {"image": image}
    for name, value in model.graph.initializers.items():
        values[name] = value.const_value.numpy().astype(np.float32)
    for n in model.graph:
        given = [values[str(value.name)] for value in n.inputs]
        if n.op_type == "QuantizeLinear":
            values[str(n.outputs[0].name)] = on_grid(given[0] / given[1], n)
            continue
        values[str(n.outputs[0].name)] = rounded(operator(n, given))
    return values


def on_grid(steps: Array, n: ir.Node) -> Array:
    if n.inputs[2].dtype == ir.DataType.INT8:
        return np.clip(np.rint(steps), -128, 127)
    dtype = ir.DataType.FLOAT8E4M3FN.numpy()
    return np.clip(steps, -448, 448).astype(dtype).astype(np.float32)


def operator(n: ir.Node, given: list[Array]) -> Array:
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in given]
    x = tensors[0]
    if n.op_type == "DequantizeLinear":
        scale = given[1].reshape((-1,) + (1,) * (x.ndim - 1)) if given[1].ndim else given[1]
        return given[0] * scale
    if n.op_type == "Conv":
        return functional.conv2d(*tensors, padding=n.attributes["pads"].as_ints()[0]).numpy()
    if n.op_type == "Gemm":
        return functional.linear(*tensors).numpy()
    simple: dict[str, Callable[[], torch.Tensor]] = {
        "Relu": x.relu,
        "Add": lambda: x + tensors[1],
        "GlobalAveragePool": lambda: x.mean((2, 3), keepdim=True),
        "Flatten": lambda: x.flatten(1),
        "Cast": lambda: x,
    }
    return simple[n.op_type]().numpy()


def everything(model: ir.Model, image: Array) -> dict[str, Array]:
    """Every floating tensor of the emulated graph, by its name in the typed one."""
    copy = emulate(model)
    present = {value.name for value in copy.graph.outputs}
    names = {str(n.outputs[0].name) for n in model.graph if n.op_type != "QuantizeLinear"}
    for n in copy.graph:
        if str(n.outputs[0].name) in names - present:
            copy.graph.outputs.append(n.outputs[0])
    onnx.checker.check_model(ir.to_proto(copy), full_check=True)
    with onnxruntime_runtime.load(serialize(copy), threads=1) as session:
        return session.run_all(image)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_it_rounds_where_the_typed_graph_rounds_to_the_bit(graph: Graphs, precision: str) -> None:
    # 4 by 4 pixels, so that the mean is a division by a power of two.
    model = made_coarse(residual(graph, CHANNELS, side=4))
    halve(model, precision)
    image = coarse(3, CHANNELS, 4, 4, seed=1)
    expected = evaluate(model, image, rounding(precision))
    found = everything(model, image)
    assert set(found) == {str(n.outputs[0].name) for n in model.graph}
    for name, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    # The test would not see a missing rounding if nothing had to be rounded.
    exact = evaluate(model, image, lambda x: np.asarray(x, np.float32))
    assert not np.array_equal(exact["logits"], expected["logits"])


@pytest.mark.parametrize("number", ["int8", "fp8"])
def test_quantized_graphs_compute_what_their_operators_say(graph: Graphs, number: str) -> None:
    model = symmetric_residual(graph, number, CHANNELS)
    halve(model)
    image = coarse(4, CHANNELS, 6, 6, seed=5)
    expected = evaluate(model, image, rounding("fp16"))
    found = everything(model, image)
    # Sums in another order may fall to the other side of a tie, here and there.
    for name in ("image.dq", "a", "b.dq", "f", "g.dq", "k.dq", "m.dq", "logits"):
        same = numerics.compare(expected[name], found[name]).sqnr_db
        assert same > 50, (name, same)
    # The negative half is gone although nothing is cut off by the grid.
    assert (found["b.dq"] >= 0).all()
    assert (found["a"] < 0).any()


def test_onnx_runtime_alone_would_not_round(graph: Graphs) -> None:
    """Why this module exists: the day this fails, FP16 graphs need no emulation."""
    model = made_coarse(residual(graph, CHANNELS))
    halve(model)
    image = coarse(3, CHANNELS, 6, 6, seed=1)
    with (
        onnxruntime_runtime.load(serialize(model), threads=1) as alone,
        onnxruntime_runtime.load(emulated(model), threads=1) as rounding_everywhere,
    ):
        assert not np.array_equal(alone.run(image), rounding_everywhere.run(image))


def test_the_roundings_survive_the_runtimes_optimizer(graph: Graphs) -> None:
    model = residual(graph, CHANNELS)
    halve(model, "bf16")
    compiled = onnxruntime_runtime.compiled(emulated(model)).operators
    results = [n for n in model.graph if n.op_type != "Flatten"]
    # Down and up behind each; the two Casts of the graph itself round nothing more.
    assert compiled["Cast"] >= 2 * (len(results) - 1)


def test_other_graphs_are_copied_as_they_are(graph: Graphs) -> None:
    model = residual(graph)
    assert emulated(model) == serialize(model)
    quantized = symmetric_residual(graph)
    assert emulated(quantized) == serialize(quantized)


def test_the_callers_graph_is_untouched(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    halve(model)
    before = serialize(model)
    emulate(model)
    assert serialize(model) == before
    assert "QuantizeLinear" in operators(emulate(model))
    assert node(model, "b.q").inputs[0].dtype == ir.DataType.FLOAT16


def test_overflow_becomes_infinite_as_in_fp16(graph: Graphs) -> None:
    model = graph(
        "(float[N,1] image) => (float[N,1] y) { [fc] y = Gemm <transB = 1> (image, w) }",
        w=np.array([[60000.0]], np.float32),
    )
    halve(model)
    with onnxruntime_runtime.load(emulated(model), threads=1) as session:
        answer: NDArray[Any] = session.run(np.array([[1.0], [2.0]], np.float32))
    assert answer.tolist() == [[60000.0], [np.inf]]
