"""Other libraries' checkpoints answer here what they answer there, or stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import other_libraries
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from thin import thin
from torch import Tensor, nn

from resnet_serve.architectures import Architecture, build, find
from resnet_serve.architectures.fitting import fitting
from resnet_serve.checkpoints import reading
from resnet_serve.checkpoints.naming import NAMINGS, of_family, read
from resnet_serve.errors import InputFileError, Note

MARKS = [mark for naming in NAMINGS for mark in naming.marks]
Theirs = Callable[[Architecture], nn.Module]


def family(folder: Path, loaded: object) -> reading.Checkpoint:
    torch.save(loaded, folder / "net.pth")
    return of_family(reading.read(str(folder / "net.pth")))


def shaken(network: nn.Module) -> nn.Module:
    """In evaluation, with statistics that leave no two channels alike."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(std=0.2)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "theirs", "library"),
    [
        ("resnet18", other_libraries.hugging_face, "Hugging Face transformers"),
        ("resnet50", other_libraries.hugging_face, "Hugging Face transformers"),
        ("resnetv2_18", other_libraries.timm_v2, "timm (resnetv2)"),
        ("resnetv2_50", other_libraries.timm_v2, "timm (resnetv2)"),
        ("resnetv2_18d", other_libraries.timm_v2, "timm (resnetv2)"),
        ("resnetv2_50d", other_libraries.timm_v2, "timm (resnetv2)"),
        ("resnet18-cifar", other_libraries.pytorch_cifar, "pytorch-cifar"),
        ("resnet50-cifar", other_libraries.pytorch_cifar, "pytorch-cifar"),
        ("resnet20-b", other_libraries.pytorch_cifar, "pytorch-cifar"),
        ("resnet18-cifar", other_libraries.pytorch_cifar100, "pytorch-cifar100"),
        ("resnet50-cifar", other_libraries.pytorch_cifar100, "pytorch-cifar100"),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_network_of_another_library_answers_as_it_does_there(
    tmp_path: Path, name: str, theirs: Theirs, library: str, wrapper: str
) -> None:
    torch.manual_seed(0)
    row = thin(find(name)).with_classes(7)
    network = shaken(theirs(row))
    state = {f"{wrapper}{key}": tensor for key, tensor in network.state_dict().items()}
    found = family(tmp_path, {"state_dict": state})
    assert found.notices == (f"the names are those of {library}, read as torchvision's",)
    assert isinstance(found.notices[0], Note)
    ours = build(row)
    ours.load_state_dict(fitting(dict(found.tensors), row, found.path), strict=True)
    images = torch.randn(2, 3, 65, 65)
    with torch.inference_mode():
        expected, answer = network(images), ours.eval()(images)
    assert expected.std() > 0.01
    assert torch.allclose(answer, expected, rtol=1e-4, atol=1e-5)


def named(row: str = "resnet20") -> dict[str, Tensor]:
    return dict(build(find(row)).state_dict())


def test_openmmlab_keeps_the_head_beside_the_backbone(tmp_path: Path) -> None:
    state = {
        (f"head.{name}" if name.startswith("fc.") else f"backbone.{name}"): tensor
        for name, tensor in named("resnet18").items()
    }
    found = family(tmp_path, {"state_dict": state, "meta": {"epoch": 100}})
    assert found.tensors.keys() == named("resnet18").keys()
    assert found.notices == ("the names are those of OpenMMLab, read as torchvision's",)


@pytest.mark.parametrize(
    ("strangers", "said"),
    [
        (["head.weight"], "head.weight."),
        (
            [f"head{index:02}.weight" for index in range(12)],
            ", ".join(f"head{index:02}.weight" for index in range(10)) + " and 2 more.",
        ),
    ],
)
def test_what_is_outside_a_backbone_is_not_guessed_to_be_its_classifier(
    tmp_path: Path, strangers: list[str], said: str
) -> None:
    state = {f"backbone.{name}": tensor for name, tensor in named().items()}
    with pytest.raises(InputFileError) as caught:
        family(tmp_path, state | {name: torch.ones(2, 2) for name in strangers})
    assert str(caught.value) == (
        f"{tmp_path / 'net.pth'}: contains a network under 'backbone.' and other tensors: {said} "
        "Serve its features with --head features, or give --module package.module:factory with "
        "the code of the whole network."
    )


@pytest.mark.parametrize("place", [0, 1, 12])
def test_a_classifier_behind_dropout_is_the_classifier(tmp_path: Path, place: int) -> None:
    state = named()
    state |= {f"fc.{place}.{field}": state.pop(f"fc.{field}") for field in ("weight", "bias")}
    found = family(tmp_path, state)
    assert found.tensors.keys() == named().keys()
    assert found.notices == (
        f"fc.{place} is used as the classifier; layers of fc without parameters are ignored",
    )


@pytest.mark.parametrize(
    "inside",
    [
        {"fc.0.weight": (32, 64), "fc.0.bias": (32,), "fc.2.weight": (10, 32), "fc.2.bias": (10,)},
        {"fc.0.weight": (64,), "fc.0.bias": (64,)},  # a norm
        {"fc.1.weight": (10, 64)},
        {"fc.1.weight": (10, 64), "fc.1.bias": (10,), "fc.1.scale": (10,)},
        {"fc.head.weight": (10, 64), "fc.head.bias": (10,)},
    ],
)
def test_a_classifier_of_more_than_one_layer_is_left_as_it_is(
    inside: dict[str, tuple[int, ...]],
) -> None:
    state = {name: tensor for name, tensor in named().items() if not name.startswith("fc.")}
    state |= {name: torch.zeros(shape) for name, shape in inside.items()}
    assert read(state).notices == ()
    assert read(state).tensors == state


def test_torchvisions_names_stay_and_nothing_is_said() -> None:
    state = named()
    assert (read(state).tensors, read(state).notices) == (state, ())


def test_names_that_would_become_one_stay() -> None:
    state = named() | {"linear.weight": torch.zeros(10, 64)}
    assert (read(state).tensors, read(state).notices) == (state, ())


COMPONENTS = st.sampled_from(
    (
        *("resnet", "stages", "blocks", "layers", "layer", "0", "1", "norm1", "conv2", "conv2_x"),
        *("downsample", "shortcut", "residual_function", "convolution", "normalization"),
        *("conv", "fc", "head", "backbone", "weight"),
    )
)
NAMES = st.one_of(
    st.sampled_from(MARKS), st.lists(COMPONENTS, min_size=1, max_size=7).map(".".join)
)


@given(st.sets(NAMES, max_size=12))
def test_no_tensor_is_lost_whatever_the_names(names: set[str]) -> None:
    state = {name: torch.full((1,), float(number)) for number, name in enumerate(sorted(names))}
    found = read(state).tensors
    assert sorted(float(t) for t in found.values()) == sorted(float(t) for t in state.values())
