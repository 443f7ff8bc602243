"""Clean names, as properties: nothing dropped, nothing merged, in any order of wrappers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.checkpoints.keys import WRAPPERS, clean

NETWORK = ("conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "fc.weight", "fc.bias")
COMPONENTS = st.sampled_from(
    [*sorted(WRAPPERS), "conv1", "layer1", "0", "weight", "fc", "criterion", "train_acc", ""]
)
NAMES = st.lists(COMPONENTS, min_size=1, max_size=5).map(".".join)
STATES = st.sets(NAMES, max_size=8).map(lambda names: {name: object() for name in names})


@given(STATES)
def test_nothing_is_dropped_renamed_twice_or_merged(state: dict[str, object]) -> None:
    found = clean(state)
    back = {f"{found.prefix}{name}": value for name, value in found.tensors.items()}
    assert not back.keys() & found.training_only.keys()
    assert back | found.training_only == state
    assert len(found.tensors) + len(found.training_only) == len(state)


@given(STATES)
def test_cleaning_twice_is_cleaning_once(state: dict[str, object]) -> None:
    once = clean(state).tensors
    again = clean(once)
    assert (again.tensors, again.prefix, again.training_only) == (once, "", {})


@given(st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=6))
def test_any_order_of_wrappers_comes_off(wrappers: list[str]) -> None:
    prefix = "".join(f"{wrapper}." for wrapper in wrappers)
    found = clean({f"{prefix}{name}": name for name in NETWORK})
    assert found.tensors == {name: name for name in NETWORK}
    assert (found.prefix, found.training_only) == (prefix, {})


@pytest.mark.parametrize(
    "beside", ["n_averaged", "model.criterion.weight", "train_acc.tp", "val_loss.total", "loss.w"]
)
def test_losses_metrics_and_counters_do_not_hold_a_prefix_on(beside: str) -> None:
    found = clean({**{f"module.{name}": 1 for name in NETWORK}, beside: 2})
    assert (set(found.tensors), found.training_only) == (set(NETWORK), {beside: 2})


@pytest.mark.parametrize("other", ["head.weight", "modules.fc.weight", "module", "conv1.weight"])
def test_a_prefix_that_one_relevant_tensor_lacks_stays(other: str) -> None:
    state = {**{f"module.{name}": 1 for name in NETWORK}, other: 2}
    assert clean(state).tensors == state


def test_a_network_s_own_names_are_no_wrappers() -> None:
    assert not WRAPPERS & {"conv1", "bn1", "layer1", "fc", "downsample", "stem"}
    assert clean({"conv1.weight": 1}).tensors == {"conv1.weight": 1}
    assert clean({}).tensors == {}
