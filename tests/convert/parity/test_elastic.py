"""Elastic: what was measured of images that wait together, and when it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resnet_convert.parity import elastic
from resnet_convert.parity.elastic import Waiting
from resnet_convert.request import Request


@pytest.mark.parametrize(
    ("batches", "below"),
    [
        ({2: 90.0, 4: 95.0, 8: 99.0}, 9),  # no batch is as fast
        ({2: 90.0, 4: 101.0, 8: 120.0}, 4),
        ({2: 101.0, 4: 110.0, 8: 120.0}, 0),  # every batch is faster
        ({2: 101.0, 4: 99.0, 8: 120.0}, 8),
        ({3: 99.0}, 4),
    ],
)
def test_from_which_size_on_a_batch_is_faster(batches: dict[int, float], below: int) -> None:
    waiting = Waiting(100.0, batches)
    assert waiting.one_per_core_below == below
    best = max(batches.values())
    assert f"100 images/s one per core, {best:.0f} in batches of" in waiting.summary


@pytest.mark.parametrize(
    ("rounds", "undecided", "one_per_core", "batches"),
    [
        ({2: (90, 90, 90), 8: (110, 120, 150)}, (), 8, 8),
        ({2: (90, 90, 101), 8: (110, 120, 150)}, (2,), 8, 0),
        ({2: (90, 90, 90), 8: (99, 120, 150)}, (8,), 9, 8),
        ({2: (90, 150, 150), 8: (99, 120, 150)}, (2, 8), 9, 0),
    ],
)
def test_where_rounds_disagree_the_runtime_decides(
    rounds: dict[int, tuple[float, ...]],
    undecided: tuple[int, ...],
    one_per_core: int,
    batches: int,
) -> None:
    found = [Waiting.of_rounds((100, 100, 100), rounds, rule=rule) for rule in (False, True)]
    assert [each.one_per_core_below for each in found] == [one_per_core, batches]
    assert {each.undecided for each in found} == {undecided}
    assert ("the rounds differ" in found[0].summary) is (8 in undecided)


def test_rounds_are_of_the_same_moments() -> None:
    """A host that slows down for both decides nothing, and hides nothing."""
    found = Waiting.of_rounds((100, 50, 100), {4: (120, 60, 120)}, rule=False)
    assert (found.undecided, found.one_per_core_below) == ((), 0)


@pytest.mark.parametrize(
    ("batches", "clear"),
    [
        ((120, 60, 130), "either"),
        ((80, 40, 85), "either"),
        ((120, 60, 105), "either"),
        ((80, 45, 99), "either"),
        ((120, 54, 105), "as ruled"),  # faster, but clearly in one round
        ((95, 40, 95), "as not ruled"),  # slower, but clearly in one round
        ((120, 40, 120), "either"),  # the rounds disagree: the rule decides, whatever comes
    ],
)
def test_more_rounds_are_measured_until_they_could_not_decide_otherwise(
    batches: tuple[float, ...], clear: str
) -> None:
    alone = (100, 50, 100)
    for rule in (False, True):
        expected = clear == "either" or rule == (clear == "as ruled")
        assert elastic.clear({1: alone, 2: batches}, rule=rule) is expected
        assert elastic.clear({1: alone, 2: batches, 8: (200, 100, 200)}, rule=rule) is expected


@given(st.lists(st.tuples(*[st.integers(60, 140)] * 3), min_size=5, max_size=5), st.booleans())
def test_once_a_round_agrees_with_the_rule_later_ones_decide_the_same(
    rounds: list[tuple[int, int, int]], rule: bool
) -> None:
    def below(count: int) -> int:
        alone, *batches = zip(*rounds[:count], strict=True)
        return Waiting.of_rounds(
            alone, dict(zip((2, 8), batches, strict=True)), rule=rule
        ).one_per_core_below

    agrees = [
        any((each[size] > each[0]) is rule for each in rounds[: elastic.CLEAR_AFTER])
        for size in (1, 2)
    ]
    assume(all(agrees))
    assert below(elastic.CLEAR_AFTER) == below(elastic.ROUNDS)


RATES = st.lists(st.tuples(*[st.integers(80, 125)] * 4), min_size=5, max_size=5)


@given(RATES, st.booleans())
def test_sizes_that_are_left_out_decide_nothing(
    rounds: list[tuple[int, int, int, int]], rule: bool
) -> None:
    sizes = (1, 2, 4, 8)
    calls = dict.fromkeys(sizes, 0)

    def rate(size: int) -> float:
        calls[size] += 1
        return rounds[calls[size] - 1][sizes.index(size)]

    found = elastic.in_rounds(rate, sizes[1:], rule=rule)
    assert elastic.CLEAR_AFTER <= calls[1] == calls[8] <= elastic.ROUNDS
    assert set(found.batches_per_s) == {size for size in sizes[1:] if calls[size] == calls[1]}
    alone, *batches = zip(*rounds[: calls[1]], strict=True)
    everything = dict(zip(sizes[1:], batches, strict=True))
    whole = Waiting.of_rounds(alone, everything, rule=rule)
    assert found.one_per_core_below == whole.one_per_core_below
    assert len(found.batches_per_s) == 3 or not rule


def test_batches_no_faster_than_one_per_core_are_measured_in_one_size() -> None:
    measured: list[int] = []

    def rate(size: int) -> float:
        measured.append(size)
        return 100 if size == 1 else 90

    found = elastic.in_rounds(rate, (2, 4, 8), rule=False)
    assert (found.one_per_core_below, dict(found.batches_per_s)) == (9, {8: 90})
    assert measured == [1, 8] * elastic.CLEAR_AFTER
    assert dict(elastic.in_rounds(rate, (2, 4, 8), rule=True).batches_per_s) == {
        2: 90,
        4: 90,
        8: 90,
    }


def test_where_it_is_measured() -> None:
    request = Request(arch="resnet20", weights="random", target="onnxruntime", precision="fp32")
    assert elastic.applies(request, 2)
    for other, cores in (
        (request, 1),
        (replace(request, instances=2), 2),
        (replace(request, max_batch_size=1), 2),
        (replace(request, accelerator="cuda"), 2),
        (replace(request, target="tensorrt", precision="fp16"), 2),
    ):
        assert not elastic.applies(other, cores), other
