"""Untrained networks that numbers can be taken from: `--weights random[:seed]`.

Freshly initialised, a deep residual network is far from any trained one: its BatchNorms have seen
nothing, and its residual branches are as loud as the shortcuts they are added to, so that errors
pile up over the blocks. Here the branches are quiet, and the statistics are those of smooth noise.
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
# training starts them at zero for that (arXiv:1706.02677, section 5.1).
RESIDUAL_SCALE = 0.25
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
    """Scale what the residual branches of the family's blocks add to their shortcuts."""
    from resnet_serve.architectures.blocks import Block, PreactivatedBlock

    for block in network.modules():
        last: nn.BatchNorm2d | nn.Conv2d
        if isinstance(block, Block) and not block.plain:
            last = block.bn3 if block.bottleneck else block.bn2
        elif isinstance(block, PreactivatedBlock):
            last = block.conv3 if block.bottleneck else block.conv2
        else:
            continue
        with torch.no_grad():
            last.weight.mul_(RESIDUAL_SCALE)


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
