"""ResNet: a row of the family as a PyTorch module (He et al. 2016, arXiv:1512.03385).

    stem ─► stages of blocks ─► (pre-activated: BatchNorm, ReLU) ─► average pooling ─► classifier

Modules and parameters have torchvision's names (`layer3.4.conv2`), and those of the deep stem
timm's (`conv1.3`), so that their state dicts load strictly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.architecture import STEM_KERNELS, Architecture
from resnet_serve.architectures.blocks import Block, PreactivatedBlock, conv3x3
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = optional("torch", extra="convert")
    nn = optional("torch.nn", extra="convert")


class ResNet(nn.Module):
    """Stem, stages, global average pooling, classifier.

    Input FP32 [N,channels,H,W] normalised, output FP32 logits [N,classes]. Convolutions are
    initialised as in He et al. 2015 (arXiv:1502.01852).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        channels = architecture.widths[0]
        self.conv1 = _stem(architecture)
        self.bn1 = None if architecture.bare_stem else nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = None
        if architecture.stem != "cifar":
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages: list[str] = []
        for number, (depth, width) in enumerate(
            zip(architecture.depths, architecture.widths, strict=True), start=1
        ):
            blocks: list[nn.Module] = []
            for position in range(depth):
                stride = 2 if position == 0 and number > 1 else 1
                block: Block | PreactivatedBlock
                if architecture.preactivation:
                    first = position == 0 and number == 1 and not architecture.bare_stem
                    block = PreactivatedBlock(architecture, channels, width, stride, first=first)
                else:
                    block = Block(architecture, channels, width, stride)
                blocks.append(block)
                channels = block.outputs
            self.stages.append(f"layer{number}")
            self.add_module(self.stages[-1], nn.Sequential(*blocks))
        self.norm = nn.BatchNorm2d(channels) if architecture.preactivation else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, architecture.classes)
        for module in self.modules():
            # A network on the meta device is for names and shapes alone.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """FP32 [N,channels,H,W] to logits [N,classes]."""
        logits: Tensor = self.fc(self.pooled(self.maps(x)[-1]))
        return logits

    def maps(self, x: Tensor) -> list[Tensor]:
        """The output of every stage, [N,channels,H,W]; the last one is the map to be pooled."""
        x = self.conv1(x)
        if self.bn1 is not None:
            x = self.relu(self.bn1(x))
        if self.maxpool is not None:
            x = self.maxpool(x)
        found = []
        for stage in self.stages:
            x = getattr(self, stage)(x)
            found.append(x)
        if self.norm is not None:
            found[-1] = self.relu(self.norm(x))
        return found

    def pooled(self, x: Tensor) -> Tensor:
        """The mean of a map over its pixels, [N,channels]."""
        return torch.flatten(self.avgpool(x), 1)


def _stem(row: Architecture) -> nn.Module:
    """The stem without its last BatchNorm, which is `bn1` in torchvision and timm."""
    outputs = row.widths[0]
    if row.stem == "cifar":
        return conv3x3(row.channels, outputs)
    if row.stem == "imagenet":
        kernel = STEM_KERNELS["imagenet"]
        return nn.Conv2d(row.channels, outputs, kernel, stride=2, padding=kernel // 2, bias=False)
    half = outputs // 2
    return nn.Sequential(
        conv3x3(row.channels, half, stride=2),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        conv3x3(half, half),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        conv3x3(half, outputs),
    )
