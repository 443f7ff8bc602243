"""The reference: residual networks of He et al. 2016 (arXiv:1512.03385) as PyTorch modules.

    y = relu(F(x) + shortcut(x))        F: 3×3, 3×3 (basic) or 1×1, 3×3, 1×1 (bottleneck)

Modules and parameters are named as torchvision names them (`layer3.4.conv2`), so that torchvision
and timm state dicts load strictly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.registry import Architecture
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = optional("torch", extra="convert")
    nn = optional("torch.nn", extra="convert")
    functional = optional("torch.nn.functional", extra="convert")


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


def _conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)


class PaddedIdentity(nn.Module):
    """Shortcut option A: subsample, and pad the missing channels with zeros on both sides."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions (figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        shortcut = x if self.downsample is None else self.downsample(x)
        outputs: Tensor = self.relu(residual + shortcut)
        return outputs


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up (figure 5, right), striding in the 3×3 (v1.5)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv1x1(inputs, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        shortcut = x if self.downsample is None else self.downsample(x)
        outputs: Tensor = self.relu(residual + shortcut)
        return outputs


class ResNet(nn.Module):
    """Stem, stages, global average pooling, classifier.

    Input FP32 [N,3,H,W] normalised, output FP32 logits [N,classes]. Convolutions are initialised
    as in He et al. 2015 (arXiv:1502.01852).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        block = Bottleneck if architecture.block == "bottleneck" else BasicBlock
        self.stem = architecture.stem
        channels = architecture.widths[0]
        if self.stem == "imagenet":
            self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = _conv3x3(3, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.stages: list[str] = []
        for number, (depth, width) in enumerate(
            zip(architecture.depths, architecture.widths, strict=True), start=1
        ):
            outputs = width * block.expansion
            blocks = []
            for position in range(depth):
                stride = 2 if position == 0 and number > 1 else 1
                shortcut = _shortcut(architecture.shortcut, channels, outputs, stride)
                blocks.append(block(channels, width, stride, shortcut))
                channels = outputs
            self.stages.append(f"layer{number}")
            self.add_module(self.stages[-1], nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, architecture.classes)
        for module in self.modules():
            # Of a network on the meta device only names and shapes are wanted.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        if self.stem == "imagenet":
            x = self.maxpool(x)
        for stage in self.stages:
            x = getattr(self, stage)(x)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def _shortcut(option: str, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == outputs:
        return None
    if option == "A":
        return PaddedIdentity(inputs, outputs, stride)
    return nn.Sequential(_conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
