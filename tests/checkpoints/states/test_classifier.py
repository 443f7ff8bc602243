"""Files without a whole classifier: completed where that changes nothing, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from meta_networks import state_of
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import ARCHITECTURES, find
from resnet_serve.checkpoints.reading import Checkpoint, Reading
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


@pytest.fixture(scope="module")
def backbone() -> dict[str, Tensor]:
    state = weights.load("random:3", find("resnet20")).state
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


SELF_SUPERVISED = {
    "MoCo": ("module.encoder_q.", ("fc.0.weight", "fc.2.weight")),
    "SimCLR": ("backbone.", ("fc.0.weight", "fc.0.bias", "fc.2.weight")),
    "VICReg": ("convnet.", ("projector.0.weight",)),
    "DINO": ("module.backbone.", ("head.mlp.0.weight", "head.last_layer.weight")),
    "alone": ("module.encoder_q.", ()),
}


@pytest.mark.parametrize("kind", SELF_SUPERVISED)
def test_a_self_supervised_backbone_serves_features(
    tmp_path: Path, backbone: dict[str, Tensor], kind: str
) -> None:
    prefix, others = SELF_SUPERVISED[kind]
    state = {f"{prefix}{name}": tensor for name, tensor in backbone.items()}
    outer = prefix if others and others[0].startswith("fc.") else prefix.rpartition("backbone.")[0]
    state |= {f"{outer}{name}": torch.ones(4, 64) for name in others}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    path = str(tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="--head features"):
        weights.load(path, None)
    found = weights.load(path, None, reading=Reading(classifier=False))
    assert torch.equal(found.state["conv1.weight"], backbone["conv1.weight"])
    assert any("not served" in notice for notice in found.notices)


def followed(refused: InputFileError, state: dict[str, Tensor]) -> str:
    """The file that the call in the remedy saves, which is beside the refused one."""
    command = str(refused.remedy).partition("classifier: ")[2].partition(". If not")[0]
    target = str(Path(str(refused.where)).with_name("fixed.pth"))
    exec(command.replace("'net.pth'", repr(target)), {"torch": torch, "state": state})
    return target


def test_a_classifier_beside_a_backbone_is_renamed_by_the_remedy(
    tmp_path: Path, backbone: dict[str, Tensor]
) -> None:
    state = {f"backbone.{name}": tensor for name, tensor in backbone.items()}
    state |= {"head.1.weight": torch.ones(5, 64), "head.1.bias": torch.ones(5)}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(InputFileError, match=r"If head\.1\.weight is its classifier") as caught:
        weights.load(str(tmp_path / "net.pth"), None)
    assert weights.load(followed(caught.value, state), None).architecture.classes == 5


def test_a_classifier_of_another_name_is_renamed_by_the_remedy(
    tmp_path: Path, backbone: dict[str, Tensor]
) -> None:
    state = {f"module.{name}": tensor for name, tensor in backbone.items()}
    state |= {"module.top.weight": torch.ones(5, 64), "module.top.bias": torch.ones(5)}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    with pytest.raises(InputFileError, match=r"top\.weight \(5, 64\) may be it") as caught:
        weights.load(str(tmp_path / "net.pth"), None)
    assert weights.load(followed(caught.value, state), None).architecture.classes == 5
