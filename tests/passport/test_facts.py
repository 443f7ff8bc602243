"""Facts: every kind of field, read and written again, and what is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest

from resnet_serve.passport import MalformedFactsError, encode
from resnet_serve.passport.facts import Facts
from resnet_serve.preprocessing import Preprocessing


class Colour(StrEnum):
    RED = "red"
    GREEN = "dark green"


@dataclass(frozen=True)
class Plain:
    side: int
    unit: str = "px"


@dataclass(frozen=True, kw_only=True)
class Inner(Facts):
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Outer(Facts):
    text: str
    count: int
    flag: bool
    moment: datetime
    colour: Colour
    maybe: int | None
    sizes: tuple[int, ...]
    pair: tuple[float, float]
    by_batch: Mapping[int, Inner]
    names: Mapping[str, str]
    plain: Plain
    inner: Inner
    preprocessing: Preprocessing
    anything: Any
    later: Inner | None = None


COMPLETE: dict[str, Any] = {
    "text": "a",
    "count": 3,
    "flag": False,
    "moment": "2026-01-02T03:04:05+00:00",
    "colour": "dark green",
    "maybe": None,
    "sizes": [1, 2],
    "pair": [0.5, 1],
    "by_batch": {"1": {"ratio": 2.0}, "16": {"ratio": 3.0}},
    "names": {"x": "y"},
    "plain": {"side": 4, "unit": "px"},
    "inner": {"ratio": 0.5},
    "preprocessing": Preprocessing(resize=8, crop=(4, 4)).to_json(),
    "anything": {"deep": [1, {"er": None}]},
}


def test_every_kind_of_field() -> None:
    found = Outer.from_json(COMPLETE)
    assert found.moment == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.colour is Colour.GREEN
    assert found.pair == (0.5, 1.0)
    assert found.by_batch[16].ratio == 3
    assert found.plain == Plain(4)
    assert found.preprocessing.crop == (4, 4)
    assert found.later is None
    assert found.to_json() == COMPLETE


def test_unknown_keys_are_kept_at_every_depth() -> None:
    document = {**COMPLETE, "new": 1, "inner": {"ratio": 0.5, "new": [2]}}
    found = Outer.from_json(document)
    assert (found.extra, found.inner.extra) == ({"new": 1}, {"new": [2]})
    assert found.to_json() == document


def test_a_default_may_be_missing_and_stays_out() -> None:
    assert "later" not in Outer.from_json(COMPLETE).to_json()
    document = {**COMPLETE, "later": {"ratio": 1.0}}
    assert Outer.from_json(document).to_json() == document


def test_null_where_a_number_must_be_is_not_a_number() -> None:
    found = Inner.from_json({"ratio": None})
    assert math.isnan(found.ratio)
    assert found.to_json() == {"ratio": None}
    assert encode({1: (math.inf, math.nan, 2.5)}) == {"1": [None, None, 2.5]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": 3}, "text is 3, not a text"),
        ({"count": True}, "count is True, not a whole number"),
        ({"count": 1.0}, "count is 1.0, not a whole number"),
        ({"flag": 1}, "flag is 1, not true or false"),
        ({"moment": "soon"}, "moment is 'soon', not a date and time"),
        ({"colour": "blue"}, "colour is 'blue', not one of red, dark green"),
        ({"colour": []}, "colour is a list, not one of"),
        ({"maybe": "1"}, "maybe is '1', not a whole number"),
        ({"sizes": {}}, "sizes is an object, not a list"),
        ({"sizes": [1, "2"]}, r"sizes\[1\] is '2', not a whole number"),
        ({"pair": [1]}, "pair has 1 entries, not 2"),
        ({"by_batch": {"one": {"ratio": 1}}}, "by_batch has the key 'one', not a whole number"),
        ({"by_batch": {"1": {}}}, r"by_batch\.1\.ratio is missing"),
        ({"names": {"x": 1}}, r"names\.x is 1, not a text"),
        ({"plain": {"unit": "px"}}, r"plain\.side is missing"),
        ({"inner": None}, "inner is None, not an object"),
        ({"inner": {"ratio": True}}, r"inner\.ratio is True, not a number"),
        ({"preprocessing": {"resize": -1}}, "preprocessing is resize cannot be used: -1"),
        ({"text": ["x" * 100]}, "text is a list"),
        ({"count": "x" * 100}, "count is 'x{38}…, not"),
    ],
)
def test_what_is_refused_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedFactsError, match=said):
        Outer.from_json({**COMPLETE, **change})


def test_what_is_no_object() -> None:
    with pytest.raises(MalformedFactsError, match="it is a list, not an object"):
        Outer.from_json([])


def test_a_number_too_large_for_a_float_is_infinite() -> None:
    assert Inner.from_json({"ratio": 10**400}).ratio == math.inf
