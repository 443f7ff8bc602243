"""Untrained networks that numbers can be taken from: `--weights random[:seed]`.

Freshly initialised, a deep residual network is far from any trained one: its BatchNorms have seen
nothing, and its residual branches are as loud as the shortcuts they are added to, so that errors
pile up over the blocks. Here the branches are quiet, and the statistics are those of smooth noise.
A BatchNorm that the signal cannot get past takes away the mean that the ReLU before it gave, and
so magnifies differences, errors among them, in every layer (arXiv:1902.08129); an offset keeps
most units active, which all but ends that.
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

# Trained residual functions respond less than their shortcuts (arXiv:1512.03385, figure 7), and
# training starts them at zero for that (arXiv:1706.02677, section 5.1). In deep stages they are
# quieter still, one over the root of the depth (arXiv:2002.10444).
RESIDUAL_SCALE = 0.25
OFFSET = 1.0  # in standard deviations of what a BatchNorm gives
PASSES = 4
BATCH = 8


def seed_of(option: str) -> int:
    """The number in `random:NUMBER`; 0 without one."""
    if (option and not option.isdecimal()) or len(option) > 18:
        raise UsageError(f"the seed in 'random:{option}' must be a whole number of 0 to 18 digits")
    return int(option or 0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers that follow from `seed`; those of the caller go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def quieten(network: nn.Module) -> None:
    """Scale what the residual branches add to their shortcuts, so that no stage adds up to more.

    Where no identity stands beside a BatchNorm it gets an offset: those of plain blocks, and of
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


def settle(network: nn.Module, size: tuple[int, int, int]) -> None:
    """Let a network's BatchNorms see smooth noise [C,H,W], and return to evaluation mode.

    Without that, activations would not have the ranges that INT8 calibration meets in practice.
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
