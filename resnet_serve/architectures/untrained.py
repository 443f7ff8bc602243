"""Untrained networks that behave numerically like trained ones: `--weights random[:seed]`.

A newly initialised deep residual network does not: its BatchNorms have no statistics, and its
residual branches are as large as the shortcuts that they are added to, so that errors grow from
block to block. Here the branches are scaled down, and the statistics are those of smooth noise.
A BatchNorm without a shortcut around it removes the mean that the ReLU before it added, and so
magnifies differences, including errors, in every layer (arXiv:1902.08129); an offset keeps most
units active, which nearly removes this effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resnet_serve.errors import UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")

# Trained residual functions have smaller responses than their shortcuts (arXiv:1512.03385, figure
# 7), and training may start them at zero (arXiv:1706.02677, section 5.1). In deep stages they are
# smaller still, one over the root of the depth (arXiv:2002.10444).
RESIDUAL_SCALE = 0.25
OFFSET = 1.0  # in standard deviations of a BatchNorm's output
PASSES = 4
BATCH = 8


def seed_of(option: str) -> int:
    """The seed in `random:SEED`, 0 by default; raises `UsageError` for another text."""
    if (option and not option.isdecimal()) or len(option) > 18:
        raise UsageError(
            f"the seed in 'random:{option}' must be a whole number of at most 18 digits"
        )
    return int(option or 0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed`, and restore the caller's generator afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def scale_residuals(network: nn.Module) -> None:
    """Scale down the residual branches, so that the sum over a stage does not grow.

    BatchNorms without an identity shortcut around them get an offset: those of plain blocks, and of
    projections that keep the shape (option C).
    """
    from resnet_serve.architectures.blocks import Block, PreactivatedBlock

    with torch.no_grad():
        for stage in network.children():
            blocks = list(stage.children())
            for block in blocks:
                scale = min(RESIDUAL_SCALE, len(blocks) ** -0.5)
                if isinstance(block, PreactivatedBlock):
                    (block.conv3 if block.bottleneck else block.conv2).weight.mul_(scale)
                elif isinstance(block, Block) and block.plain:
                    block.bn1.bias.fill_(OFFSET)
                    block.bn2.bias.fill_(OFFSET)
                elif isinstance(block, Block):
                    (block.bn3 if block.bottleneck else block.bn2).weight.mul_(scale)
                    _offset(block.downsample)


def _offset(shortcut: nn.Module | None) -> None:
    for module in () if shortcut is None else shortcut.children():
        if isinstance(module, torch.nn.Conv2d) and module.in_channels != module.out_channels:
            return
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.fill_(OFFSET)


def estimate_statistics(network: nn.Module, size: tuple[int, int, int]) -> None:
    """Set the statistics of the BatchNorms from smooth noise of `size` [C,H,W].

    Otherwise activations would not have the ranges that INT8 calibration meets in practice. The
    network is in evaluation mode afterwards.
    """
    channels, height, width = size
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # cumulative average over the passes
    with torch.no_grad():
        for _ in range(PASSES):
            noise = torch.randn(BATCH, channels, max(1, height // 8), max(1, width // 8))
            network(torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear"))
    network.eval()
