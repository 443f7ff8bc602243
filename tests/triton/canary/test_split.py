"""Shares as they are given, and the parameter of a split."""

from __future__ import annotations

from fractions import Fraction

import pytest

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.triton.canary.split import FIRST_SPLIT, Split, of, share
from resnet_serve.triton.config import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10%", Fraction(1, 10)),
        ("0.5 %", Fraction(1, 200)),
        ("100%", Fraction(1)),
        (" 33.3%", Fraction(333, 1000)),
    ],
)
def test_shares(text: str, value: Fraction) -> None:
    assert share(text) == value
    split = Split(3, 4, value)
    assert Split.from_text(split.to_text()) == split
    assert split.number == FIRST_SPLIT + 4


@pytest.mark.parametrize("text", ["0%", "101%", "10", "-1%", "", "a%", "٣%", "1e1%", "0.00001%"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError, match="as in 10%") as refused:
        share(text)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"old": 3, "new": 4, "share": "0%"}', "[" * 9999]
)
def test_a_parameter_that_is_none(text: str) -> None:
    with pytest.raises(InputFileError, match="canary"):
        Split.from_text(text)


def test_other_models_have_no_split() -> None:
    assert of(parse('name: "net" backend: "onnxruntime"')) is None
    assert of(parse('name: "net" backend: "canary"')) is None
