"""An ONNX file of anybody's: its graph as the rules read it, and its layers in PyTorch's names.

    "/layer1/layer1.0/conv1/Conv", or node_conv2d_3 with its scopes ─► layer1.0.conv1

Reference: names of nodes and `pkg.torch.onnx.name_scopes`, as torch.onnx writes them.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.lint.rules import RuleSet, Violation, check
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    from google.protobuf import message as protobuf
    from onnx_ir.passes import common as passes
else:
    onnx = optional("onnx", extra="convert")
    ir = optional("onnx_ir", extra="convert")
    protobuf = optional("google.protobuf.message", extra="convert")
    passes = optional("onnx_ir.passes.common", extra="convert")

_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class OnnxFile:
    """A file: its graph, its bytes with all data in them, and by node its name in PyTorch."""

    model: ir.Model
    data: bytes
    names: Mapping[str, str]

    def check(self, rules: RuleSet) -> tuple[Violation, ...]:
        """The breaches of the rules, each once, with the layers' names of PyTorch."""
        found = check(self.model, rules)
        return tuple(dict.fromkeys(replace(each, layer=self.name(each.layer)) for each in found))

    def name(self, node: str) -> str:
        """PyTorch's name of the layer that a node is, or the node's own."""
        return self.names.get(node, node)


def read(path: Path) -> OnnxFile:
    """Read a file; constants that its nodes hold become initializers in the graph.

    Raises `InputFileError` for a file that is no ONNX model, and for missing external data.
    """
    try:
        data = path.read_bytes()
        proto = onnx.load_model_from_string(data)
        if not proto.graph.node:
            raise ValueError("it has no operators")
        model = ir.load(path)
        if any(isinstance(v.const_value, ir.ExternalTensor) for v in _constants(model)):
            onnx.load_external_data_for_model(proto, str(path.parent))
            data = bytes(proto.SerializeToString())
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    except (ValueError, onnx.checker.ValidationError, protobuf.DecodeError) as error:
        raise InputFileError(
            f"is not an ONNX model that can be read ({' '.join(str(error).split())})",
            where=path,
            remedy="Give the .onnx file of a network, with its external data beside it.",
        ) from error
    for node in model.graph:
        node.name = node.name or f"{node.op_type} of {node.outputs[0].name}"
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return OnnxFile(model, data, {str(node.name): _module(node) for node in model.graph})


def _constants(model: ir.Model) -> list[ir.Value]:
    return list(model.graph.initializers.values())


def _module(node: ir.Node) -> str:
    """The module of the network that a node comes from, or the node's own name."""
    name = str(node.name)
    scopes = node.metadata_props.get(_SCOPES)
    if scopes is not None:  # "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']"
        listed = ast.literal_eval(scopes)
        return str(listed[-2]) if len(listed) > 1 and listed[-2] else name
    if not name.startswith("/"):
        return name
    module = ""
    for part in name.strip("/").split("/")[:-1]:
        module = part if not module or part.startswith(f"{module}.") else f"{module}.{part}"
    return module or name
