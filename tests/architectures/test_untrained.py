"""Untrained networks: quiet branches, settled statistics, the caller's random numbers untouched."""

from __future__ import annotations

import pytest
import torch

from resnet_serve.architectures import build, find, untrained
from resnet_serve.errors import UsageError


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet20", "layer1.0.bn2"),
        ("resnet50", "layer1.0.bn3"),
        ("preact_resnet18", "layer1.0.conv2"),
        ("preact_resnet50", "layer1.0.conv3"),
    ],
)
def test_what_a_branch_adds_last_is_scaled_and_nothing_else(name: str, last: str) -> None:
    network = build(find(name))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    untrained.scale_residuals(network)
    after = network.state_dict()
    key = f"{last}.weight"
    assert torch.equal(after[key], before[key] * untrained.RESIDUAL_SCALE)
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert len(changed) == sum(find(name).depths)


@pytest.mark.parametrize(
    ("name", "where", "count"),
    [("plain20", "bn", 18), ("resnet34-c", "downsample", 13), ("resnet34", "downsample", 0)],
)
def test_batchnorms_without_an_identity_beside_them_get_an_offset(
    name: str, where: str, count: int
) -> None:
    network = build(find(name))
    untrained.scale_residuals(network)
    given = {key for key, t in network.state_dict().items() if torch.all(t == untrained.OFFSET)}
    offset = {key for key in given if key.endswith(".bias")}
    assert len(offset) == count
    assert all(where in key for key in offset)


@pytest.mark.parametrize(
    ("name", "last", "scale"),
    [("resnet110", "layer1.0.bn2", 18**-0.5), ("preact_resnet200", "layer2.3.conv3", 24**-0.5)],
)
def test_the_branches_of_a_deep_stage_are_quieter(name: str, last: str, scale: float) -> None:
    network = build(find(name))
    before = network.state_dict()[f"{last}.weight"].clone()
    untrained.scale_residuals(network)
    assert torch.allclose(network.state_dict()[f"{last}.weight"], before * scale)


def test_settling_fills_the_statistics() -> None:
    with untrained.seeded(0):
        network = build(find("resnet20"))
        untrained.estimate_statistics(network, (3, 32, 32))
    assert not network.training
    assert network.state_dict()["layer2.1.bn1.running_mean"].abs().max() > 0
    assert network.state_dict()["layer2.1.bn1.num_batches_tracked"] == untrained.PASSES


def test_the_callers_random_numbers_go_on_as_before() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with untrained.seeded(1):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("option", "seed"), [("", 0), ("0", 0), ("17", 17)])
def test_seeds(option: str, seed: int) -> None:
    assert untrained.seed_of(option) == seed


@pytest.mark.parametrize("option", ["x", "-1", "1.5", "1" * 19])
def test_what_is_no_seed(option: str) -> None:
    with pytest.raises(UsageError, match="at most 18 digits"):
        untrained.seed_of(option)
