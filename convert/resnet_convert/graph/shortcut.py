"""Shortcut: which operand of a residual addition is the shortcut of its block.

    x ─┬─► conv ─► relu ─► conv ─► Add      the main path
       └──────── (conv) ───────────┘        the shortcut: an identity, or a projection

Rules:
1. An identity shortcut is the operand that no Conv wrote.
2. Of two Convs, the shortcut is the one with the shorter path back to where the branches part; of
   equal paths, the second operand.
3. Q/DQ pairs are skipped, so that the result is the same before and after quantization.
Reference: He et al. 2015, arXiv:1512.03385, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_convert.graph.nodes import before_pair, writer_of
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


def shortcut(add: ir.Node) -> int | None:
    """Which input of an Add is the shortcut, 0 or 1; None where no Conv ends in the Add."""
    first, second = (before_pair(value) for value in add.inputs)
    if first is None or second is None or first is second:
        return None
    if first.is_initializer() or second.is_initializer():
        return None
    convolved = _written_by_conv(first), _written_by_conv(second)
    if convolved != (True, True):
        return {(True, False): 1, (False, True): 0}.get(convolved)
    lengths = _paths_back(first, second)
    return 0 if lengths is not None and lengths[0] < lengths[1] else 1


def _written_by_conv(value: ir.Value) -> bool:
    writer = writer_of(value)
    return writer is not None and writer.op_type == "Conv"


def _paths_back(first: ir.Value, second: ir.Value) -> tuple[int, int] | None:
    """The number of operators from each tensor back to where their branches part; fewest in sum.

    Both sides go back a step at a time, and stop when no shorter sum is possible: whatever comes
    before the block is not visited, however deep the network is.
    """
    steps_to = ({first: 0}, {second: 0})
    fronts = [[first], [second]]
    fewest: tuple[int, int] | None = None  # in sum, and from `first`
    steps = 0
    while any(fronts) and (fewest is None or fewest[0] > steps):
        steps += 1
        for side, (own, other) in enumerate((steps_to, steps_to[::-1])):
            fronts[side] = [v for v in _inputs_of_writers(fronts[side]) if v not in own]
            own.update(dict.fromkeys(fronts[side], steps))
            for value in fronts[side]:
                if value in other:
                    found = (steps + other[value], steps_to[0][value])
                    fewest = found if fewest is None else min(fewest, found)
    return None if fewest is None else (fewest[1], fewest[0] - fewest[1])


def _inputs_of_writers(values: list[ir.Value]) -> dict[ir.Value, None]:
    """The tensors, constants left out, from which these were computed."""
    writers = (writer_of(value) for value in values)
    inputs = (before_pair(value) for node in writers if node is not None for value in node.inputs)
    return {value: None for value in inputs if value is not None and not value.is_initializer()}
