"""The family as one table: name → block, depth, width, stem, shortcut, classes, image size.

A network is a row: `resnet.py` builds any of them, and everything else (help texts, suggestions,
the table in docs/family.md, the tests) uses the rows. Where tensors have the same names and shapes
in several networks, a checkpoint is read as the first of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resnet_serve.architectures.architecture import Architecture
from resnet_serve.errors import UsageError

_IMAGENET_DEPTHS: Mapping[int, tuple[str, tuple[int, ...]]] = MappingProxyType(
    {
        18: ("basic", (2, 2, 2, 2)),
        26: ("bottleneck", (2, 2, 2, 2)),
        34: ("basic", (3, 4, 6, 3)),
        50: ("bottleneck", (3, 4, 6, 3)),
        101: ("bottleneck", (3, 4, 23, 3)),
        152: ("bottleneck", (3, 8, 36, 3)),
        200: ("bottleneck", (3, 24, 36, 3)),
    }
)


def _imagenet(name: str, depth: int, parameters: int, **differences: Any) -> Architecture:
    block, depths = _IMAGENET_DEPTHS[depth]
    usual: dict[str, Any] = {
        "stem": "imagenet",
        "shortcut": "B",
        "classes": 1000,
        "image_size": 224,
    }
    widths = (64, 128, 256, 512)
    return Architecture(name, block, depths, widths, parameters=parameters, **usual | differences)


def _cifar(name: str, depth: int, parameters: int, **differences: Any) -> Architecture:
    usual: dict[str, Any] = {"block": "basic", "shortcut": "A", "classes": 10, "image_size": 32}
    given = usual | differences
    blocks = (depth - 2) // (9 if given["block"] == "bottleneck" else 6)
    return Architecture(
        name,
        depths=(blocks,) * 3,
        widths=(16, 32, 64),
        stem="cifar",
        parameters=parameters,
        **given,
    )


_V1 = {"strided": "1x1"}
_PREACTIVATION = {"preactivation": True}
# The published code of arXiv:1603.05027 strides in the first 1×1 of its CIFAR bottlenecks.
_PREACTIVATED_BOTTLENECK = _PREACTIVATION | _V1 | {"block": "bottleneck", "shortcut": "B"}
_TIMM_V2 = _PREACTIVATION | {"bare_stem": True}
_CIFAR_STEM = {"stem": "cifar", "classes": 10, "image_size": 32}
_C = {"stem": "deep"}
_D = {"stem": "deep", "shortcut": "D"}

_SUGGESTED, _SIMILAR = 3, 0.4

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        row.name: row
        for row in (
            _imagenet("resnet18", 18, 11_689_512),
            _imagenet("resnet34", 34, 21_797_672),
            _imagenet("resnet50", 50, 25_557_032),
            _imagenet("resnet101", 101, 44_549_160),
            _imagenet("resnet152", 152, 60_192_808),
            _imagenet("wide_resnet50_2", 50, 68_883_240, group_width=128),
            _imagenet("wide_resnet101_2", 101, 126_886_696, group_width=128),
            _imagenet("resnext50_32x4d", 50, 25_028_904, groups=32, group_width=4),
            _imagenet("resnext101_32x8d", 101, 88_791_336, groups=32, group_width=8),
            _imagenet("resnext101_64x4d", 101, 83_455_272, groups=64, group_width=4),
            _imagenet("resnet26", 26, 15_995_176),
            _imagenet("resnext50d_32x4d", 50, 25_048_136, groups=32, group_width=4, **_D),
            _imagenet("resnext101_32x4d", 101, 44_177_704, groups=32, group_width=4),
            _imagenet("resnext101_32x16d", 101, 194_026_792, groups=32, group_width=16),
            _imagenet("resnet50v1", 50, 25_557_032, **_V1),
            _imagenet("resnet101v1", 101, 44_549_160, **_V1),
            _imagenet("resnet152v1", 152, 60_192_808, **_V1),
            _imagenet("resnet18-a", 18, 11_515_688, shortcut="A"),
            _imagenet("resnet34-a", 34, 21_623_848, shortcut="A"),
            _imagenet("resnet34-c", 34, 22_716_840, shortcut="C"),
            _imagenet("plain18", 18, 11_515_688, shortcut="none"),
            _imagenet("plain34", 34, 21_623_848, shortcut="none"),
            _imagenet("resnet50c", 50, 25_576_264, **_C),
            _imagenet("resnet101c", 101, 44_568_392, **_C),
            _imagenet("resnet152c", 152, 60_212_040, **_C),
            _imagenet("resnet18d", 18, 11_708_744, **_D),
            _imagenet("resnet26d", 26, 16_014_408, **_D),
            _imagenet("resnet34d", 34, 21_816_904, **_D),
            _imagenet("resnet50d", 50, 25_576_264, **_D),
            _imagenet("resnet101d", 101, 44_568_392, **_D),
            _imagenet("resnet152d", 152, 60_212_040, **_D),
            _imagenet("resnet200d", 200, 64_693_064, **_D),
            _imagenet("preact_resnet18", 18, 11_687_720, **_PREACTIVATION),
            _imagenet("preact_resnet34", 34, 21_795_880, **_PREACTIVATION),
            _imagenet("preact_resnet50", 50, 25_549_352, **_PREACTIVATION),
            _imagenet("preact_resnet101", 101, 44_541_480, **_PREACTIVATION),
            _imagenet("preact_resnet152", 152, 60_185_128, **_PREACTIVATION),
            _imagenet("preact_resnet200", 200, 64_666_152, **_PREACTIVATION),
            _imagenet("resnetv2_18", 18, 11_687_720, **_TIMM_V2),
            _imagenet("resnetv2_34", 34, 21_795_880, **_TIMM_V2),
            _imagenet("resnetv2_50", 50, 25_549_352, **_TIMM_V2),
            _imagenet("resnetv2_101", 101, 44_541_480, **_TIMM_V2),
            _imagenet("resnetv2_152", 152, 60_185_128, **_TIMM_V2),
            _imagenet("resnetv2_18d", 18, 11_706_952, **_TIMM_V2 | _D),
            _imagenet("resnetv2_34d", 34, 21_815_112, **_TIMM_V2 | _D),
            _imagenet("resnetv2_50d", 50, 25_568_584, **_TIMM_V2 | _D),
            _imagenet("resnetv2_101d", 101, 44_560_712, **_TIMM_V2 | _D),
            _imagenet("resnetv2_152d", 152, 60_204_360, **_TIMM_V2 | _D),
            _cifar("resnet20", 20, 269_722),
            _cifar("resnet32", 32, 464_154),
            _cifar("resnet44", 44, 658_586),
            _cifar("resnet56", 56, 853_018),
            _cifar("resnet110", 110, 1_727_962),
            _cifar("resnet1202", 1202, 19_421_274),
            _cifar("resnet20-b", 20, 272_474, shortcut="B"),
            _cifar("resnet32-b", 32, 466_906, shortcut="B"),
            _cifar("resnet44-b", 44, 661_338, shortcut="B"),
            _cifar("resnet56-b", 56, 855_770, shortcut="B"),
            _cifar("resnet110-b", 110, 1_730_714, shortcut="B"),
            _cifar("plain20", 20, 269_722, shortcut="none"),
            _cifar("plain32", 32, 464_154, shortcut="none"),
            _cifar("plain44", 44, 658_586, shortcut="none"),
            _cifar("plain56", 56, 853_018, shortcut="none"),
            _imagenet("resnet18-cifar", 18, 11_173_962, **_CIFAR_STEM),
            _imagenet("resnet34-cifar", 34, 21_282_122, **_CIFAR_STEM),
            _imagenet("resnet50-cifar", 50, 23_520_842, **_CIFAR_STEM),
            _imagenet("resnet101-cifar", 101, 42_512_970, **_CIFAR_STEM),
            _imagenet("resnet152-cifar", 152, 58_156_618, **_CIFAR_STEM),
            _cifar("preact_resnet110", 110, 1_727_962, **_PREACTIVATION),
            _cifar("preact_resnet164", 164, 1_703_258, **_PREACTIVATED_BOTTLENECK),
            _cifar("preact_resnet1001", 1001, 10_327_706, **_PREACTIVATED_BOTTLENECK),
        )
    }
)


def find(name: str) -> Architecture:
    """The row with this name; raises `UsageError` with the nearest names for an unknown one."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        *others, last = nearest(name) or ("",)
        hint = f"Did you mean {' or '.join((', '.join(others), last)) if others else last}? "
        raise UsageError(
            f"unknown architecture {name!r}",
            remedy=f"{hint if last else ''}resnet-convert archs lists all {len(ARCHITECTURES)}.",
        ) from None


def nearest(name: str) -> tuple[str, ...]:
    """Up to three similar names of about the same length, the most similar first.

    Among equals that of the nearest depth is first.
    """
    name = name.lower()
    digits = re.search(r"\d{1,6}", name)
    depth = int(digits.group()) if digits else 0

    def distance(known: Architecture) -> tuple[float, int]:
        similarity = difflib.SequenceMatcher(None, known.name, name).ratio()
        longer = abs(len(known.name) - len(name))
        return 1 - similarity + 0.02 * longer, abs(known.depth - depth)

    rows = sorted(ARCHITECTURES.values(), key=distance)
    return tuple(row.name for row in rows[:_SUGGESTED] if distance(row)[0] < _SIMILAR)
