"""Files without a whole classifier: completed where that changes nothing, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from meta_networks import state_of
from torch import Tensor

from resnet_serve.architectures import ARCHITECTURES, find
from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.states.classifier import completed
from resnet_serve.errors import InputFileError


def checkpoint(tensors: dict[str, Tensor], **metadata: str) -> Checkpoint:
    return Checkpoint(Path("net.pth"), "net.pth", tensors, metadata, "", ("read",), False)


@pytest.mark.parametrize("name", ["resnet20", "resnet50", "resnetv2_50", "resnet18-cifar"])
def test_a_backbone_serves_features_with_the_channels_of_its_last_stage(name: str) -> None:
    whole = state_of(find(name))
    tensors = {key: tensor for key, tensor in whole.items() if not key.startswith("fc.")}
    with pytest.raises(InputFileError) as caught:
        completed(checkpoint(tensors), needed=True)
    assert "has no classifier" in str(caught.value)
    assert "--head features or --head pyramid" in str(caught.value)
    found = completed(checkpoint(tensors, labels='["a", "b"]', trained="true"), needed=False)
    assert found.tensors["fc.weight"].shape == (1, whole["fc.weight"].shape[1])
    assert found.metadata == {"trained": "true"}
    assert found.notices == (
        "read",
        "net.pth is a backbone without a classifier (fc), which is not served",
    )


def test_a_bias_of_zeros_is_added_and_said() -> None:
    tensors = {**state_of(find("resnet20")), "fc.weight": torch.ones(7, 64)}
    del tensors["fc.bias"]
    for needed in (True, False):
        found = completed(checkpoint(tensors), needed=needed)
        assert torch.equal(found.tensors["fc.bias"], torch.zeros(7))
        assert "has no bias" in found.notices[-1]


@pytest.mark.parametrize("row", list(ARCHITECTURES.values())[::8], ids=lambda row: row.name)
def test_a_whole_file_is_as_it_was(row: object) -> None:
    whole = checkpoint(state_of(row))  # type: ignore[arg-type]
    assert completed(whole, needed=True) is whole


def test_another_network_is_not_completed() -> None:
    for tensors in (
        {"conv1.weight": torch.ones(1)},
        {"a": torch.ones(1)},
        {"fc.bias": torch.ones(1)},
    ):
        other = checkpoint(tensors)
        assert completed(other, needed=True) is other
