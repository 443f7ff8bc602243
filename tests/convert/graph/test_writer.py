"""A program as a graph: names of PyTorch's modules, its parameters, one input, named outputs."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import torch
from torch import nn

from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_convert.graph.writer import INPUT, Writer
from resnet_serve.errors import ConversionError


def written(network: nn.Module) -> ir.Model:
    """The graph of a network over images [3,4,4]."""
    program = torch.export.export(
        network.eval(),
        (torch.zeros(2, 3, 4, 4),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    return Writer(program).model()


class Block(nn.Module):
    """One ReLU used twice, an addition in forward(), and a parameter that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.relu = nn.ReLU()
        self.unread = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x) + self.relu(x))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.fc = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.block(x).mean((2, 3)))


class Maps(Head):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.block(x)
        return {"maps": maps, "pooled": maps.mean((2, 3))}


def test_operators_and_constants_have_the_names_of_pytorch() -> None:
    network = Head()
    graph = written(network).graph
    assert [(node.op_type, node.name) for node in graph] == [
        ("Conv", "block.conv"),
        ("Relu", "block.relu"),
        ("Add", "block.add"),
        ("Relu", "block.relu_1"),
        ("GlobalAveragePool", "mean"),
        ("Flatten", "mean_1"),
        ("Gemm", "fc"),
    ]
    assert list(graph.initializers) == ["block.conv.weight", "fc.weight", "fc.bias"]
    assert (array_of(graph.initializers["fc.bias"]) == network.fc.bias.detach().numpy()).all()


def test_there_is_one_input_and_the_logits_are_the_output() -> None:
    model = written(Head())
    (image,), (logits,) = model.graph.inputs, model.graph.outputs
    assert (image.name, image.dtype, list(image.shape or ())[1:]) == (
        INPUT,
        ir.DataType.FLOAT,
        [3, 4, 4],
    )
    assert logits.name == "logits"
    assert [str(side) for side in logits.shape or ()] == ["batch", "5"]
    assert (model.graph.opset_imports[""], model.ir_version) == (OPSET, IR_VERSION)
    assert model.producer_name == "resnet-serve"


def test_a_dict_names_its_outputs() -> None:
    outputs = written(Maps()).graph.outputs
    assert [(value.name, [str(side) for side in value.shape or ()]) for value in outputs] == [
        ("maps", ["batch", "3", "4", "4"]),
        ("pooled", ["batch", "3"]),
    ]


def test_the_network_keeps_its_own_weights() -> None:
    network = Head()
    graph = written(network).graph
    with torch.no_grad():
        network.fc.bias += 1
    assert (array_of(graph.initializers["fc.bias"]) != network.fc.bias.detach().numpy()).all()


def test_an_operator_without_a_row_is_refused_by_its_module() -> None:
    network = Head()
    network.block.relu = nn.Softshrink()
    with pytest.raises(ConversionError) as refusal:
        written(network)
    assert refusal.value.where == "block.relu"
    assert "cannot be traced to ONNX: the operator aten::softshrink" in str(refusal.value)
    assert "docs/own-networks.md" in str(refusal.value.remedy)
