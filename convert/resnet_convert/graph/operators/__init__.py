"""From an ATen operator, as torch.export writes it, to ONNX: one row per operator.

| module | rows |
|---|---|
| `convolutions` | convolutions, transposed convolutions, linear layers |
| `activations` | activation functions and other functions of single values |
| `normalization` | BatchNorm, LayerNorm, GroupNorm, …, norms and variances |
| `pooling` | pools and resizing |
| `arithmetic` | sums, products, reductions, attention |
| `shapes` | reshapes, transpositions, repetitions, copies |
| `parts` | slices, concatenations, padding |
| `emitter` | what a row writes with |

A row takes the emitter and the call's arguments by their schema names, and returns the ONNX value,
a `Batch`, or a tuple for a call with several results. `table` is the list for docs/own-networks.md.
References: the ATen schemas (native_functions.yaml) and the ONNX operators at opset 17.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from resnet_convert.graph.operators import (
    activations,
    arithmetic,
    convolutions,
    normalization,
    parts,
    pooling,
    shapes,
)
from resnet_convert.graph.operators.emitter import Row

_GROUPS: Mapping[str, Mapping[str, Row]] = MappingProxyType(
    {
        "layers with weights": convolutions.ROWS,
        "functions of single values": activations.ROWS,
        "normalization": normalization.ROWS,
        "pooling and resizing": pooling.ROWS,
        "arithmetic, attention": arithmetic.ROWS,
        "shapes": shapes.ROWS,
        "parts, concatenation, padding": parts.ROWS,
    }
)
ROWS: Mapping[str, Row] = MappingProxyType(
    {name: row for rows in _GROUPS.values() for name, row in rows.items()}
)


def table() -> str:
    """The operators that are known, by kind, as a table in Markdown."""
    lines = ["| kind | operators of `torch.ops.aten` |", "|---|---|"]
    for kind, rows in _GROUPS.items():
        names = ", ".join(f"`{name.removeprefix('aten::')}`" for name in sorted(rows))
        lines.append(f"| {kind} | {names} |")
    return "\n".join(lines) + "\n"
