"""Heads: what they answer is what passes through the classifier, by the same parameters."""

from __future__ import annotations

import pytest
import torch
from thin import thin
from torch import nn

from resnet_serve.architectures import build, find, with_head
from resnet_serve.errors import UsageError

KINDS = ("resnet18", "resnet50", "resnet20", "plain20", "preact_resnet18", "resnet50d")


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build(thin(find(request.param))).requires_grad_(False)


def images(network: nn.Module) -> torch.Tensor:
    side = 32 if network.maxpool is None else 64
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_the_classifier_is_the_network_itself(network: nn.Module) -> None:
    assert with_head(network, "classifier") is network


@pytest.mark.usefixtures("one_thread")
def test_features_are_what_fc_takes(network: nn.Module) -> None:
    taken: list[torch.Tensor] = []
    hook = network.fc.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    logits = network(images(network))
    hook.remove()
    features = with_head(network, "features")(images(network))["features"]
    assert features.shape == (2, network.fc.in_features)
    assert torch.equal(features, taken[0])
    assert torch.equal(network.fc(features), logits)


@pytest.mark.usefixtures("one_thread")
def test_the_pyramid_is_what_the_stages_answer(network: nn.Module) -> None:
    seen: list[torch.Tensor] = []
    hooks = [
        getattr(network, stage).register_forward_hook(lambda *call: seen.append(call[2]))
        for stage in network.stages
    ]
    x = images(network)
    network(x)
    for hook in hooks:
        hook.remove()
    if network.norm is not None:
        seen[-1] = torch.relu(network.norm(seen[-1]))
    maps = with_head(network, "pyramid")(x)
    assert list(maps) == ["c2", "c3", "c4", "c5"][: len(network.stages)]
    first = 1 if network.maxpool is None else 4
    for level, (found, expected) in enumerate(zip(maps.values(), seen, strict=True)):
        assert torch.equal(found, expected)
        assert found.shape[2] == x.shape[2] // (first * 2**level)
    if network.norm is None:
        assert all((each >= 0).all() for each in maps.values()), "behind the last ReLU"


def test_parameters_are_shared_under_their_own_names(network: nn.Module) -> None:
    ours = dict(with_head(network, "features").named_parameters())
    theirs = dict(network.named_parameters())
    assert {name: p.data_ptr() for name, p in ours.items()} == {
        name: p.data_ptr() for name, p in theirs.items()
    }


def test_what_is_no_resnet_is_refused() -> None:
    with pytest.raises(UsageError, match="the features of a Sequential are not known"):
        with_head(nn.Sequential(), "features")
