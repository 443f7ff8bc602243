"""Some of many images: evenly spread, named and labelled as in the list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import Selection, spread
from resnet_serve.datasets.synthetic import SyntheticImages


@given(count=st.integers(1, 300), limit=st.integers(1, 300))
def test_spread_takes_even_distances(count: int, limit: int) -> None:
    chosen = spread(SyntheticImages(count), limit)
    assert len(chosen) == min(count, limit)
    if isinstance(chosen, Selection):
        steps = {b - a for a, b in zip(chosen.chosen, chosen.chosen[1:], strict=False)}
        assert chosen.chosen[0] == 0
        assert chosen.chosen[-1] < count
        assert not steps or (min(steps) >= 1 and max(steps) - min(steps) <= 1)


def test_a_selection_is_the_list_at_its_positions() -> None:
    digits = Digits(held_out=True)
    chosen = spread(digits, 7)
    assert isinstance(chosen, Selection)
    assert chosen.labels is not None
    for index, position in enumerate(chosen.chosen):
        assert chosen.name_of(index) == digits.name_of(position)
        assert chosen.labels[index] == digits.labels[position]
        assert chosen.image(index).tobytes() == digits.image(position).tobytes()
    assert chosen.name == "digits (held out), evenly chosen"


def test_the_digest_says_which_were_taken() -> None:
    digits = Digits(held_out=True)
    assert spread(digits, None).digest() == digits.digest()
    assert len({spread(digits, limit).digest() for limit in (7, 8, 500)}) == 3


def test_every_class_of_a_sorted_list_has_its_share() -> None:
    digits = Digits(held_out=False)
    by_class = sorted(range(len(digits)), key=lambda index: digits.labels[index])
    ordered = Selection(digits, tuple(by_class))
    chosen = spread(ordered, 40)
    assert chosen.labels is not None
    assert set(chosen.labels.tolist()) == set(range(10))
