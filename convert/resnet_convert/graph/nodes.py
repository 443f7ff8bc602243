"""The vocabulary of a graph: which operators have weights, which only move values, who writes and
who reads a tensor, which type it has, and what a Q/DQ pair is.

    tensor ─► QuantizeLinear ─► integers ─► DequantizeLinear ─► tensor, rounded      a Q/DQ pair

Every pass and every lint rule uses these terms; nothing here changes a graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from resnet_convert.graph.initializers import array_of, own_initializer
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Operators with weights and a bias: the layers of a network.
WEIGHTED = frozenset({"Conv", "Gemm"})
# Operators whose output values are values of their input, or zeros.
MOVING = frozenset(
    {"MaxPool", "Flatten", "Slice", "Pad", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}
)
# Operators that repeat or reorder values; unlike `MOVING`, not all runtimes do so with integers.
REPEATING = frozenset({"Expand", "DepthToSpace"})
# Functions of single values.
FUNCTIONS = frozenset(
    {"Abs", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Log"}
    | {"LogSoftmax", "Neg", "PRelu", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Sin"}
    | {"Softmax", "Softplus", "Sqrt", "Tanh"}
)
# The remaining operators that compute, beside layers, functions and pools.
COMPUTING = frozenset(
    {"Add", "ConvTranspose", "Div", "Einsum", "InstanceNormalization", "LayerNormalization"}
    | {"MatMul", "Max", "Min", "Mul", "Pow", "Resize", "Sub"}
    | {"ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin"}
)
POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool"})
# The two operators of a Q/DQ pair.
PAIR = frozenset({"QuantizeLinear", "DequantizeLinear"})


def writer_of(value: ir.Value | None) -> ir.Node | None:
    """The operator that computes a tensor; None for graph inputs, constants and no tensor."""
    return None if value is None else value.producer()


def readers_of(value: ir.Value) -> list[ir.Node]:
    """The operators that read a tensor, one entry for each input that it is."""
    return [use.node for use in value.uses()]


def rectifies(node: ir.Node) -> bool:
    """Whether an operator is a ReLU, or one that ends at a number too, such as ReLU6."""
    if node.op_type == "Clip":
        bounds = [*node.inputs[1:], None, None][:2]
        low, high = (None if b is None or b.const_value is None else array_of(b) for b in bounds)
        return low is not None and not low.any() and high is not None and bool((high > 0).all())
    return node.op_type == "Relu"


def rectified(value: ir.Value) -> ir.Node | None:
    """The ReLU that is the only reader of a tensor; None where there is none."""
    readers = readers_of(value)
    return readers[0] if len(readers) == 1 and rectifies(readers[0]) else None


def relu_of(node: ir.Node) -> ir.Node | None:
    """The ReLU that is the only reader of an operator's output; None where there is none."""
    return rectified(node.outputs[0])


def joins_images(node: ir.Node) -> bool:
    """Whether an operator is an addition of two images [N,C,H,W], as at the end of a block.

    Sums inside of an activation function, of positions or of tokens are not.
    """
    shape = node.outputs[0].shape
    return (
        node.op_type == "Add"
        and not any(value is None or value.is_initializer() for value in node.inputs)
        and (shape is None or len(shape) == 4)
    )


def data_input(node: ir.Node) -> ir.Value:
    """The first input of an operator, the one that carries activations.

    Raises `ConversionError` for an operator without it.
    """
    value = node.inputs[0] if node.inputs else None
    if value is None:
        raise ConversionError("has no input", where=f"{node.name} ({node.op_type})")
    return value


def moves(node: ir.Node) -> bool:
    """Whether every output value of an operator is a value of its input, or zero.

    A Pad with another value than zero does not.
    """
    filler = node.inputs[2] if node.op_type == "Pad" and len(node.inputs) > 2 else None
    return node.op_type in MOVING and (filler is None or not array_of(filler).any())


def source(value: ir.Value) -> str:
    """The name of the tensor whose range a tensor has: its own, or that of the one it was moved
    from.
    """
    producer = value.producer()
    while producer is not None and moves(producer):
        value = data_input(producer)
        producer = value.producer()
    return str(value.name)


