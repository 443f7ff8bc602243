"""The table of precisions: budgets in order, and refusals with the known names."""

from __future__ import annotations

from itertools import pairwise

import pytest

from resnet_serve.errors import UsageError
from resnet_serve.precisions import PRECISIONS, find


def test_budgets_are_ordered_from_exact_to_approximate() -> None:
    budgets = [PRECISIONS[name].budget for name in ("fp32", "fp16", "bf16", "int8")]
    for tighter, looser in pairwise(budgets):
        assert tighter.cosine > looser.cosine
        assert tighter.sqnr_db > looser.sqnr_db
        assert tighter.agreement > looser.agreement
        assert tighter.top1_points < looser.top1_points
        assert tighter.margin_points < looser.margin_points


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_row_is_found_by_its_name(name: str) -> None:
    row = find(name)
    assert row.name == name
    for typed in (row.typed_for_tensorrt, row.typed_for_cpu):
        assert typed is None or not PRECISIONS[typed].quantized


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'int4'\. Use fp32, fp16, bf16, int8, fp8\."):
        find("int4")
