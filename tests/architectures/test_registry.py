"""The table is the family: every row builds the network it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from meta_networks import shapes_only
from published import PAPER, PARAMETERS, TIMM
from torch import nn

from resnet_serve.architectures import ARCHITECTURES, Architecture, find
from resnet_serve.architectures.registry import nearest
from resnet_serve.errors import UsageError

ROWS = pytest.mark.parametrize("row", ARCHITECTURES.values(), ids=lambda row: row.name)
TWINS = {  # without a parameter more or less
    "resnet50v1": "resnet50",
    "resnet101v1": "resnet101",
    "resnet152v1": "resnet152",
    "plain18": "resnet18-a",
    "plain34": "resnet34-a",
    "plain20": "resnet20",
    "plain32": "resnet32",
    "plain44": "resnet44",
    "plain56": "resnet56",
    "resnetv2_152": "preact_resnet152",
}
CIFAR_PROJECTIONS = {  # 16·32 + 32·64 weights and two BatchNorms more than option A
    f"resnet{depth}-b": f"resnet{depth}" for depth in (20, 32, 44, 56, 110)
}
CIFAR_STEMS = {  # a 3×3 convolution for the 7×7, and ten classes
    f"resnet{depth}-cifar": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)
}
DEEP_STEMS = {f"resnetv2_{depth}d": f"resnetv2_{depth}" for depth in (50, 101, 152)}
PREACTIVATED = {
    *(f"preact_resnet{depth}" for depth in (18, 34, 50, 101, 152, 200, 110, 164, 1001)),
}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_family_is_complete() -> None:
    shortcuts = {"resnet18-a", "resnet34-a", "resnet34-c"}
    derived = {*CIFAR_PROJECTIONS, *CIFAR_STEMS, *DEEP_STEMS}
    published = {*PARAMETERS, *TIMM, *PAPER, *PREACTIVATED}
    assert set(ARCHITECTURES) == published | {*TWINS, *shortcuts} | derived
    assert all(name == row.name for name, row in ARCHITECTURES.items())


@ROWS
def test_a_row_promises_the_parameters_that_its_network_has(row: Architecture) -> None:
    assert count(shapes_only(row)) == row.parameters
    millions = row.parameters / 1e6
    if row.name in PARAMETERS:
        assert row.parameters == PARAMETERS[row.name]
    if row.name in TIMM:
        assert round(millions, 2) == TIMM[row.name]
    if row.name in PAPER:
        assert round(millions, 2 if millions < 1 else 1) == PAPER[row.name]
    if row.name in TWINS:
        assert row.parameters == find(TWINS[row.name]).parameters


@pytest.mark.parametrize("name", CIFAR_PROJECTIONS)
def test_projections_cost_their_weights_and_batchnorms(name: str) -> None:
    more = find(name).parameters - find(CIFAR_PROJECTIONS[name]).parameters
    assert more == 16 * 32 + 32 * 64 + 2 * (32 + 64)


@pytest.mark.parametrize("name", CIFAR_STEMS)
def test_a_cifar_stem_is_the_only_difference_but_for_the_classes(name: str) -> None:
    usual = find(CIFAR_STEMS[name]).with_classes(10)
    assert find(name).parameters - usual.parameters == 64 * 3 * (3 * 3 - 7 * 7)


@pytest.mark.parametrize("name", DEEP_STEMS)
def test_a_deep_stem_costs_its_convolutions_and_batchnorms(name: str) -> None:
    more = find(name).parameters - find(DEEP_STEMS[name]).parameters
    assert more == 9 * (3 * 32 + 32 * 32 + 32 * 64) - 49 * 3 * 64 + 2 * (32 + 32)


@pytest.mark.parametrize(
    ("name", "millions"),
    # README of szagoruyko/wide-residual-networks; arXiv:1603.05027, table 2, convolutions alone
    [("preact_resnet200", 64.7), ("preact_resnet164", 1.7), ("preact_resnet1001", 10.2)],
)
def test_preactivated_networks_have_the_published_size(name: str, millions: float) -> None:
    network = shapes_only(find(name))
    norms = sum(count(m) for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    without = 0 if name == "preact_resnet200" else norms
    assert round((count(network) - without) / 1e6, 1) == millions


@ROWS
def test_a_row_promises_the_convolutions_that_its_network_has(row: Architecture) -> None:
    network = shapes_only(row)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(convolutions) == row.convolutions
    assert len(norms) == row.convolutions - row.projections * row.preactivation
    projections = [
        n for n, m in network.named_modules() if "downsample." in n and m in convolutions
    ]
    assert len(projections) == row.projections
    # The number in the name counts weighted layers: convolutions off the shortcuts, and the last.
    weighted = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    extra = 2 if row.stem == "deep" else 0
    assert sum("downsample" not in name for name in weighted) - extra == row.depth
    assert str(row.depth) in row.name


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


@ROWS
def test_other_images_change_the_first_convolution_alone(row: Architecture) -> None:
    grey = row.with_channels(1)
    assert (grey.channels, grey.with_channels(3)) == (1, row)
    network, usual = shapes_only(grey), shapes_only(row).state_dict()
    assert count(network) == grey.parameters
    changed = {n for n, t in network.state_dict().items() if t.shape != usual[n].shape}
    assert changed == {"conv1.0.weight" if row.stem == "deep" else "conv1.weight"}


def test_images_without_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="resnet18 cannot have images of 0 channels"):
        find("resnet18").with_channels(0)


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
    assert f"Did you mean {meant}" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", ["vgg16", "", "mobilenetv3"])
def test_a_name_like_none_is_answered_with_where_they_are_listed(given: str) -> None:
    with pytest.raises(UsageError, match="resnet-convert archs lists all 71") as caught:
        find(given)
    assert "Did you mean" not in str(caught.value)


def test_at_most_three_are_suggested() -> None:
    assert all(len(nearest(name)) <= 3 for name in ("resnet5", "resnet", "resnt50", "plain"))
    assert nearest("resnet50x") == ("resnet50", "resnet50c", "resnet50d")


def test_find_gives_the_row() -> None:
    assert find("resnet50") is ARCHITECTURES["resnet50"]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ARCHITECTURES["resnet50"] = find("resnet18")  # type: ignore[index]


def torchvision(
    block: str,
    layers: tuple[int, ...],
    classes: int,
    *,
    groups: int = 1,
    base_width: int = 64,
    deep: bool = False,
    avg_down: bool = False,
) -> Iterator[tuple[str, tuple]]:
    """Names and shapes of torchvision's (deep: timm's) ResNet state dict, in order.

    Restated from torchvision 0.28 `models/resnet.py`: `ResNet.__init__`, `_make_layer`,
    `BasicBlock.__init__` and `Bottleneck.__init__`; `deep` and `avg_down` from timm's
    `models/resnet.py`, `ResNet.__init__` and `downsample_avg`.
    """

    def norm(name: str, planes: int) -> Iterator[tuple[str, tuple]]:
        for field in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{field}", (planes,)
        yield f"{name}.num_batches_tracked", ()

    expansion = {"basic": 1, "bottleneck": 4}[block]
    if deep:
        yield "conv1.0.weight", (32, 3, 3, 3)
        yield from norm("conv1.1", 32)
        yield "conv1.3.weight", (32, 32, 3, 3)
        yield from norm("conv1.4", 32)
        yield "conv1.6.weight", (64, 32, 3, 3)
    else:
        yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    inplanes = 64
    for stage, blocks in enumerate(layers):
        planes = 64 * 2**stage
        for index in range(blocks):
            prefix = f"layer{stage + 1}.{index}"
            width = planes * base_width // 64 * groups
            kernels = (
                [(planes, inplanes, 3), (planes, planes, 3)]
                if block == "basic"
                else [(width, inplanes, 1), (width, width, 3), (planes * 4, width, 1)]
            )
            for number, (outputs, inputs, size) in enumerate(kernels, start=1):
                yield (
                    f"{prefix}.conv{number}.weight",
                    (
                        outputs,
                        inputs // groups if size == 3 else inputs,
                        size,
                        size,
                    ),
                )
                yield from norm(f"{prefix}.bn{number}", outputs)
            if index == 0 and (stage > 0 or inplanes != planes * expansion):
                first = 1 if avg_down else 0
                yield f"{prefix}.downsample.{first}.weight", (planes * expansion, inplanes, 1, 1)
                yield from norm(f"{prefix}.downsample.{first + 1}", planes * expansion)
            inplanes = planes * expansion
    yield "fc.weight", (classes, inplanes)
    yield "fc.bias", (classes,)


@pytest.mark.parametrize(
    ("name", "block", "layers", "options"),
    [
        ("resnet18", "basic", (2, 2, 2, 2), {}),
        ("resnet34", "basic", (3, 4, 6, 3), {}),
        ("resnet50", "bottleneck", (3, 4, 6, 3), {}),
        ("resnet101", "bottleneck", (3, 4, 23, 3), {}),
        ("resnet152", "bottleneck", (3, 8, 36, 3), {}),
        ("wide_resnet50_2", "bottleneck", (3, 4, 6, 3), {"base_width": 128}),
        ("wide_resnet101_2", "bottleneck", (3, 4, 23, 3), {"base_width": 128}),
        ("resnext50_32x4d", "bottleneck", (3, 4, 6, 3), {"groups": 32, "base_width": 4}),
        ("resnext101_32x8d", "bottleneck", (3, 4, 23, 3), {"groups": 32, "base_width": 8}),
        ("resnext101_64x4d", "bottleneck", (3, 4, 23, 3), {"groups": 64, "base_width": 4}),
        ("resnet101c", "bottleneck", (3, 4, 23, 3), {"deep": True}),
        ("resnet18d", "basic", (2, 2, 2, 2), {"deep": True, "avg_down": True}),
        ("resnet26d", "bottleneck", (2, 2, 2, 2), {"deep": True, "avg_down": True}),
        ("resnet200d", "bottleneck", (3, 24, 36, 3), {"deep": True, "avg_down": True}),
    ],
)
def test_names_and_shapes_are_torchvision_s_and_timm_s(
    name: str, block: str, layers: tuple[int, ...], options: dict[str, Any]
) -> None:
    ours = [(n, tuple(t.shape)) for n, t in shapes_only(find(name)).state_dict().items()]
    assert ours == list(torchvision(block, layers, 1000, **options))


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