def layers_named(
    graph: ir.Graph,
    names: Iterable[str],
    *,
    where: str,
    kinds: Collection[str] = WEIGHTED,
) -> frozenset[ir.Node]:
    """The operators of the given kinds with these names, which are PyTorch's.

    Raises `ConversionError`, with `where` and the nearest names, for a name that there is not.
    """
    known = {str(node.name): node for node in graph if node.op_type in kinds}
    for name in sorted(set(names) - set(known)):
        nearest = get_close_matches(name, known, n=3, cutoff=0.0)
        raise ConversionError(
            f"the network has no layer {name!r} to keep",
            where=where,
            remedy=f"The nearest names are {', '.join(nearest)}." if nearest else None,
        )
    return frozenset(known[name] for name in names)


def output_major_weight(node: ir.Node, *, where: str) -> ir.Value:
    """The weights of a Conv or Gemm, with the output channels on axis 0.

    Raises `ConversionError`, with the stage `where`, for a Gemm with its weights the other way
    round, and for shared weights.
    """
    if node.op_type == "Gemm" and not node.attributes.get_int("transB"):
        raise ConversionError("needs weights [classes, features]", where=f"{where}: {node.name}")
    return own_initializer(node, 1)


def qdq_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every QuantizeLinear and DequantizeLinear, in the graph's order."""
    return (node for node in model.graph if node.op_type in PAIR)


def quantizer(value: ir.Value | None) -> ir.Node | None:
    """The QuantizeLinear that wrote a tensor of integers; None where none did."""
    writer = writer_of(value)
    return writer if writer is not None and writer.op_type == "QuantizeLinear" else None


def dequantizer(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that wrote a tensor; None where none did."""
    writer = writer_of(value)
    return writer if writer is not None and writer.op_type == "DequantizeLinear" else None


def before_pair(value: ir.Value | None) -> ir.Value | None:
    """The tensor in front of all Q/DQ pairs that a tensor went through, or itself."""
    while (writer := writer_of(value)) is not None and writer.op_type in PAIR:
        value = writer.inputs[0]
    return value


def stored_weight(node: ir.Node) -> ir.Value | None:
    """The weights of a Conv or Gemm as they are stored: in front of their DequantizeLinear, or as
    the operator reads them.
    """
    weight = node.inputs[1]
    quantized = dequantizer(weight)
    return weight if quantized is None else quantized.inputs[0]


def dequantized_name(name: str) -> str:
    """What the tensor `name` is called behind its Q/DQ pair, see `quantization/qdq.py`."""
    return f"{name}.dq"


def layer_of(node: ir.Node) -> str:
    """The name of a node; of a Q or DQ, that of the first operator that reads through it."""
    while node.op_type in PAIR:
        readers = readers_of(node.outputs[0])
        if not readers:
            break
        node = readers[0]
    return str(node.name)


def dtype_of(value: ir.Value | None) -> ir.DataType | None:
    """The type of a tensor: of a constant its own, whatever the graph declares; None if unknown."""
    if value is None:
        return None
    return value.dtype if value.const_value is None else value.const_value.dtype


def element_types(graph: ir.Graph) -> dict[ir.Value, ir.DataType | None]:
    """The type of every tensor, whatever the graph's annotations say.

    Inputs and initializers have their own; a Cast names the type of its output, a Q has that of its
    zero point, a DQ that of its scale; every other operator passes on that of its first input. None
    where it cannot be derived.
    """
    types = {value: dtype_of(value) for value in (*graph.inputs, *graph.initializers.values())}
    for node in graph:
        given = [None if value is None else types.get(value) for value in node.inputs]
        found = given[0] if given else None
        if node.op_type == "Cast":
            found = ir.DataType(node.attributes["to"].as_int())
        elif node.op_type == "QuantizeLinear":
            named = node.attributes.get_int("output_dtype") or ir.DataType.UINT8
            found = given[2] if node.inputs[2:] and node.inputs[2] else ir.DataType(named)
        elif node.op_type == "DequantizeLinear":
            found = given[1]
        elif node.op_type == "Shape":
            found = ir.DataType.INT64
        types.update(dict.fromkeys(node.outputs, found))
    return types
