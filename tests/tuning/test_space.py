"""The table of what is tried, over hosts and goals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tunable import configuration

from resnet_serve.tuning.space import KNOBS, Bounds, Space

bounds = st.builds(
    Bounds,
    versions=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True).map(tuple),
    cores=st.integers(1, 96),
    p99_ms=st.floats(0.1, 1000),
)
defaults = st.builds(
    lambda **facts: configuration(**facts).canonical(),
    version=st.integers(1, 9),
    instances=st.integers(1, 5),
    threads=st.integers(1, 5),
    max_batch_size=st.integers(1, 32),
    delay_ms=st.sampled_from([0.0, 2.5]),
    one_per_core_below=st.sampled_from([0, 5]),
)


@given(bounds, defaults)
def test_every_configuration_is_there_once_and_the_default_too(within: Bounds, default) -> None:
    space = Space.within(within, default)
    found = space.all()
    assert default in found
    assert len({str(each.to_json()) for each in found}) == len(found)
    for each in found:
        assert space.configuration(space.choices(each)) == each
        assert each.max_batch_size > 1 or each.delay_ms == 0
        divides = each.max_batch_size > 1 and each.threads > 1
        assert divides or each.one_per_core_below == 0
        alike = (each.instances, each.threads) == (default.instances, default.threads)
        assert alike or within.cores / 2 <= each.instances * each.threads <= within.cores
        assert each.delay_ms <= within.p99_ms / 4 or each.delay_ms == default.delay_ms


@given(bounds, defaults)
def test_it_begins_with_the_default_and_the_extremes_of_each_version(
    within: Bounds, default
) -> None:
    space = Space.within(within, default)
    first, *rest = space.openings()
    everything = space.all()
    assert first == default
    assert all(each in everything for each in rest)
    assert {each.version for each in (first, *rest)} == {*within.versions, default.version}


@pytest.mark.parametrize(
    ("cores", "layouts"),
    [
        (1, {"1x1"}),
        (2, {"1x1", "1x2", "2x1"}),
        (4, {"1x2", "2x1", "1x4", "2x2", "4x1"}),
        (6, {"1x4", "2x2", "4x1", "1x6", "6x1"}),
    ],
)
def test_layouts(cores: int, layouts: set[str]) -> None:
    space = Space.within(Bounds((1,), cores, 50), configuration())
    assert set(space.values["layout"]) - {"1x1"} == layouts - {"1x1"}


def test_a_choice_is_a_row_of_the_table() -> None:
    space = Space.within(Bounds((1, 2), 2, 50), configuration())
    assert list(space.values) == [knob.name for knob in KNOBS]
    assert all(type(each) in (int, float, str) for row in space.values.values() for each in row)
