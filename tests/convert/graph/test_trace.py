"""The tracer on the whole family and on networks written to break it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from small_classifier import SIZE, Classifier
from torch import Tensor, nn
from torch.nn import functional

from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.trace import Trace, trace
from resnet_serve.architectures import Architecture
from resnet_serve.weights import Weights


def test_operators_are_those_of_the_table_and_no_others(
    family: tuple[Architecture, nn.Module, Trace],
) -> None:
    row, _, found = family
    blocks, per_block = sum(row.depths), 3 if row.block == "bottleneck" else 2
    stages = len(row.depths)
    expected = {
        "Conv": row.convolutions,
        "BatchNormalization": row.convolutions - row.projections * row.preactivation,
        "Relu": (3 if row.stem == "deep" else 1) + per_block * blocks,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
    }
    if row.shortcut != "none":
        expected["Add"] = blocks
    if row.family == "ImageNet":
        expected["MaxPool"] = 1
    if row.shortcut == "A":  # a slice of rows, a slice of columns, and zero channels, each time
        expected |= {"Slice": 2 * (stages - 1), "Pad": stages - 1}
    if row.shortcut == "D":
        expected["AveragePool"] = stages - 1
    assert found.operators == expected


def test_nodes_are_named_as_the_modules(
    family: tuple[Architecture, nn.Module, Trace],
) -> None:
    _, network, found = family
    kinds = {"Conv": nn.Conv2d, "BatchNormalization": nn.BatchNorm2d, "Gemm": nn.Linear}
    for op_type, kind in kinds.items():
        named = [node.name for node in found.model.graph if node.op_type == op_type]
        assert set(named) == {n for n, m in network.named_modules() if isinstance(m, kind)}
    names = [node.name for node in found.model.graph]
    assert len(names) == len(set(names))
    assert "layer3.1.conv2" in names


def test_weights_are_those_of_the_network_under_their_own_names(
    family: tuple[Architecture, nn.Module, Trace],
) -> None:
    _, network, found = family
    state = {n: t for n, t in network.state_dict().items() if "num_batches" not in n}
    constants = found.model.graph.initializers
    floats = {n for n, value in constants.items() if not re.search(r"(slice|pad)[.\d_]", n)}
    assert floats == set(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(constants[name].const_value.numpy(), tensor.numpy())


def test_contract_of_the_file(family: tuple[Architecture, nn.Module, Trace]) -> None:
    row, _, found = family
    proto = onnx.load_from_string(serialize(found.model))
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version == 8
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
    assert not any(onnx.external_data_helper.uses_external_data(t) for t in proto.graph.initializer)
    (image,), (logits,) = proto.graph.input, proto.graph.output
    assert (image.name, sides(image)) == ("image", ["batch", *image_size(row)])
    assert (logits.name, sides(logits)) == ("logits", ["batch", row.classes])
    symbols = {
        d.dim_param
        for value in (*proto.graph.value_info, image, logits)
        for d in value.type.tensor_type.shape.dim
        if d.dim_param
    }
    assert symbols == {"batch"}


def image_size(row: Architecture) -> tuple[int, int, int]:
    return (3, 64, 64) if row.family == "ImageNet" else (3, 32, 32)


def sides(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_it_was_compared_with_pytorch_at_two_batch_sizes(
    family: tuple[Architecture, nn.Module, Trace],
) -> None:
    numbers = family[2].numerics
    assert {size: result.images for size, result in numbers.items()} == {1: 1, 3: 3}
    assert all(result.relative < 1e-5 for result in numbers.values())


def test_any_other_batch_size_runs_too(digits: Weights, run: Callable[..., Any]) -> None:
    network = digits.network()
    model = trace(network, (3, 32, 32)).model
    for count in (1, 2, 7):
        images = torch.randn(count, 3, 32, 32)
        with torch.inference_mode():
            expected = network(images).numpy()
        np.testing.assert_allclose(run(model, images.numpy()), expected, atol=1e-4)


def overwritten_then_read(_: Any, x: Tensor) -> Tensor:
    functional.relu_(x)
    return x


def overwritten_twice(_: Any, x: Tensor) -> Tensor:
    y = functional.relu_(x)
    y += 1
    y *= 2
    return x + y


def copied_then_overwritten(_: Any, x: Tensor) -> Tensor:
    y = x.clone()
    y.relu_()
    return x


def view_overwritten_while_nobody_reads_its_base(_: Any, x: Tensor) -> Tensor:
    return functional.relu_(functional.dropout(x, training=False))


@pytest.mark.parametrize(
    "body",
    [
        overwritten_then_read,
        overwritten_twice,
        copied_then_overwritten,
        view_overwritten_while_nobody_reads_its_base,
    ],
)
def test_overwriting_means_what_it_means_in_pytorch(body: Callable[..., Tensor]) -> None:
    trace(Classifier(body), SIZE)  # verifies against PyTorch itself


def test_names_that_collide_are_told_apart() -> None:
    network = Classifier(
        lambda m, x: m.logits(m.image(m.relu_1(m.relu(m.relu(x))))),
        relu=nn.ReLU(),
        relu_1=nn.ReLU(),
        image=nn.ReLU(),
        logits=nn.Conv2d(4, 4, 1),
    )
    graph = trace(network, SIZE).model.graph
    names = [str(node.name) for node in graph]
    assert len(set(names)) == len(names)
    assert {"image", "logits", "relu", "relu_1"} <= set(names)
    values = [value.name for node in graph for value in node.outputs]
    assert len({*values, *graph.initializers, "image"}) == len(values) + len(graph.initializers) + 1


def test_constants_and_buffers_become_initializers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("factor", torch.rand(4, 1, 1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.factor + torch.tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]])

    model = trace(Classifier(lambda m, x: m.scale(x), scale=Scaled()), SIZE).model
    assert "scale.factor" in model.graph.initializers


def test_a_network_in_training_mode_is_traced_in_evaluation_mode() -> None:
    network = Classifier(lambda m, x: m.drop(m.bn(x)), bn=nn.BatchNorm2d(4), drop=nn.Dropout(0.9))
    assert trace(network.train(), SIZE).operators["BatchNormalization"] == 1
    assert not network.training


def test_serialized_bytes_are_the_same_every_time(digits: Weights) -> None:
    first, second = (trace(digits.network(), (3, 32, 32)).model for _ in range(2))
    assert serialize(first) == serialize(second)
    assert isinstance(ir.from_proto(onnx.load_from_string(serialize(first))), ir.Model)
