"""Cutting: parts of a graph that compute what the whole computes.

A graph is never cut in front of an activation function or an average: so the runtime fuses and sums
them as in the whole graph. `cut` changes no value.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Fused with the operator before them, or summed in the order of that operator's memory layout.
_TOGETHER = frozenset(
    {"AveragePool", "GlobalAveragePool"}
    | {"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
)
TENSORS = 32  # requested tensors that a segment has, at least


@dataclass(frozen=True)
class Segment:
    """A part of a graph: the names of its inputs, and of its outputs, the requested tensors."""

    model: ir.Model
    given: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Stretch:
    """The operators between two tensors from which all that follows them is computed.

    `nodes` are the names of its operators, `rest` is the graph from its first operator to the
    outputs, `lead` computes the tensor behind it, which is the input of the next one's `rest`; None
    in the last stretch. The `rest` of the first one is the whole graph.
    """

    nodes: frozenset[str]
    rest: Segment
    lead: Segment | None


def cut(model: ir.Model, names: Collection[str]) -> tuple[Segment, ...]:
    """The segments of the graph, in its order, with the tensors of these names as their outputs.

    The inputs of a segment are those of the graph that it reads, and the tensors that an earlier
    one has computed and it or a later one reads. Operators behind the last requested tensor are
    left out. It is cut only where every tensor that is carried on was requested.
    """
    graph = model.graph
    nodes = list(graph)
    entries = set(graph.inputs)
    last = _last_reader(nodes)
    found: list[Segment] = []
    live: dict[ir.Value, None] = {}
    carried: dict[ir.Value, None] = {}
    part: list[ir.Node] = []
    shown: dict[ir.Value, None] = {}
    for position, node in enumerate(nodes):
        part.append(node)
        shown |= {value: None for value in node.outputs if value.name in names}
        live |= {value: None for value in node.outputs if last.get(value, -1) > position}
        for value in node.inputs:
            if value is not None and last[value] <= position:
                live.pop(value, None)
        if len(shown) >= TENSORS and all(_may_be_carried(value, names) for value in live):
            given = _read(part, entries) | carried
            found.append(_segment(model, part, given, shown))
            part, shown, carried = [], {}, dict(live)
    if shown:
        found.append(_segment(model, part, _read(part, entries) | carried, shown))
    return tuple(found)


def leading_to(model: ir.Model, groups: Iterable[Iterable[str]]) -> tuple[Segment, ...]:
    """For each group of tensor names, the part of the graph that computes them from its inputs."""
    position = {node: index for index, node in enumerate(model.graph)}
    values = {str(value.name): value for node in position for value in node.outputs}
    entries = set(model.graph.inputs)
    found = []
    for group in groups:
        outputs = [values[name] for name in group]
        needed: set[ir.Node] = set()
        waiting = list(outputs)
        while waiting:
            producer = waiting.pop().producer()
            if producer is not None and producer not in needed:
                needed.add(producer)
                waiting += [value for value in producer.inputs if value is not None]
        part = sorted(needed, key=position.__getitem__)
        found.append(_segment(model, part, _read(part, entries), outputs))
    return tuple(found)


def stretches(model: ir.Model, *, largest: int) -> Iterator[Stretch]:
    """A graph with one input, divided wherever one tensor of up to `largest` values is all that is
    read later; `largest` is per image.

    What is changed in one stretch changes nothing in those before it. The values of `rest` are
    those of the whole graph, but for the rounding of sums that the runtime orders differently.
    """
    nodes = list(model.graph)
    outputs = list(model.graph.outputs)
    last = _last_reader(nodes)
    begin, given = 0, list(model.graph.inputs)
    live = dict.fromkeys(given)
    for position, node in enumerate(nodes[:-1]):
        if not set(outputs).isdisjoint(node.outputs):
            break  # behind an output, the rest does not compute all of them
        live |= {value: None for value in node.outputs if last.get(value, -1) > position}
        live = {value: None for value in live if last.get(value, -1) > position}
        if len(live) == 1 and all(each not in given and _is_small(each, largest) for each in live):
            yield _stretch(model, nodes[begin:], position + 1 - begin, given, list(live))
            begin, given = position + 1, list(live)
    yield _stretch(model, nodes[begin:], None, given, outputs)


def _stretch(
    model: ir.Model,
    rest: list[ir.Node],
    own: int | None,
    given: list[ir.Value],
    behind: list[ir.Value],
) -> Stretch:
    """The first `own` operators of the rest, with what they leave behind; all of them if None."""
    part = rest[:own]
    return Stretch(
        frozenset(str(node.name) for node in part),
        _segment(model, rest, given, model.graph.outputs),
        None if own is None else _segment(model, part, given, behind),
    )


def _is_small(value: ir.Value, largest: int) -> bool:
    """Whether it may be carried, and has no more values than `largest` per image."""
    if value.shape is None or not _may_be_carried(value, (str(value.name),)):
        return False
    sides = [side for side in value.shape.dims[1:] if isinstance(side, int)]
    return len(sides) == len(value.shape.dims) - 1 and math.prod(sides) <= largest


def _last_reader(nodes: list[ir.Node]) -> dict[ir.Value, int]:
    return {
        value: position
        for position, node in enumerate(nodes)
        for value in node.inputs
        if value is not None
    }


def _may_be_carried(value: ir.Value, names: Collection[str]) -> bool:
    return (
        value.name in names
        and value.type is not None
        and all(use.node.op_type not in _TOGETHER for use in value.uses())
    )


def _read(part: list[ir.Node], entries: set[ir.Value]) -> dict[ir.Value, None]:
    """The graph's inputs that these nodes read."""
    return {value: None for node in part for value in node.inputs if value in entries}


def _segment(
    model: ir.Model, part: list[ir.Node], given: Iterable[ir.Value], shown: Iterable[ir.Value]
) -> Segment:
    inputs, outputs = list(given), list(shown)
    constants = {
        value: None
        for node in part
        for value in node.inputs
        if value is not None and value.is_initializer()
    }
    view = ir.GraphView(
        inputs,
        outputs,
        nodes=part,
        initializers=tuple(constants),
        opset_imports=model.graph.opset_imports,
        name=model.graph.name,
    )
    return Segment(
        ir.Model(view.clone(), ir_version=model.ir_version),
        tuple(str(value.name) for value in inputs),
        tuple(str(value.name) for value in outputs),
    )
