"""The table is the family: every row builds the network it promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from resnet_serve.architectures import ARCHITECTURES, Architecture, build, find
from resnet_serve.errors import UsageError

ROWS = pytest.mark.parametrize("row", ARCHITECTURES.values(), ids=lambda row: row.name)
PUBLISHED = {  # torchvision's `num_params`
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}
PAPER = {  # He et al. 2016, table 6, millions
    "resnet20": 0.27,
    "resnet32": 0.46,
    "resnet44": 0.66,
    "resnet56": 0.85,
    "resnet110": 1.7,
}


def shapes_only(row: Architecture) -> nn.Module:
    with torch.device("meta"):
        return build(row)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_family_is_complete() -> None:
    assert set(ARCHITECTURES) == {*PUBLISHED, *PAPER}
    assert all(name == row.name for name, row in ARCHITECTURES.items())


@ROWS
def test_a_row_promises_the_parameters_that_its_network_has(row: Architecture) -> None:
    assert count(shapes_only(row)) == row.parameters
    if row.family == "ImageNet":
        assert row.parameters == PUBLISHED[row.name]
    else:
        assert round(row.parameters / 1e6, 1 if row.name == "resnet110" else 2) == PAPER[row.name]


@ROWS
def test_a_row_promises_the_convolutions_that_its_network_has(row: Architecture) -> None:
    network = shapes_only(row)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == row.convolutions
    # The number in the name counts weighted layers: convolutions off the shortcuts, and the last.
    weighted = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sum("downsample" not in name for name in weighted) == int(row.name[6:])


@ROWS
@pytest.mark.parametrize("classes", [1, 1000])
def test_another_classifier_changes_the_classifier_alone(row: Architecture, classes: int) -> None:
    other = row.with_classes(classes)
    assert other.classes == classes
    assert other.with_classes(row.classes) == row
    network, usual = shapes_only(other), shapes_only(row).state_dict()
    assert count(network) == other.parameters
    changed = {
        name for name, tensor in network.state_dict().items() if tensor.shape != usual[name].shape
    }
    assert changed == (set() if classes == row.classes else {"fc.weight", "fc.bias"})


@pytest.mark.parametrize("classes", [0, -1])
def test_a_classifier_without_classes_is_refused(classes: int) -> None:
    with pytest.raises(UsageError, match=f"resnet18 cannot have {classes} classes"):
        find("resnet18").with_classes(classes)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("resnet51", "resnet50"),
        ("resnet5", "resnet50"),
        ("resnet100", "resnet101"),
        ("ResNet50", "resnet50"),
        ("resnet-152", "resnet152"),
        ("rsnet18", "resnet18"),
        ("resnet_20", "resnet20"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(given)
    assert f"unknown architecture {given!r}" in str(caught.value)
    assert f"Did you mean {meant}?" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", ["vgg16", "", "mobilenetv3"])
def test_a_name_like_none_is_answered_with_the_list_alone(given: str) -> None:
    with pytest.raises(UsageError, match="There are resnet18, resnet34, ") as caught:
        find(given)
    assert "Did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in ARCHITECTURES)


def test_find_gives_the_row() -> None:
    assert find("resnet50") is ARCHITECTURES["resnet50"]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ARCHITECTURES["resnet50"] = find("resnet18")  # type: ignore[index]


def torchvision(block: str, layers: tuple[int, ...], classes: int) -> Iterator[tuple[str, tuple]]:
    """Names and shapes of torchvision's ResNet state dict, in order.

    Restated from torchvision 0.28 `models/resnet.py`: `ResNet.__init__`, `_make_layer`,
    `BasicBlock.__init__` and `Bottleneck.__init__`.
    """

    def norm(name: str, planes: int) -> Iterator[tuple[str, tuple]]:
        for field in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{field}", (planes,)
        yield f"{name}.num_batches_tracked", ()

    expansion = {"basic": 1, "bottleneck": 4}[block]
    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    inplanes = 64
    for stage, blocks in enumerate(layers):
        planes = 64 * 2**stage
        for index in range(blocks):
            prefix = f"layer{stage + 1}.{index}"
            kernels = (
                [(planes, inplanes, 3), (planes, planes, 3)]
                if block == "basic"
                else [(planes, inplanes, 1), (planes, planes, 3), (planes * 4, planes, 1)]
            )
            for number, (outputs, inputs, size) in enumerate(kernels, start=1):
                yield f"{prefix}.conv{number}.weight", (outputs, inputs, size, size)
                yield from norm(f"{prefix}.bn{number}", outputs)
            if index == 0 and (stage > 0 or inplanes != planes * expansion):
                yield f"{prefix}.downsample.0.weight", (planes * expansion, inplanes, 1, 1)
                yield from norm(f"{prefix}.downsample.1", planes * expansion)
            inplanes = planes * expansion
    yield "fc.weight", (classes, inplanes)
    yield "fc.bias", (classes,)


@pytest.mark.parametrize(
    ("name", "block", "layers"),
    [
        ("resnet18", "basic", (2, 2, 2, 2)),
        ("resnet34", "basic", (3, 4, 6, 3)),
        ("resnet50", "bottleneck", (3, 4, 6, 3)),
        ("resnet101", "bottleneck", (3, 4, 23, 3)),
        ("resnet152", "bottleneck", (3, 8, 36, 3)),
    ],
)
def test_names_and_shapes_are_torchvision_s(name: str, block: str, layers: tuple[int, ...]) -> None:
    ours = [(n, tuple(t.shape)) for n, t in shapes_only(find(name)).state_dict().items()]
    assert ours == list(torchvision(block, layers, 1000))


@pytest.mark.parametrize("name", PAPER)
def test_names_of_the_cifar_networks_follow_the_same_rule(name: str) -> None:
    blocks = (int(name[6:]) - 2) // 6
    expected = {"conv1.weight", "fc.weight", "fc.bias"}
    for stage in (1, 2, 3):
        for index in range(blocks):
            expected |= {f"layer{stage}.{index}.conv{number}.weight" for number in (1, 2)}
    state = shapes_only(find(name)).state_dict()
    assert {key for key in state if "bn" not in key} == expected
    assert tuple(state["conv1.weight"].shape) == (16, 3, 3, 3)
    assert tuple(state["fc.weight"].shape) == (10, 64)
