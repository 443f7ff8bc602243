"""Numbered names: each of 0 … n-1 once, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.datasets.class_labels.numbers import complete, in_order
from resnet_serve.errors import InputFileError


@given(st.permutations(list(enumerate("abcdef"))))
def test_any_order_gives_the_same_names(pairs: list[tuple[int, str]]) -> None:
    assert in_order(pairs, Path("labels")) == list("abcdef")
    assert complete(number for number, _ in pairs)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 2), "from 1 to 2, without 0. Number the classes 0 to 1, each once"),
        ((0, 3), "from 0 to 3, without 1"),
        ((0, 0), "gives the number 0 to 'a' and 'b'"),
        ((-1, 0), "from -1 to 0, without 1"),
    ],
)
def test_other_numbers_are_refused(numbers: tuple[int, int], message: str) -> None:
    assert not complete(numbers)
    with pytest.raises(InputFileError, match=message):
        in_order(zip(numbers, "ab", strict=True), Path("labels"))
