"""The reference computes what the paper says, restated here without its modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_serve.architectures import build, find
from resnet_serve.architectures.blocks import PaddedIdentity

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "side"),
    [(16, 32, 2, 8), (32, 64, 2, 7), (3, 6, 2, 5), (4, 9, 1, 6), (2, 2, 3, 10)],
)
def test_option_a_subsamples_and_pads_with_zeros(
    inputs: int, outputs: int, stride: int, side: int
) -> None:
    """He et al. 2016, section 3.3: an identity, "with extra zero entries padded"."""
    x = torch.randn(2, inputs, side, side)
    given = x.numpy()
    rows = range(0, side, stride)
    expected = np.zeros((2, outputs, len(rows), len(rows)), np.float32)
    first = (outputs - inputs) // 2
    for channel in range(inputs):
        for i, row in enumerate(rows):
            for j, column in enumerate(rows):
                expected[:, first + channel, i, j] = given[:, channel, row, column]
    np.testing.assert_array_equal(PaddedIdentity(inputs, outputs, stride)(x).numpy(), expected)


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("side", [32, 47])
def test_logits_for_any_batch_and_image_size(name: str, batch: int, side: int) -> None:
    row = find(name).with_classes(7)
    logits = build(row)(torch.randn(batch, 3, side, side))
    assert logits.shape == (batch, 7)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "side", "sides"),
    [
        ("resnet18", 224, [56, 28, 14, 7]),
        ("resnet50", 160, [40, 20, 10, 5]),
        ("resnet20", 32, [32, 16, 8]),
        ("resnet20", 33, [33, 17, 9]),
    ],
)
def test_stages_halve_the_image(name: str, side: int, sides: list[int]) -> None:
    seen: list[int] = []
    network = build(find(name))
    for stage in range(len(sides)):
        getattr(network, f"layer{stage + 1}").register_forward_hook(
            lambda _, __, outputs: seen.append(outputs.shape[-1])
        )
    network(torch.zeros(1, 3, side, side))
    assert seen == sides


def test_the_bottleneck_strides_in_its_3x3_convolution() -> None:
    with torch.device("meta"):
        network = build(find("resnet50"))
    block = network.get_submodule("layer2.0")
    strides = [block.get_submodule(f"conv{number}").stride for number in (1, 2, 3)]
    assert strides == [(1, 1), (2, 2), (1, 1)]
    assert block.get_submodule("downsample.0").stride == (2, 2)


def restated(state: dict[str, Tensor], x: Tensor, *, imagenet: bool) -> Tensor:
    """The forward pass from a state dict alone, by functions."""

    def convolution(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.{field}"][:, None, None]
            for field in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    x = functional.relu(norm("bn1", convolution("conv1", x, 2 if imagenet else 1)))
    if imagenet:
        x = functional.max_pool2d(x, 3, 2, 1)
    blocks = dict.fromkeys(".".join(n.split(".")[:2]) for n in state if n.startswith("layer"))
    for block in blocks:
        stride = 2 if block.endswith(".0") and not block.startswith("layer1") else 1
        bottleneck = f"{block}.conv3.weight" in state
        strides = (1, stride, 1) if bottleneck else (stride, 1)
        residual = x
        for number, step in enumerate(strides, start=1):
            residual = norm(
                f"{block}.bn{number}", convolution(f"{block}.conv{number}", residual, step)
            )
            if number < len(strides):
                residual = functional.relu(residual)
        if f"{block}.downsample.0.weight" in state:
            x = norm(f"{block}.downsample.1", convolution(f"{block}.downsample.0", x, stride))
        elif stride == 2:
            extra = (residual.shape[1] - x.shape[1]) // 2
            zeros = torch.zeros(len(x), extra, *residual.shape[2:])
            x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], dim=1)
        x = functional.relu(x + residual)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize(("name", "side"), [("resnet18", 64), ("resnet50", 64), ("resnet20", 32)])
@torch.no_grad()
def test_the_network_is_the_paper_s(name: str, side: int) -> None:
    torch.manual_seed(1)
    network = build(find(name))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.3)
    x = torch.randn(2, 3, side, side)
    ours = network(x)
    expected = restated(network.state_dict(), x, imagenet=find(name).family == "ImageNet")
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


@pytest.mark.parametrize("block", ["layer1.0", "layer1.1", "layer2.0"])
@torch.no_grad()
def test_a_preactivated_block_is_the_paper_s(block: str) -> None:
    """He et al. 2016b, figure 4e: x + F(x); where shapes change both paths read relu(bn(x))."""
    torch.manual_seed(2)
    module = build(find("preact_resnet50")).get_submodule(block)
    state = module.state_dict()

    def activated(name: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.{field}"][:, None, None].float()
            for field in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.relu((x - mean) / torch.sqrt(variance + 1e-5) * scale + shift)

    for name, tensor in state.items():
        if name.startswith("bn") and tensor.ndim:
            tensor.uniform_(0.5, 1.5)
    stride = 2 if block == "layer2.0" else 1
    x = torch.randn(2, state["conv1.weight"].shape[1], 9, 9)
    h = x if block == "layer1.0" else activated("bn1", x)
    y = activated("bn2", functional.conv2d(h, state["conv1.weight"]))
    y = activated("bn3", functional.conv2d(y, state["conv2.weight"], stride=stride, padding=1))
    y = functional.conv2d(y, state["conv3.weight"])
    identity = x
    if "downsample.0.weight" in state:
        identity = functional.conv2d(h, state["downsample.0.weight"], stride=stride)
    torch.testing.assert_close(module(x.clone()), y + identity, rtol=1e-4, atol=1e-3)


def test_preactivated_cifar_bottlenecks_stride_as_their_authors_do() -> None:
    assert {find(f"preact_resnet{depth}").strided for depth in (164, 1001)} == {"1x1"}


def test_v1_strides_in_its_first_1x1_convolution() -> None:
    with torch.device("meta"):
        block = build(find("resnet50v1")).get_submodule("layer2.0")
    strides = [block.get_submodule(f"conv{number}").stride for number in (1, 2, 3)]
    assert strides == [(2, 2), (1, 1), (1, 1)]


def test_the_input_is_not_written_over() -> None:
    x = torch.randn(1, 3, 32, 32)
    before = x.clone()
    build(find("resnet20"))(x)
    assert torch.equal(x, before)


def test_a_new_network_is_in_evaluation_mode_and_initialised_as_he_et_al_2015() -> None:
    torch.manual_seed(0)
    network = build(find("resnet18"))
    assert not any(module.training for module in network.modules())
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            outputs, _, kernel, _ = module.weight.shape
            expected = (2 / (outputs * kernel * kernel)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
            assert abs(module.weight.mean().item()) < 0.1 * expected, name


def test_a_network_follows_its_seed() -> None:
    def first(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return build(find("resnet20")).state_dict()["conv1.weight"]

    assert torch.equal(first(3), first(3))
    assert not torch.equal(first(3), first(4))
