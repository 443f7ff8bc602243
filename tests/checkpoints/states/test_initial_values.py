"""Networks that were never trained are told from trained, frozen, fused and BatchNorm-free ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cifar10
import classifiers
import other_libraries
import pytest
import torch
from state_dicts import as_run
from thin import thin
from torch import Tensor, nn

from resnet_serve import weights
from resnet_serve.architectures import build, find
from resnet_serve.checkpoints.reading import SHIPPED, SHIPPED_NETWORK
from resnet_serve.checkpoints.states.initial_values import examine
from resnet_serve.weights import custom_modules

State = dict[str, Tensor]
NEW: dict[str, Callable[[], nn.Module]] = {
    **{
        name: lambda name=name: build(thin(find(name)))  # type: ignore[misc]
        for name in ("resnet20", "resnet18", "resnet50d", "resnext50_32x4d", "resnetv2_18")
    },
    "transformers": lambda: other_libraries.hugging_face(thin(find("resnet50"))),
    "VGG": classifiers.VGGLike,
    "Inception": classifiers.InceptionLike,
}


@pytest.fixture(scope="module")
def digits() -> State:
    return dict(weights.load("digits", find("resnet20")).state)


@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("name", NEW)
def test_a_new_network_is_recognised(name: str, counters: bool) -> None:
    state = NEW[name]().state_dict()
    if not counters:
        state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    signs = examine(state, "net.pth")
    assert signs.untrained is not None
    assert signs.untrained.startswith("every BatchNorm in net.pth is as in a new network")
    assert examine({n: t.half() for n, t in state.items()}, "net.pth").untrained is not None
    assert examine(as_run(state), "net.pth").untrained is None


def test_starting_residual_branches_at_zero_is_new_too() -> None:
    network = build(find("resnet20"))
    for name, parameter in network.named_parameters():
        if name.endswith("bn2.weight"):
            nn.init.zeros_(parameter)
    assert examine(network.state_dict(), "net.pth").untrained is not None


@pytest.mark.parametrize("spec", [*SHIPPED, "random:3"])
def test_networks_of_the_package_are_no_new_ones(spec: str) -> None:
    assert examine(weights.load(spec, find(SHIPPED_NETWORK)).state, "net.pth").said == ()


def test_a_network_trained_on_photographs_is_no_new_one() -> None:
    loaded = weights.load(str(cifar10.checkpoint()), find("resnet20"))
    assert loaded.trained
    assert examine(loaded.state, "net.pth").said == ()


def test_networks_without_running_statistics_show_nothing(digits: State) -> None:
    layers = (nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.BatchNorm2d(8, track_running_stats=False))
    assert examine(nn.Sequential(*layers).state_dict(), "net.pth").said == ()
    affine = {n: t for n, t in digits.items() if "running_" not in n and "tracked" not in n}
    assert examine(affine, "net.pth").said == ()


def test_frozen_statistics_beside_trained_values_are_no_new_network(digits: State) -> None:
    """As where an average of the weights has none of the statistics, or they were frozen."""
    new = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    for kinds in (tuple(new), tuple(new)[:2]):
        state = {
            name: torch.full_like(tensor, new[kind]) if kind in kinds else tensor
            for name, tensor in digits.items()
            for kind in (name.rpartition(".")[2],)
        }
        signs = examine(state, "net.pth")
        assert signs.untrained is None
        (notice,) = signs.notices
        assert "the statistics of every BatchNorm are those of a new network" in notice


def test_a_folded_network_with_neutral_batchnorms_is_no_new_one() -> None:
    state = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).state_dict()
    assert examine(state, "net.pth").untrained is not None
    state["0.bias"] = torch.linspace(-2, 3, 8)
    assert examine(state, "net.pth").untrained is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fc.weight", 0.0, "zero in fc.weight, so that every image may get the same outputs"),
        ("layer2.1.conv2.weight", 0.0, "all values are zero in layer2.1.conv2.weight"),
        ("conv1.weight", 0.3, "all values are the same in conv1.weight"),
        ("bn1.weight", 0.0, "the weight is zero in every channel of bn1"),
        ("layer1.0.bn1.weight", 0.0, "the weight is zero in every channel of layer1.0.bn1"),
        ("layer1.0.bn2.weight", 0.0, None),
    ],
)
def test_dead_layers_are_named(digits: State, name: str, value: float, said: str | None) -> None:
    signs = examine({**digits, name: torch.full_like(digits[name], value)}, "net.pth")
    assert signs.untrained is None
    assert len(signs.notices) == (said is not None)
    if said is not None:
        assert said in signs.notices[0]


def test_some_new_batchnorms_among_trained_ones_are_named(digits: State) -> None:
    changes = {"layer3.2.bn1.running_mean": 0.0, "layer3.2.bn1.running_var": 1.0}
    state = {n: torch.full_like(t, changes[n]) if n in changes else t for n, t in digits.items()}
    (notice,) = examine(state, "net.pth").notices
    assert "the statistics of layer3.2.bn1 are those of a new network" in notice


def test_a_saved_new_network_is_loaded_as_an_untrained_one_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    state = build(find("resnet20")).state_dict()
    torch.save({"state_dict": state}, path)
    loaded = weights.load(str(path), None)
    assert not loaded.trained
    assert loaded.notices[-1].startswith(f"every BatchNorm in {path} is as in a new network")
    assert all(torch.equal(loaded.state[name], tensor) for name, tensor in state.items())


def test_a_custom_module_is_held_to_the_same(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    state = classifiers.InceptionLike().state_dict()
    torch.save(state, path)
    module = "classifiers:InceptionLike"
    for spec, place in ((str(path), str(path)), (None, module)):
        loaded = custom_modules.load(module, spec)
        assert not loaded.trained
        assert loaded.notices[-1].startswith(f"every BatchNorm in {place} is as in a new network")
    found = custom_modules.load(module, str(path)).state
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    torch.save(as_run(state), path)
    assert custom_modules.load(module, str(path)).trained
