"""Residual blocks: F(x) + shortcut(x), where F is 3×3, 3×3 (basic) or 1×1, 3×3, 1×1 (bottleneck).

    y = relu(F(x) + shortcut(x))                   F = conv, bn, relu, conv, bn          (2015)
    y = F(h) + shortcut, h = relu(bn(x))           F = conv, bn, relu, conv              (2016b)

The shortcut of a pre-activated block is a projection of h, or x itself (arXiv:1603.05027, figure
4e and appendix). Modules have the names of torchvision and timm (`conv2`, `downsample.0`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.architecture import Architecture
from resnet_serve.optional import optional

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn import functional
else:
    nn = optional("torch.nn", extra="convert")
    functional = optional("torch.nn.functional", extra="convert")


def conv3x3(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A 3×3 convolution without bias, padded so that only its stride changes the image's size."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 1×1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)


class PaddedIdentity(nn.Module):
    """Shortcut option A: subsamples, and pads the missing channels with zeros on both sides."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        """[N,inputs,H,W] to [N,outputs,H/stride,W/stride]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class Block(nn.Module):
    """One block of a row, from `inputs` channels to `outputs`, with BatchNorm after convolutions.

    A plain network has no shortcuts: its blocks do not add the input.
    """

    def __init__(self, row: Architecture, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.outputs = width
        if row.block == "bottleneck":
            self.outputs = 4 * width
            inner = width * row.group_width // 64 * row.groups
            at_first, at_second = _strides(row, stride)
            self.conv1 = conv1x1(inputs, inner, at_first)
            self.bn1 = nn.BatchNorm2d(inner)
            self.conv2 = conv3x3(inner, inner, at_second, row.groups)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3 = conv1x1(inner, self.outputs)
            self.bn3 = nn.BatchNorm2d(self.outputs)
        else:
            self.conv1 = conv3x3(inputs, width, stride)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = conv3x3(width, width)
            self.bn2 = nn.BatchNorm2d(width)
        self.bottleneck = row.block == "bottleneck"
        self.plain = row.shortcut == "none"
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(row, inputs, self.outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N,inputs,H,W] to [N,outputs,H/stride,W/stride]."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        if self.bottleneck:
            residual = self.bn3(self.conv3(self.relu(residual)))
        if not self.plain:
            residual = residual + (x if self.downsample is None else self.downsample(x))
        outputs: Tensor = self.relu(residual)
        return outputs


class PreactivatedBlock(nn.Module):
    """One pre-activated block; the input of the `first` in a network is activated already."""

    def __init__(
        self, row: Architecture, inputs: int, width: int, stride: int, *, first: bool
    ) -> None:
        super().__init__()
        self.outputs = 4 * width if row.block == "bottleneck" else width
        self.bn1 = None if first else nn.BatchNorm2d(inputs)
        if row.block == "bottleneck":
            at_first, at_second = _strides(row, stride)
            self.conv1 = conv1x1(inputs, width, at_first)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv2 = conv3x3(width, width, at_second)
            self.bn3 = nn.BatchNorm2d(width)
            self.conv3 = conv1x1(width, self.outputs)
        else:
            self.conv1 = conv3x3(inputs, width, stride)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv2 = conv3x3(width, width)
        self.bottleneck = row.block == "bottleneck"
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(row, inputs, self.outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N,inputs,H,W] to [N,outputs,H/stride,W/stride]."""
        activated = x if self.bn1 is None else self.relu(self.bn1(x))
        residual = self.conv2(self.relu(self.bn2(self.conv1(activated))))
        if self.bottleneck:
            residual = self.conv3(self.relu(self.bn3(residual)))
        shortcut = x if self.downsample is None else self.downsample(activated)
        outputs: Tensor = residual + shortcut
        return outputs


def _strides(row: Architecture, stride: int) -> tuple[int, int]:
    """The strides of a bottleneck's first 1×1 and of its 3×3 convolution."""
    return (stride, 1) if row.strided == "1x1" else (1, stride)


def _shortcut(row: Architecture, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    same = stride == 1 and inputs == outputs
    if row.shortcut == "none" or (same and row.shortcut != "C"):
        return None
    if row.shortcut == "A":
        return PaddedIdentity(inputs, outputs, stride)
    norm = [] if row.preactivation else [nn.BatchNorm2d(outputs)]
    if row.shortcut == "D":
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
        before = nn.Identity() if stride == 1 else pool
        return nn.Sequential(before, conv1x1(inputs, outputs), *norm)
    return nn.Sequential(conv1x1(inputs, outputs, stride), *norm)
