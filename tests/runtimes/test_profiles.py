"""Batch profiles: how they are written, what they cover, which one serves a batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.errors import UsageError
from resnet_serve.runtimes.profiles import Profile, covering, serving

SIZES = st.integers(1, 512)
PROFILES = st.lists(SIZES, min_size=3, max_size=3).map(lambda sizes: Profile(*sorted(sizes)))


@given(PROFILES)
def test_text_and_profile_round_trip(profile: Profile) -> None:
    assert Profile.parse(str(profile)) == profile


def test_one_number_is_a_fixed_batch() -> None:
    assert Profile.parse("4") == Profile(4, 4, 4)


@pytest.mark.parametrize(
    "text", ["", "1:2", "1:2:3:4", "a:b:c", "0:1:2", "4:2:8", "1:9:8", "-1:2:3", "1: 2:3", "²:3:4"]
)
def test_what_is_no_profile_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match=r"no batch profile.*MIN:OPT:MAX"):
        Profile.parse(text)


@given(st.lists(PROFILES, min_size=1, max_size=4))
def test_every_batch_up_to_the_largest_is_taken_or_the_profiles_are_refused(
    profiles: list[Profile],
) -> None:
    taken = {size for size in range(1, 513) if any(row.covers(size) for row in profiles)}
    largest = max(row.maximum for row in profiles)
    if taken == set(range(1, largest + 1)):
        assert covering(profiles) == largest
    else:
        with pytest.raises(UsageError, match="no profile covers"):
            covering(profiles)


def test_no_profile_at_all() -> None:
    with pytest.raises(UsageError, match="needs a batch profile"):
        covering([])


@given(st.lists(PROFILES, min_size=1, max_size=4), SIZES)
def test_a_batch_is_served_by_the_nearest_optimum(profiles: list[Profile], batch: int) -> None:
    fitting = [row for row in profiles if row.covers(batch)]
    if not fitting:
        with pytest.raises(UsageError, match=f"batch of {batch} is outside"):
            serving(profiles, batch)
        return
    chosen = profiles[serving(profiles, batch)]
    assert chosen.covers(batch)
    assert all(abs(chosen.optimum - batch) <= abs(row.optimum - batch) for row in fitting)
