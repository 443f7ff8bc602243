"""Writer: an exported PyTorch program as an ONNX graph, call by call.

Each ATen call becomes the ONNX operator of `operators.ROWS`. The graph is written here, not by
PyTorch's exporter, because the exporters leave shape arithmetic, shared initializers or wrong
results in ResNets (pytorch#157621, #166797, #169178), and because every node then has the name of
its PyTorch module: `layer3.4.conv2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.operators import ROWS, Batch
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.runtimes import LOGITS

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch
else:
    ir = optional("onnx_ir", extra="convert")
    torch = optional("torch", extra="convert")

INPUT = "image"
# Their result may be a view of their argument's memory: overwriting one overwrites the other.
_VIEWS = frozenset(
    {
        "aten::slice",
        "aten::flatten",
        "aten::view",
        "aten::reshape",
        "aten::squeeze",
        "aten::adaptive_avg_pool2d",
        "aten::dropout",
        "aten::contiguous",
        "aten::detach",
    }
)
# The tracer's name for the module of an operator that belongs to none, such as x.size(0).
_NO_MODULE = "_empty_nn_module_stack_from_metadata_hook"


class Writer:
    """Writes one exported program as an ONNX graph, call by call.

    It is the `operators.Emitter` of the rows that it calls.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self._program = program
        signature = program.graph_signature
        self._parameters = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self._order = {node: position for position, node in enumerate(program.graph.nodes)}
        self._batch = ""
        self._values: dict[str, Any] = {}
        self._nodes: list[ir.Node] = []
        self._initializers: list[ir.Value] = []
        self._node_names: set[str] = set()
        self._value_names = {INPUT}
        self._name = ""

    def model(self) -> ir.Model:
        """The program as a model with PyTorch's names; to be called once.

        Raises `ConversionError` naming the module for an operator or argument that has no ONNX
        form here, and for a program that has not one image as input and named tensors or logits as
        outputs.
        """
        entry, results = self._ends()
        self._value_names.update(results)
        image = ir.Value(
            name=INPUT, shape=self._shape(entry), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self._values[entry.name] = image
        tensors = {**self._program.state_dict, **self._program.constants}
        for node in self._program.graph.nodes:
            if node.name in self._parameters and node.users:
                name = self._parameters[node.name]
                array = tensors[name].detach().cpu().contiguous().numpy()
                self._values[node.name] = self._initializer(name, array)
            elif node.op == "call_function":
                self._values[node.name] = self._call(node)
        outputs = []
        for name, result in results.items():
            outputs.append(self._values[result.name])
            if outputs[-1].producer() is None:
                raise ConversionError("the network computes nothing", where="trace")
            outputs[-1].name = name
        graph = ir.Graph(
            [image],
            outputs,
            nodes=self._nodes,
            initializers=self._initializers,
            opset_imports={"": OPSET},
            name="resnet",
        )
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="resnet-serve")

    def _ends(self) -> tuple[torch.fx.Node, dict[str, torch.fx.Node]]:
        """The nodes of the image and, by name, of the outputs.

        A dict names its tensors; a single tensor is the logits, [batch, classes].
        """
        inputs = [
            n for n in self._order if n.op == "placeholder" and n.name not in self._parameters
        ]
        outputs = next(node.args[0] for node in self._order if node.op == "output")
        structure = self._program.call_spec.out_spec
        named = structure is not None and structure.type is dict
        names = list(map(str, structure.context)) if named else [LOGITS]
        if len(inputs) != 1 or len(outputs) != len(names) or not names:
            raise ConversionError("needs one input and one output", where="trace")
        if not all(isinstance(each, torch.fx.Node) for each in outputs):
            raise ConversionError("the network computes nothing", where="trace")
        self._batch = str(inputs[0].meta["val"].shape[0])
        for each in outputs:
            sides = [str(s).replace(self._batch, "batch") for s in each.meta["val"].shape]
            if each is not inputs[0] and (sides[:1] != ["batch"] or not (named or len(sides) == 2)):
                raise ConversionError(
                    f"the network returns [{', '.join(sides)}]",
                    where="trace",
                    remedy="A classifier returns logits, [batch, classes].",
                )
        return inputs[0], dict(zip(names, outputs, strict=True))

    def _call(self, node: Any) -> Any:
        operator = _operator(node)
        name = operator.removesuffix("_")
        self._name = _module_name(node, name.partition("::")[2])
        row = ROWS.get(name)
        if row is None:
            raise self.refusal(f"the operator {name}")
        schema = node.target._schema
        given = dict(zip((a.name for a in schema.arguments), node.args, strict=False))
        arguments = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        arguments |= given | node.kwargs
        values = {key: self._value(item) for key, item in arguments.items()}
        if any(isinstance(value, Batch) for value in values.values()):
            raise self.refusal("the number of images in a computation")
        value = row(self, values)
        if operator.endswith("_"):
            self._check_overwriting(node)
        if isinstance(value, Batch):
            return value
        if value.producer() is not None and value.shape is None:
            value.shape = self._shape(node)
        return value

    def _check_overwriting(self, node: Any) -> None:
        """Refuse to overwrite memory that is later read under another name.

        Under its own name it is harmless: the tracer makes later readers read the result.
        """
        overwritten = node.args[0]
        for other in _sharing_memory(overwritten):
            later = any(self._order[user] > self._order[node] for user in other.users)
            if later and other not in (overwritten, node):
                raise self.refusal("it overwrites a tensor whose view is read afterwards")

    def _value(self, argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return self._values[argument.name]
        if isinstance(argument, list | tuple):
            return [self._value(item) for item in argument]
        return argument

    def emit(self, op_type: str, inputs: Sequence[Any], /, **attributes: Any) -> ir.Value:
        """Append a node for the current call; it and its output get the module's name."""
        name = _unique(self._name, self._node_names)
        output = ir.Value(
            name=_unique(name, self._value_names), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self._nodes.append(ir.node(op_type, inputs, attributes, outputs=[output], name=name))
        return output

    def constant(self, suffix: str, value: NDArray[Any]) -> ir.Value:
        """Add an initializer of the current call, named `<module>.<suffix>`."""
        return self._initializer(f"{self._name}.{suffix}", value)

    def refusal(self, why: str) -> ConversionError:
        """The error to raise for a call that cannot be written: names the module, says why."""
        return ConversionError(
            f"cannot be traced to ONNX: {why}",
            where=self._name,
            remedy=f"The tracer knows {', '.join(sorted(n[6:] for n in ROWS))}.",
        )

    def _initializer(self, wanted: str, array: NDArray[Any]) -> ir.Value:
        name = _unique(wanted, self._value_names)
        tensor = ir.tensor(np.array(array), name=name)
        value = ir.Value(
            name=name,
            const_value=tensor,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
        )
        self._initializers.append(value)
        return value

    def _shape(self, node: torch.fx.Node) -> ir.Shape:
        """The shape of a call's result; None for a side that is computed from the batch."""
        names = {self._batch: "batch"}
        sides = node.meta["val"].shape
        return ir.Shape([s if isinstance(s, int) else names.get(str(s)) for s in sides])


def _operator(node: torch.fx.Node) -> str:
    """`aten::conv2d`; an in-place operator ends in an underscore."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # arithmetic on sizes
        return f"python::{getattr(node.target, '__name__', node.target)}"
    return str(schema.name)


def _sharing_memory(node: Any) -> list[Any]:
    """The nodes that may share memory with this one: the tensor it views, and all its views."""
    while _operator(node) in _VIEWS:
        node = node.args[0]
    names = [node]
    for name in names:  # grows as views of views are found
        names += [user for user in name.users if _operator(user) in _VIEWS]
    return names


def _unique(wanted: str, used: set[str]) -> str:
    """`wanted`, or the first of `wanted_1`, `wanted_2`, … that is not used; adds it to `used`."""
    name, number = wanted, 0
    while name in used:
        number += 1
        name = f"{wanted}_{number}"
    used.add(name)
    return name


def _module_name(node: torch.fx.Node, operator: str) -> str:
    """`layer1.0.conv1` for a layer's own operator, `layer1.0.add` for one written in forward()."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack or stack[-1][0] == _NO_MODULE:
        return operator
    path, kind = stack[-1]
    if "torch.nn.modules" in str(kind):
        return str(path)
    return f"{path}.{operator}" if path else operator
