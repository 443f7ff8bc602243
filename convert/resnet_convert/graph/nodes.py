"""The vocabulary of a graph: which operators have weights, which only move values, what a Q/DQ pair
is, and which operand of a residual addition is the shortcut.

Every pass and every lint rule uses these terms, so that FP16 need not know INT8 to know a Conv.
Nothing here changes a graph.
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
MOVING = frozenset({"MaxPool", "Flatten", "Slice", "Pad"})
# The two operators of a pair: quantize, dequantize.
PAIR = frozenset({"QuantizeLinear", "DequantizeLinear"})


def writer_of(value: ir.Value | None) -> ir.Node | None:
    """The operator that computes a tensor; None for graph inputs, constants and no tensor."""
    return None if value is None else value.producer()


def data_input(node: ir.Node) -> ir.Value:
    """The first input of an operator, the one that carries activations.

    Raises `ConversionError` for an operator without inputs.
    """
    value = node.inputs[0]
    if value is None:
        raise ConversionError("has no input", where=f"{node.name} ({node.op_type})")
    return value


def moves(node: ir.Node) -> bool:
    """Whether every output value of an operator is a value of its input, or zero."""
    filler = node.inputs[2] if node.op_type == "Pad" and len(node.inputs) > 2 else None
    return node.op_type in MOVING and (filler is None or not array_of(filler).any())


def source(value: ir.Value) -> str:
    """The name of the tensor whose range a value has: its own, or that of what was moved."""
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
    """The operators of these names, as PyTorch names them; `ConversionError` for a name of none."""
    known = {str(node.name): node for node in graph if node.op_type in kinds}
    for name in sorted(set(names) - set(known)):
        nearest = get_close_matches(name, known, n=3, cutoff=0.0)
        raise ConversionError(
            f"the network has no layer {name!r} to keep",
            where=where,
            remedy=f"The nearest are {', '.join(nearest)}." if nearest else None,
        )
    return frozenset(known[name] for name in names)


def output_major_weight(node: ir.Node) -> ir.Value:
    """The weights of a Conv or Gemm, with the output channels on axis 0.

    Raises `ConversionError` for a Gemm with transposed weights, and for shared weights.
    """
    if node.op_type == "Gemm" and not node.attributes.get_int("transB"):
        raise ConversionError("needs weights [classes, features]", where=str(node.name))
    return own_initializer(node, 1)


def qdq_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every QuantizeLinear and DequantizeLinear, in the graph's order."""
    return (node for node in model.graph if node.op_type in PAIR)


def dequantizer(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that wrote a tensor."""
    producer = None if value is None else value.producer()
    return producer if producer is not None and producer.op_type == "DequantizeLinear" else None


def before_pair(value: ir.Value | None) -> ir.Value | None:
    """The tensor in front of all Q/DQ pairs that a value went through."""
    while (writer := writer_of(value)) is not None and writer.op_type in PAIR:
        value = writer.inputs[0]
    return value


def dequantized_name(name: str) -> str:
    """What the tensor `name` is called behind its Q/DQ pair."""
    return f"{name}.dq"


def layer_of(node: ir.Node) -> str:
    """The layer that an operator is or, of a Q or DQ, the first that reads through it."""
    while node.op_type in PAIR:
        readers = [use.node for use in node.outputs[0].uses()]
        if not readers:
            break
        node = readers[0]
    return str(node.name)


def shortcut(add: ir.Node) -> int | None:
    """Which operand of an Add is the shortcut: 0 or 1; None where no Conv ends in the Add.

    An identity shortcut is the operand that no Conv wrote. Of two Convs, the shortcut is the one
    with the shorter path back to where the branches part; of equal paths, the second operand.
    Q/DQ pairs are skipped, so that the result is the same before and after quantization.
    """
    first, second = (before_pair(value) for value in add.inputs)
    if first is None or second is None or first is second:
        return None
    if first.is_initializer() or second.is_initializer():
        return None
    convolved = _written_by_conv(first), _written_by_conv(second)
    if convolved != (True, True):
        return {(True, False): 1, (False, True): 0}.get(convolved)
    ways = _ways_back(first, second)
    return 0 if ways is not None and ways[0] < ways[1] else 1


def _written_by_conv(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "Conv"


def _ways_back(first: ir.Value, second: ir.Value) -> tuple[int, int] | None:
    """The operators from each tensor back to where their branches part: the fewest together.

    Both sides go back a step at a time, no further than could still be shorter: what stands before
    the block is not looked at, however deep the network is.
    """
    ways = ({first: 0}, {second: 0})
    fronts = [[first], [second]]
    fewest: tuple[int, int] | None = None  # together, and from the first
    steps = 0
    while any(fronts) and (fewest is None or fewest[0] > steps):
        steps += 1
        for side, (own, other) in enumerate((ways, ways[::-1])):
            fronts[side] = [v for v in _read_by_writers(fronts[side]) if v not in own]
            own.update(dict.fromkeys(fronts[side], steps))
            for value in fronts[side]:
                if value in other:
                    found = (steps + other[value], ways[0][value])
                    fewest = found if fewest is None else min(fewest, found)
    return None if fewest is None else (fewest[1], fewest[0] - fewest[1])


def _read_by_writers(values: list[ir.Value]) -> dict[ir.Value, None]:
    """The tensors, not constants, that these were computed from."""
    producers = (value.producer() for value in values)
    given = (before_pair(v) for node in producers if node is not None for v in node.inputs)
    return {value: None for value in given if value is not None and not value.is_initializer()}
