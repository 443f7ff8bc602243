"""Classifiers that are not ResNets, for `--module`: like VGG and like Inception."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_serve.architectures import build, find


class Branch(nn.Module):
    """A convolution without bias, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Four branches side by side, one of them behind an average pool; 32 channels."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.one = Branch(inputs, 8, 1)
        self.three = nn.Sequential(Branch(inputs, 8, 1), Branch(8, 12, 3))
        self.five = nn.Sequential(Branch(inputs, 4, 1), Branch(4, 8, 5))
        self.pooled = Branch(inputs, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        around = functional.avg_pool2d(x, 3, stride=1, padding=1)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(around)], 1)


class InceptionLike(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = Branch(3, 16, 3)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.mixed1, self.mixed2 = Mixed(16), Mixed(32)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mixed2(self.mixed1(self.pool(self.stem(x))))
        x = functional.adaptive_avg_pool2d(x, 1)
        return self.fc(self.dropout(x.view(x.size(0), -1)))


class VGGLike(nn.Module):
    """The network as attribute `model`, as in a Lightning module."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)]
        head = [nn.Linear(256, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, classes)]
        self.model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), *head)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def seeded_vgg() -> nn.Module:
    """The same random weights every time, and BatchNorms that have seen images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = VGGLike().train()
        with torch.no_grad():
            network(torch.randn(8, 3, 32, 32))
        return network


def broken() -> nn.Module:
    raise RuntimeError("no weights here\nand a second line")


def no_network() -> int:
    return 3


def two_answers() -> nn.Module:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.mean((2, 3)), x.mean((2, 3))

    return Two()


ready_made = 3


def backbone_and_head() -> nn.Module:
    """Networks of the family in other libraries' names: `backbone.layer1…`, `head.fc`, `fc.1`."""
    torch.manual_seed(5)
    network = nn.Sequential()
    network.add_module("backbone", build(find("resnet20")))
    network.backbone.fc = nn.Sequential(nn.Dropout(), nn.Linear(64, 12))
    network.add_module("head", nn.Sequential(OrderedDict(fc=nn.Linear(12, 5))))
    return network
