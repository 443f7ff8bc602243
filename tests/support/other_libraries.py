"""Other libraries' residual networks in little, restated: their names, and their arithmetic.

From the code published as transformers `models/resnet/modeling_resnet.py`, timm
`models/resnetv2.py`, kuangliu/pytorch-cifar `models/resnet.py` and weiaicunzai/pytorch-cifar100
`models/resnet.py`. Each is built for a row of our family, and knows nothing of ours.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from resnet_serve.architectures import Architecture

EXPANSION = {"basic": 1, "bottleneck": 4}


def named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def layers(row: Architecture, inputs: int, width: int, stride: int) -> list[nn.Conv2d]:
    """The convolutions of one block."""
    if row.block == "basic":
        return [conv(inputs, width, 3, stride), conv(width, width, 3)]
    return [conv(inputs, width, 1), conv(width, width, 3, stride), conv(width, 4 * width, 1)]


def blocks(row: Architecture, make: type[nn.Module]) -> list[nn.Sequential]:
    """Stages of blocks of one kind."""
    found, inputs = [], row.widths[0]
    for number, (depth, width) in enumerate(zip(row.depths, row.widths, strict=True)):
        stage = []
        for position in range(depth):
            stride = 2 if position == 0 and number else 1
            stage.append(make(row, inputs, width, stride))
            inputs = width * EXPANSION[row.block]
        found.append(nn.Sequential(*stage))
    return found


class HuggingFaceLayer(nn.Module):
    def __init__(self, row: Architecture, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        convs = layers(row, inputs, width, stride)
        outputs = convs[-1].out_channels
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = named(
                convolution=conv(inputs, outputs, 1, stride),
                normalization=nn.BatchNorm2d(outputs),
            )
        self.layer = nn.Sequential(
            *(
                named(
                    convolution=each,
                    normalization=nn.BatchNorm2d(each.out_channels),
                    activation=nn.Identity() if each is convs[-1] else nn.ReLU(),
                )
                for each in convs
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.layer(x) + self.shortcut(x))


def hugging_face(row: Architecture) -> nn.Module:
    width = row.widths[0]
    embedder = named(
        convolution=nn.Conv2d(row.channels, width, 7, 2, 3, bias=False),
        normalization=nn.BatchNorm2d(width),
        activation=nn.ReLU(),
    )
    stages = nn.Sequential(*(named(layers=stage) for stage in blocks(row, HuggingFaceLayer)))
    return named(
        resnet=named(
            embedder=named(embedder=embedder, pooler=nn.MaxPool2d(3, 2, 1)),
            encoder=named(stages=stages),
            pooler=nn.AdaptiveAvgPool2d((1, 1)),
        ),
        classifier=nn.Sequential(nn.Flatten(), nn.Linear(row.features, row.classes)),
    )


class TimmV2Block(nn.Module):
    def __init__(self, row: Architecture, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        convs = layers(row, inputs, width, stride)
        outputs = convs[-1].out_channels
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = named(conv=conv(inputs, outputs, 1, stride))
            if row.shortcut == "D":
                pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
                before = nn.Identity() if stride == 1 else pool
                self.downsample = named(pool=before, conv=conv(inputs, outputs, 1))
        self.count = len(convs)
        for number, each in enumerate(convs, start=1):
            self.add_module(f"norm{number}", nn.BatchNorm2d(each.in_channels))
            self.add_module(f"conv{number}", each)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = functional.relu(self.norm1(x))
        shortcut = x if self.downsample is None else self.downsample(activated)
        y = self.conv1(activated)
        for number in range(2, self.count + 1):
            y = getattr(self, f"conv{number}")(functional.relu(getattr(self, f"norm{number}")(y)))
        return y + shortcut


def timm_v2(row: Architecture) -> nn.Module:
    width, half = row.widths[0], row.widths[0] // 2
    stem: dict[str, nn.Module] = {"conv": nn.Conv2d(row.channels, width, 7, 2, 3, bias=False)}
    if row.stem == "deep":
        stem = {
            "conv1": conv(row.channels, half, 3, 2),
            "norm1": ActivatedNorm(half),
            "conv2": conv(half, half, 3),
            "norm2": ActivatedNorm(half),
            "conv3": conv(half, width, 3),
        }
    stages = nn.Sequential(*(named(blocks=stage) for stage in blocks(row, TimmV2Block)))
    return named(
        stem=named(**stem, pool=nn.MaxPool2d(3, 2, 1)),
        stages=stages,
        norm=ActivatedNorm(row.features),
        head=named(
            global_pool=nn.AdaptiveAvgPool2d((1, 1)),
            fc=nn.Conv2d(row.features, row.classes, 1),
            flatten=nn.Flatten(),
        ),
    )


class ActivatedNorm(nn.BatchNorm2d):
    """timm's BatchNormAct2d."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(super().forward(x))


class PytorchCifarBlock(nn.Module):
    def __init__(self, row: Architecture, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        convs = layers(row, inputs, width, stride)
        outputs = convs[-1].out_channels
        self.count = len(convs)
        for number, each in enumerate(convs, start=1):
            self.add_module(f"conv{number}", each)
            self.add_module(f"bn{number}", nn.BatchNorm2d(each.out_channels))
        self.shortcut = projection(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = functional.relu(y) if number < self.count else y
        return functional.relu(y + self.shortcut(x))


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def pytorch_cifar(row: Architecture) -> nn.Module:
    stages = blocks(row, PytorchCifarBlock)
    return named(
        conv1=conv(row.channels, row.widths[0], 3),
        bn1=nn.BatchNorm2d(row.widths[0]),
        relu=nn.ReLU(),
        **{f"layer{number}": stage for number, stage in enumerate(stages, start=1)},
        pool=nn.AdaptiveAvgPool2d((1, 1)),
        flatten=nn.Flatten(),
        linear=nn.Linear(row.features, row.classes),
    )


class PytorchCifar100Block(nn.Module):
    def __init__(self, row: Architecture, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        convs = layers(row, inputs, width, stride)
        modules: list[nn.Module] = []
        for each in convs:
            modules += [each, nn.BatchNorm2d(each.out_channels), nn.ReLU()]
        self.residual_function = nn.Sequential(*modules[:-1])
        self.shortcut = projection(inputs, convs[-1].out_channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.residual_function(x) + self.shortcut(x))


def pytorch_cifar100(row: Architecture) -> nn.Module:
    width, stages = row.widths[0], blocks(row, PytorchCifar100Block)
    return named(
        conv1=nn.Sequential(conv(row.channels, width, 3), nn.BatchNorm2d(width), nn.ReLU()),
        **{f"conv{number}_x": stage for number, stage in enumerate(stages, start=2)},
        avg_pool=nn.AdaptiveAvgPool2d((1, 1)),
        flatten=nn.Flatten(),
        fc=nn.Linear(row.features, row.classes),
    )
