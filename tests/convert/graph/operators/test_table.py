"""The table of operators in the documentation, and the kinds of ONNX operators that passes know."""

from __future__ import annotations

from pathlib import Path

from resnet_convert.graph import nodes
from resnet_convert.graph.operators import ROWS, table

DOCUMENT = Path(__file__).parents[4] / "docs" / "own-networks.md"


def test_the_document_has_the_table() -> None:
    assert table() in DOCUMENT.read_text(encoding="utf-8"), (
        f"put `resnet_convert.graph.operators.table()` into {DOCUMENT.name}"
    )
    assert all(f"`{name.removeprefix('aten::')}`" in table() for name in ROWS)


def test_every_kind_of_onnx_operator_is_in_one_list() -> None:
    kinds = (nodes.WEIGHTED, nodes.MOVING, nodes.REPEATING, nodes.FUNCTIONS, nodes.COMPUTING)
    assert len(frozenset().union(*kinds)) == sum(map(len, kinds))
