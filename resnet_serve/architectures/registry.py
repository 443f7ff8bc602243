"""The family as one table: name → block, depth, width, stem, shortcut, classes, image size.

A network is a row, not a function: `resnet.py` builds any of them; everything else (help texts,
suggestions, the README's table, the tests) reads the rows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from resnet_serve.errors import UsageError


@dataclass(frozen=True)
class Architecture:
    """One network of He et al. 2016 (arXiv:1512.03385, tables 1 and 6).

    `depths` are blocks per stage and `widths` the channels of each stage's 3×3 convolutions.
    `shortcut` is the paper's option: A (zero-padded identity) or B (projection where shapes
    differ). The ImageNet bottlenecks stride in their 3×3 convolution (v1.5), as torchvision's do.
    """

    name: str
    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: str
    shortcut: str
    classes: int
    image_size: int
    parameters: int

    @property
    def family(self) -> str:
        return "ImageNet" if self.stem == "imagenet" else "CIFAR"

    @property
    def convolutions(self) -> int:
        """Convolutions in the network, projections included."""
        per_block = 3 if self.block == "bottleneck" else 2
        # Every stage but the first changes shape; bottlenecks widen in the first too.
        projections = 0 if self.shortcut == "A" else len(self.depths) - (self.block == "basic")
        return 1 + per_block * sum(self.depths) + projections

    def with_classes(self, classes: int) -> Architecture:
        """The same network with another classifier; its parameter count follows."""
        if classes < 1:
            raise UsageError(f"{self.name} cannot have {classes} classes")
        features = self.widths[-1] * (4 if self.block == "bottleneck" else 1)
        change = (classes - self.classes) * (features + 1)
        return replace(self, classes=classes, parameters=self.parameters + change)


def _imagenet(name: str, block: str, depths: tuple[int, ...], parameters: int) -> Architecture:
    return Architecture(
        name, block, depths, (64, 128, 256, 512), "imagenet", "B", 1000, 224, parameters
    )


def _cifar(depth: int, parameters: int) -> Architecture:
    blocks = (depth - 2) // 6
    return Architecture(
        f"resnet{depth}", "basic", (blocks,) * 3, (16, 32, 64), "cifar", "A", 10, 32, parameters
    )


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        row.name: row
        for row in (
            _imagenet("resnet18", "basic", (2, 2, 2, 2), 11_689_512),
            _imagenet("resnet34", "basic", (3, 4, 6, 3), 21_797_672),
            _imagenet("resnet50", "bottleneck", (3, 4, 6, 3), 25_557_032),
            _imagenet("resnet101", "bottleneck", (3, 4, 23, 3), 44_549_160),
            _imagenet("resnet152", "bottleneck", (3, 8, 36, 3), 60_192_808),
            _cifar(20, 269_722),
            _cifar(32, 464_154),
            _cifar(44, 658_586),
            _cifar(56, 853_018),
            _cifar(110, 1_727_962),
        )
    }
)


def find(name: str) -> Architecture:
    """The row called `name`; an unknown name is answered with the nearest ones."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        near = _nearest(name.lower())
        hint = f"Did you mean {near}? " if near else ""
        raise UsageError(
            f"unknown architecture {name!r}",
            remedy=f"{hint}There are {', '.join(ARCHITECTURES)}.",
        ) from None


def _nearest(name: str) -> str | None:
    """The most similar name of the table; of equally similar ones, that of the nearest depth."""
    digits = re.search(r"\d{1,6}", name)
    depth = int(digits.group()) if digits else 0

    def distance(known: str) -> tuple[float, int]:
        likeness = difflib.SequenceMatcher(None, known, name).ratio()
        return 1 - likeness, abs(int(known.removeprefix("resnet")) - depth)

    nearest = min(ARCHITECTURES, key=distance)
    return nearest if distance(nearest)[0] < 0.4 else None
