"""Pickled networks whose tensors fit and whose arithmetic does not: refused, or told from twins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from state_dicts import same
from torch import nn

from resnet_serve import weights
from resnet_serve.architectures import build, find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError
from resnet_serve.weights.assumptions import Subject

ROW = find("resnet20-b").with_classes(5)


def saved(path: Path, network: object) -> str:
    torch.save(network, path / "net.pt")
    return str(path / "net.pt")


def block(network: nn.Module, name: str) -> nn.Module:
    return network.get_submodule(name)


class StdConv2d(nn.Conv2d):
    """Weight standardisation, as in timm's BiT networks: the tensors of a convolution."""


CHANGES: dict[str, tuple[Callable[[nn.Module], None], str]] = {
    "last stride": (
        lambda net: block(net, "layer3.0.conv1").__setattr__("stride", (1, 1)),
        "layer3.0.conv1 has stride (1, 1), resnet20-b has (2, 2)",
    ),
    "dilation": (
        lambda net: block(net, "layer3.1.conv2").__setattr__("dilation", (2, 2)),
        "layer3.1.conv2 has dilation (2, 2), resnet20-b has (1, 1)",
    ),
    "reflection": (
        lambda net: net.conv1.__setattr__("padding_mode", "reflect"),
        "conv1 has padding_mode reflect, resnet20-b has zeros",
    ),
    "eps": (
        lambda net: net.bn1.__setattr__("eps", 1e-3),
        "bn1 has eps 0.001, resnet20-b has 1e-05",
    ),
    "activation": (
        lambda net: block(net, "layer1.0").__setattr__("relu", nn.SiLU()),
        "layer1.0.relu is SiLU, resnet20-b has ReLU",
    ),
    "standardised weights": (
        lambda net: net.add_module("conv1", StdConv2d(3, 16, 3, padding=1, bias=False)),
        "conv1 is StdConv2d, resnet20-b has Conv2d",
    ),
    "another pool": (
        lambda net: net.add_module("blur", nn.AvgPool2d(2)),
        "blur is AvgPool2d",
    ),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_other_arithmetic_between_the_same_tensors_is_refused(
    tmp_path: Path, name: str, wrapped: bool
) -> None:
    change, text = CHANGES[name]
    network = build(ROW)
    change(network)
    path = saved(tmp_path, {"model": nn.DataParallel(network)} if wrapped else network)
    for architecture in (None, ROW):
        with pytest.raises(InputFileError) as caught:
            weights.load(path, architecture)
        assert text in str(caught.value)
        assert "--module" in str(caught.value)


@pytest.mark.parametrize("name", ["resnet50", "resnet50v1"])
def test_strides_tell_networks_with_the_same_tensors_apart(tmp_path: Path, name: str) -> None:
    row = find(name).with_classes(3)
    network = build(row)
    loaded = weights.load(saved(tmp_path, network), None)
    assert loaded.architecture.name == name
    assert same(loaded.state, network.state_dict())
    other = find("resnet50v1" if name == "resnet50" else "resnet50")
    with pytest.raises(InputFileError, match=r"layer2\.0\.conv1 has stride") as caught:
        weights.load(str(tmp_path / "net.pt"), other)
    assert str(caught.value).endswith(f"Give --arch {name}.")


@pytest.mark.parametrize("name", ["resnet20", "resnet18-cifar", "preact_resnet18"])
def test_a_network_of_the_family_has_its_arithmetic(tmp_path: Path, name: str) -> None:
    network = build(find(name))
    assert same(weights.load(saved(tmp_path, network), find(name)).state, network.state_dict())


def test_a_trusted_pickle_is_held_to_the_same(tmp_path: Path) -> None:
    network = build(ROW)
    network.bn1.eps = 1e-3
    path = saved(tmp_path, network)
    with pytest.raises(InputFileError, match=r"bn1 has eps 0\.001"):
        weights.load(path, ROW, reading=Reading(trust_pickle=True))
    network.bn1.eps = 1e-5
    loaded = weights.load(saved(tmp_path, network), ROW, reading=Reading(trust_pickle=True))
    assert loaded.trusted_pickle
    assert same(loaded.state, network.state_dict())


def test_what_computes_the_same_is_taken(tmp_path: Path) -> None:
    network = build(ROW)
    network.avgpool = nn.AvgPool2d(8)
    network.dropout = nn.Dropout()
    block(network, "layer1.0").add_module("drop_path", nn.Identity())
    assert same(weights.load(saved(tmp_path, network), ROW).state, network.state_dict())


class BlurPool2d(nn.Module):
    """An anti-aliasing filter, which has no weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class OwnBlock(nn.Module):
    """A block of the user, whose forward is not seen."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name, module in block.named_children():
            self.add_module(name, module)


def arithmetic_of(found: weights.Weights) -> str:
    return "".join(each.what for each in found.assumptions if each.subject is Subject.ARITHMETIC)


def test_a_filter_without_weights_is_refused(tmp_path: Path) -> None:
    network = build(ROW)
    block(network, "layer2.0").add_module("aa", BlurPool2d())
    with pytest.raises(InputFileError, match=r"layer2\.0\.aa is BlurPool2d, which resnet20-b"):
        weights.load(saved(tmp_path, network), ROW)


def test_frozen_statistics_have_an_eps_too(tmp_path: Path) -> None:
    network = build(ROW)
    network.bn1 = nn.SyncBatchNorm(16, eps=1e-3)
    with pytest.raises(InputFileError, match=r"bn1 has eps 0\.001"):
        weights.load(saved(tmp_path, network), ROW)
    network.bn1 = nn.SyncBatchNorm(16)
    assert weights.load(saved(tmp_path, network), ROW).architecture.name == ROW.name


def test_what_tensors_do_not_show_is_said_unless_something_records_it(tmp_path: Path) -> None:
    network = build(ROW)
    assert arithmetic_of(weights.load(saved(tmp_path, network), ROW)) == ""
    network.layer1[0] = OwnBlock(network.layer1[0])
    code = "the code of OwnBlock, which was not run, computes as in resnet20-b"
    assert arithmetic_of(weights.load(saved(tmp_path, network), ROW)) == code
    plain = weights.load(saved(tmp_path, network.state_dict()), ROW)
    assert arithmetic_of(plain).startswith("the file has tensors only: strides, dilation, pooling")
    named = weights.load(saved(tmp_path, {"arch": ROW.name, "net": network.state_dict()}), None)
    assert arithmetic_of(named).endswith("of resnet20-b, the network that its arch names")
