"""Which network a state dict is: told from names and shapes, and never guessed."""

from __future__ import annotations

import re
from itertools import cycle
from pathlib import Path

import pytest
from meta_networks import state_of

from resnet_serve.architectures import ARCHITECTURES, Architecture, find
from resnet_serve.architectures.fitting import candidates, fitting, inferred, looks_like
from resnet_serve.errors import InputFileError

FILE = Path("net.pth")


@pytest.mark.parametrize(
    ("row", "classes", "channels"),
    [
        pytest.param(row, classes, channels, id=f"{row.name}-{classes}-{channels}")
        for row, classes, channels in zip(
            ARCHITECTURES.values(), cycle((7, 1000)), cycle((1, 3, 3)), strict=False
        )
    ],
)
def test_every_row_is_recognised_with_its_classes_and_channels(
    row: Architecture, classes: int, channels: int
) -> None:
    wanted = row.with_classes(classes).with_channels(channels)
    state = state_of(wanted)
    assert wanted in candidates(state)
    found = inferred(state, FILE)
    assert (found.classes, found.channels, found.depths) == (classes, channels, row.depths)
    said = looks_like(state)
    assert said.startswith("this is a ")
    assert row.name in said
    assert f" with {classes} classes" in said


@pytest.mark.parametrize(
    ("name", "taken", "also"),
    [
        ("resnet50v1", "resnet50", "resnet50v1"),
        ("plain20", "resnet20", "plain20"),
        ("plain34", "resnet34-a", "plain34"),
    ],
)
def test_of_twins_the_first_is_taken_and_all_are_said(name: str, taken: str, also: str) -> None:
    state = state_of(find(name))
    assert inferred(state, FILE).name == taken
    assert looks_like(state).startswith(f"this is a {taken} with ")
    assert looks_like(state).endswith(f"(or {also})")


def test_a_file_from_before_the_batch_counters_is_inferred_too() -> None:
    state = {n: t for n, t in state_of(find("resnet18")).items() if "num_batches" not in n}
    assert inferred(state, FILE) == find("resnet18")


@pytest.mark.parametrize("name", ["layer2.1.bn2.weight", "fc.weight", "conv1.weight"])
def test_what_lacks_a_tensor_is_not_guessed(name: str) -> None:
    state = state_of(find("resnet18"))
    del state[name]
    with pytest.raises(InputFileError, match="this is not a network of the family") as caught:
        inferred(state, FILE)
    assert "--module" in str(caught.value)
    assert "--arch" not in str(caught.value), "the next command must not end here again"
    assert "\n" not in str(caught.value)
    if name.startswith("layer"):
        assert f"of resnet18 with 1000 classes, the nearest, 1 differ: {name} is missing" in str(
            caught.value
        )


def test_a_renamed_tensor_is_named_back_by_the_remedy() -> None:
    whole = state_of(find("resnet18"))
    state = {name.replace("layer2.0.conv1.", "layer2.0.first."): t for name, t in whole.items()}
    for read in (lambda: inferred(state, FILE), lambda: fitting(state, find("resnet18"), FILE)):
        with pytest.raises(InputFileError) as caught:
            read()
        said = re.match(
            r"If .* is .*: torch\.save\((\{.*\}), 'net\.pth'\)", str(caught.value.remedy)
        )
        assert said is not None
        assert inferred(eval(said[1], {"state": state}), FILE) == find("resnet18")


def test_where_nothing_is_alike_the_names_in_the_file_are_listed() -> None:
    tensors = state_of(find("resnet18")).values()
    state = {f"blocks.{number}.weight": tensor for number, tensor in enumerate(tensors)}
    with pytest.raises(InputFileError) as caught:
        inferred(state, FILE)
    assert "tensors): blocks.0.weight, blocks.1.weight, " in str(caught.value)
    assert "--module" in str(caught.value)


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_images_of_other_channels_are_refused_with_the_number(channels: int) -> None:
    state = state_of(find("resnet18").with_channels(channels))
    for read in (inferred, lambda state, path: fitting(state, find("resnet18"), path)):
        with pytest.raises(InputFileError, match=f"images of {channels} channels"):
            read(state, FILE)


def test_a_mismatch_lists_ten_keys_and_counts_the_rest() -> None:
    state = state_of(find("resnet34").with_classes(100))
    with pytest.raises(InputFileError) as caught:
        fitting(state, find("resnet18"), FILE)
    text = str(caught.value)
    assert "does not fit resnet18 with 1000 classes: this is a resnet34 with 100 classes" in text
    assert text.count(" is unexpected") + text.count(" is (") + text.count(" is missing") == 10
    assert "and 88 more" in text
