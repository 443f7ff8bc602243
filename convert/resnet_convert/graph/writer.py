"""Writer: an exported PyTorch program as an ONNX graph, call by call.

Each ATen call becomes the ONNX operator of `operators.ROWS`. The graph is written here, not by
PyTorch's exporter, because the exporters leave shape arithmetic, shared initializers or wrong
results in ResNets (pytorch#157621, #166797, #169178), and because every node then has the name of
its PyTorch module: `layer3.4.conv2`. Calls that depend on constants only are computed here, once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.operators import ROWS
from resnet_convert.graph.operators.emitter import Batch, Side
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_convert.graph.program import (
    aten_name,
    is_constant,
    module_name,
    parameters,
    schema_name,
    sharing_memory,
)
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
_MULTIPLE = re.compile(r"(\d+\*)?batch")
_SIZES: Mapping[str, Callable[[int, int], int]] = MappingProxyType(
    {"python::mul": operator.mul, "python::floordiv": operator.floordiv}
)


class Writer:
    """Writes one exported program as an ONNX graph, call by call.

    It is the `operators.Emitter` of the rows that it calls.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self._program = program
        self._parameters = parameters(program)
        self._constants: dict[str, Any] = {}
        self._constant_names: dict[str, str] = {}
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
            name=INPUT, shape=self._shape(entry.meta["val"]), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self._values[entry.name] = image
        tensors = {**self._program.state_dict, **self._program.constants}
        for node in self._program.graph.nodes:
            if node.name in self._parameters and node.users:
                self._constants[node.name] = tensors[self._parameters[node.name]].detach().cpu()
                self._constant_names[node.name] = self._parameters[node.name]
            elif node.op == "call_function" and (node.users or schema_name(node).endswith("_")):
                self._values[node.name] = self._call(node)
        outputs = []
        for name, result in results.items():
            if getattr(self._values.get(result.name), "producer", lambda: None)() is None:
                raise ConversionError("the network computes nothing", where="trace")
            outputs.append(self._values[result.name])
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
        name = aten_name(node)
        self._name = module_name(node, name.partition("::")[2])
        if is_constant(node, self._constants):
            return self._compute(node)
        if name == "python::getitem":
            return self._values[node.args[0].name][node.args[1]]
        if name in _SIZES:
            return self._size(_SIZES[name], *map(self._value, node.args))
        row = ROWS.get(name)
        if row is None:
            random = getattr(node.target, "tags", ()) and torch.Tag.nondeterministic_seeded in (
                node.target.tags
            )
            raise self.refusal(f"the operator {name}" + (", random numbers" if random else ""))
        schema = node.target._schema
        given = dict(zip((a.name for a in schema.arguments), node.args, strict=False))
        given |= node.kwargs
        arguments = {
            a.name: given.get(a.name, a.default_value)
            for a in schema.arguments
            if a.name in given or a.has_default_value()
        }
        values = {key: self._value(item) for key, item in arguments.items()}
        if name != "aten::slice" and any(isinstance(value, Batch) for value in values.values()):
            raise self.refusal("the number of images in a computation")
        value = row(self, values)
        if schema_name(node).endswith("_"):
            self._check_overwriting(node)
        if isinstance(value, int | Batch):
            return value
        several = isinstance(value, list | tuple)
        for each, of in zip(
            *((value, node.meta["val"]) if several else ([value], [node.meta["val"]])), strict=False
        ):
            if each is not None and each.producer() is not None and each.shape is None:
                each.shape = self._shape(of)
        return value

    def _compute(self, node: Any) -> None:
        """A call that depends on constants only: its result is a constant, too."""
        if schema_name(node).endswith("_"):
            raise self.refusal(f"the operator {aten_name(node)}, which overwrites a constant")
        with torch.no_grad():
            args = [self._constant(each) for each in node.args]
            kwargs = {key: self._constant(each) for key, each in node.kwargs.items()}
            self._constants[node.name] = node.target(*args, **kwargs)
        self._constant_names[node.name] = f"{self._name}.constant"

    def _constant(self, argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return self._constants[argument.name]
        if isinstance(argument, list | tuple):
            return [self._constant(each) for each in argument]
        return argument

    def _size(self, of: Callable[[int, int], int], first: Side, second: Side) -> Side:
        """Arithmetic on numbers of images, as far as it stays a multiple of them."""
        if isinstance(first, int) and isinstance(second, Batch) and of is operator.mul:
            first, second = second, first
        if not (isinstance(first, Batch) and isinstance(second, int)):
            raise self.refusal("the number of images in a computation")
        if of is operator.mul or first.times % second == 0:
            return Batch(of(first.times, second))
        raise self.refusal("the number of images in a computation")

    def _check_overwriting(self, node: Any) -> None:
        """Refuse to overwrite memory that is later read under another name.

        Under its own name it is harmless: the tracer makes later readers read the result.
        """
        overwritten = node.args[0]
        for other in sharing_memory(overwritten):
            later = any(self._order[user] > self._order[node] for user in other.users)
            if later and other not in (overwritten, node):
                raise self.refusal("it overwrites a tensor whose view is read afterwards")

    def _value(self, argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            if argument.name in self._constants:  # each reader has its own, so that passes may
                return self._initializer(  # change it
                    self._constant_names[argument.name],
                    self._constants[argument.name].detach().cpu().contiguous().numpy(),
                )
            return self._values[argument.name]
        if isinstance(argument, list | tuple):
            return [self._value(item) for item in argument]
        return argument

    def emit(self, op_type: str, inputs: Sequence[Any], /, **attributes: Any) -> ir.Value:
        """Append a node for the current call; it and its output get the module's name."""
        name = _unique(self._name, self._node_names)
        of_first = None if inputs[0] is None else inputs[0].dtype
        integers = op_type == "Shape" or of_first == ir.DataType.INT64
        output = ir.Value(
            name=_unique(name, self._value_names),
            type=ir.TensorType(ir.DataType.INT64 if integers else ir.DataType.FLOAT),
        )
        self._nodes.append(ir.node(op_type, inputs, attributes, outputs=[output], name=name))
        return output

    def constant(self, suffix: str, value: NDArray[Any]) -> ir.Value:
        """Add an initializer of the current call, named `<module>.<suffix>`."""
        return self._initializer(f"{self._name}.{suffix}", value)

    def shaped(self, value: ir.Value, wanted: Sequence[Side]) -> ir.Value:
        """Note the shape of a tensor between two operators of the current call; returns it."""
        times = {side: f"{side.times}*batch" for side in wanted if isinstance(side, Batch)}
        value.shape = ir.Shape([side if isinstance(side, int) else times[side] for side in wanted])
        return value

    def batch(self) -> ir.Value:
        """The number of images as a tensor, INT64 [1], from the last tensor that has them."""
        for node in reversed(self._nodes):
            sides = node.outputs[0].shape
            if sides is not None and len(sides) and str(sides[0]) == "batch":
                return self.emit("Shape", [node.outputs[0]], start=0, end=1)
        raise self.refusal("the number of images in front of the first operator")

    def refusal(self, why: str) -> ConversionError:
        """The error to raise for a call that cannot be written: names the module, says why."""
        return ConversionError(
            f"cannot be traced to ONNX: {why}",
            where=self._name,
            remedy="docs/own-networks.md lists the operators that are known: write the module with "
            "them, or add a row to graph/operators (CONTRIBUTING.md).",
        )

    def _initializer(self, wanted: str, array: NDArray[Any]) -> ir.Value:
        name = _unique(wanted, self._value_names)
        tensor = ir.Tensor(np.array(array), name=name)
        value = ir.Value(
            name=name,
            const_value=tensor,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
        )
        self._initializers.append(value)
        return value

    def _shape(self, result: Any) -> ir.Shape:
        """The shape of a result, in which `batch` and multiples such as `4*batch` are open."""
        found: list[int | str] = []
        for side in result.shape:
            text = str(side).replace(self._batch, "batch")
            if not isinstance(side, int) and not _MULTIPLE.fullmatch(text):
                raise self.refusal(f"a tensor with {text} images")
            found.append(side if isinstance(side, int) else text)
        return ir.Shape(found)


def _unique(wanted: str, used: set[str]) -> str:
    """`wanted`, or the first of `wanted_1`, `wanted_2`, … that is not used; adds it to `used`."""
    name, number = wanted, 0
    while name in used:
        number += 1
        name = f"{wanted}_{number}"
    used.add(name)
    return name
