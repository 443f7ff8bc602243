"""Any ONNX file: read with its data, and its layers named as in PyTorch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from quantized import Graphs, symmetric_residual
from torch import nn

from resnet_convert.lint import onnx_file
from resnet_convert.lint.tensorrt import RULES
from resnet_serve.errors import InputFileError


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.conv1(x))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.layer1 = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer1(self.stem(x)).mean((2, 3)))


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file of torch.onnx, with the names that it gives nodes."""
    path = tmp_path / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Network().eval(), (torch.zeros(1, 3, 8, 8),), str(path), dynamo=False)
    return path


def test_layers_of_torch_onnx_have_their_names_in_pytorch(exported: Path) -> None:
    file = onnx_file.read(exported)
    found = {file.name(str(n.name)) for n in file.model.graph if n.op_type in ("Conv", "Gemm")}
    assert found == {"stem", "layer1.0.conv1", "layer1.1.conv1", "fc"}


def test_scopes_name_the_layers_of_the_newer_exporter(exported: Path) -> None:
    model = ir.load(exported)
    layer = next(node for node in model.graph if node.op_type == "Gemm")
    layer.name = "node_linear"
    layer.metadata_props["pkg.torch.onnx.name_scopes"] = "['', 'head', 'head.fc', 'linear']"
    ir.save(model, exported)
    assert onnx_file.read(exported).name("node_linear") == "head.fc"


def test_our_own_names_stay(graph: Graphs, tmp_path: Path) -> None:
    path = tmp_path / "ours.onnx"
    ir.save(symmetric_residual(graph), path)
    file = onnx_file.read(path)
    assert file.name("block_conv1") == "block_conv1"
    assert file.data == path.read_bytes()
    assert file.check(RULES) == ()


def test_a_violation_has_the_name_in_pytorch(exported: Path) -> None:
    model = ir.load(exported)
    bias = next(v for name, v in model.graph.initializers.items() if name == "stem.bias")
    bias.const_value = ir.tensor(np.full(4, np.nan, np.float32), name="stem.bias")
    ir.save(model, exported)
    broken = {(v.rule, v.layer) for v in onnx_file.read(exported).check(RULES)}
    assert ("T15", "stem") in broken


def test_constants_in_nodes_are_constants(graph: Graphs, tmp_path: Path) -> None:
    """Scales as Constant nodes, as exporters write them, are not computed."""
    model = symmetric_residual(graph)
    value = model.graph.initializers["b.scale"]
    held = ir.node("Constant", [], {"value": ir.AttrTensor("value", value.const_value)})
    held.outputs[0].name = "held"
    model.graph.insert_before(model.graph[0], held)
    for reader, index in [(use.node, use.idx) for use in value.uses()]:
        reader.replace_input_with(index, held.outputs[0])
    path = tmp_path / "held.onnx"
    ir.save(model, path)
    assert onnx_file.read(path).check(RULES) == ()


def test_a_node_without_a_name_has_that_of_its_output(graph: Graphs, tmp_path: Path) -> None:
    proto = ir.to_proto(graph("(float[N,3] x) => (float[N,3] y) { y = Det (x) }"))
    path = tmp_path / "unnamed.onnx"
    onnx.save(proto, path)
    assert [each.layer for each in onnx_file.read(path).check(RULES)] == ["Det of y"]


def test_external_data_is_part_of_the_bytes(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "apart.onnx"
    proto = onnx.load(exported)
    onnx.save(proto, path, save_as_external_data=True, location="apart.bin", size_threshold=0)
    file = onnx_file.read(path)
    assert "T12" in {each.rule for each in file.check(RULES)}
    assert onnx.load_model_from_string(file.data).graph.initializer[0].raw_data
    (tmp_path / "apart.bin").unlink()
    with pytest.raises(InputFileError, match=r"apart\.bin") as refusal:
        onnx_file.read(path)
    assert refusal.value.exit_code == 5


@pytest.mark.parametrize("content", [b"", b"no ONNX", b"\x0a\x03abc"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="is not an ONNX model"):
        onnx_file.read(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        onnx_file.read(tmp_path / "none.onnx")
