"""A custom module's entries in a file: exactly, by its own names, from one place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from state_dicts import same
from torch import Tensor, nn

from resnet_serve.checkpoints.states.matching import Wanted, match
from resnet_serve.errors import InputFileError

FILE = Path("net.pth")
WANTED = Wanted(
    "Net",
    {
        "loss.weight": torch.zeros(2, 3),
        "bn.num_batches_tracked": torch.zeros((), dtype=torch.int64),
        "bn.running_mean": torch.zeros(2),
    },
    counters=("bn.num_batches_tracked",),
)


def numbered(value: int) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, value) for name, tensor in WANTED.tensors.items()}


ONE, TWO = numbered(1), numbered(2)


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("loaded", "place"),
    [
        (ONE, ""),
        ({"state_dict": under("net.", ONE), "optimizer": {"state": {}}}, "state_dict.net"),
        ({"whatever": {"deep": ONE}, "epoch": 3}, "whatever.deep"),
        (under("a.b.c.", ONE), "a.b.c"),
        ({**ONE, **under("teacher.", TWO)}, ""),
    ],
)
def test_its_entries_are_found_wherever_they_are(loaded: object, place: str) -> None:
    found, _ = match(loaded, WANTED, FILE)
    assert same(found.tensors, ONE)
    assert found.place == place


@pytest.mark.parametrize(
    ("loaded", "first", "second"),
    [
        ({"student": ONE, "teacher": TWO}, "student", "teacher"),
        (under("q.", ONE) | under("k.", TWO), "q", "k"),
    ],
)
def test_several_places_are_a_choice_of_the_user(loaded: object, first: str, second: str) -> None:
    with pytest.raises(InputFileError) as caught:
        match(loaded, WANTED, FILE)
    assert f"contains more than one network: {first}, {second}" in str(caught.value)
    assert f"--weights-key {first}" in str(caught.value)
    assert same(match(loaded, WANTED, FILE, key=first)[0].tensors, ONE)
    assert same(match(loaded, WANTED, FILE, key=second)[0].tensors, TWO)


def test_an_averaged_copy_is_taken_only_on_request() -> None:
    loaded = {"model": ONE, "model_ema": under("module.", TWO)}
    found, notices = match(loaded, WANTED, FILE)
    assert same(found.tensors, ONE)
    assert "--ema uses it" in notices[0]
    assert same(match(loaded, WANTED, FILE, ema=True)[0].tensors, TWO)


def test_counters_alone_may_be_missing_and_that_is_said() -> None:
    state = {name: tensor for name, tensor in ONE.items() if name not in WANTED.counters}
    found, notices = match(state, WANTED, FILE)
    assert same(found.tensors, state)
    assert notices == (
        "net.pth lacks bn.num_batches_tracked: counters of training, which evaluation does not "
        "read",
    )
    strict = Wanted("Net", WANTED.tensors)
    with pytest.raises(InputFileError, match=r"bn\.num_batches_tracked is missing"):
        match(state, strict, FILE)


def test_a_tied_tensor_is_kept_once() -> None:
    wanted = Wanted(
        "Net",
        {"a.w": torch.zeros(2), "b.w": torch.zeros(2)},
        (),
        {"a.w": ("b.w",), "b.w": ("a.w",)},
    )
    for name in wanted.tensors:
        found, _ = match({name: torch.ones(2)}, wanted, FILE)
        assert same(found.tensors, {"a.w": torch.ones(2), "b.w": torch.ones(2)})


def test_a_prefix_that_the_file_lacks_is_added_and_said() -> None:
    wanted = Wanted(
        "Net", under("model.body.", WANTED.tensors), ("model.body.bn.num_batches_tracked",)
    )
    found, notices = match(ONE, wanted, FILE)
    assert same(found.tensors, under("model.body.", ONE))
    assert notices == (
        "the names in net.pth lack the module's prefix 'model.body.', which is added",
    )


def test_a_pruned_file_fits_a_plain_module_and_a_pruned_one_fits_as_it_is() -> None:
    pruned = {
        "loss.weight_orig": torch.full((2, 3), 3.0),
        "loss.weight_mask": torch.tensor([[1.0, 0.0, 1.0]] * 2),
        "bn.running_mean": torch.ones(2),
    }
    found, notices = match(pruned, WANTED, FILE)
    assert found.tensors["loss.weight"].tolist() == [[3, 0, 3]] * 2
    assert "is pruned" in notices[0]
    own = Wanted("Net", dict(pruned))
    assert same(match(pruned, own, FILE)[0].tensors, pruned)
    del pruned["bn.running_mean"]
    with pytest.raises(InputFileError, match=r"bn\.running_mean is missing"):
        match(pruned, own, FILE)


def test_the_closest_place_is_compared() -> None:
    near = {name: tensor for name, tensor in ONE.items() if name != "loss.weight"}
    with pytest.raises(InputFileError) as caught:
        match({"head": {"x.y": torch.ones(1)}, "body": under("m.", near)}, WANTED, FILE)
    assert str(caught.value).startswith("net.pth, body.m: does not fit Net: 2 of its 3 entries")
    assert "loss.weight is missing" in str(caught.value)


@pytest.mark.parametrize("loaded", [{}, {"epoch": 3}, [1], None, {"state_dict": {}}])
def test_a_file_without_tensors_is_none(loaded: object) -> None:
    with pytest.raises(InputFileError, match="contains no state dict"):
        match(loaded, WANTED, FILE)


def test_a_module_without_weights_has_nothing_to_load() -> None:
    with pytest.raises(InputFileError, match="has no weights"):
        match(ONE, Wanted("Flatten", nn.Flatten().state_dict()), FILE)
