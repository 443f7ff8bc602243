"""Hypotheses: preprocessings that weights are often trained with, other than the given one.

Each changes one thing: the order of the channels, the scale of the values, or the resizing. The
scales are those of ImageNet's torchvision weights, of `ToTensor` alone, of timm's and TensorFlow's
−1…1, of raw 0…255 values, and of Caffe (mean subtracted, BGR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean

from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

CHANNEL_ORDER, SCALE, RESIZE = "channel order", "scale", "resize"
_SCALES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "no normalisation (0 to 1)": ((0.0,) * 3, (1.0,) * 3),
    "mean and std 0.5 (−1 to 1)": ((0.5,) * 3, (0.5,) * 3),
    "ImageNet's mean and std": (IMAGENET_MEAN, IMAGENET_STD),
    "raw values, 0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
    "0 to 255 with ImageNet's mean subtracted": (IMAGENET_MEAN, (1 / 255,) * 3),
}
# The shorter side over the crop, as torchvision's and timm's recipes have it at 224 pixels.
_MARGINS = {"232": 232 / 224, "256": 256 / 224}


@dataclass(frozen=True)
class Hypothesis:
    """A preprocessing that differs in one thing: `axis` is which, `name` says how."""

    axis: str
    name: str
    preprocessing: Preprocessing


def hypotheses(given: Preprocessing) -> Iterator[Hypothesis]:
    """Every other preprocessing that is worth a try, each with one change to the given one."""
    if given.channels == 3:
        yield _other_channel_order(given)
    yield from _scales(given)
    yield from _resizes(given)


def _other_channel_order(given: Preprocessing) -> Hypothesis:
    """BGR for RGB, and RGB for BGR; mean and std keep their values per colour."""
    other = "bgr" if given.channel_order == "rgb" else "rgb"
    swapped = replace(given, channel_order=other, mean=given.mean[::-1], std=given.std[::-1])
    return Hypothesis(CHANNEL_ORDER, other.upper(), swapped)


def _scales(given: Preprocessing) -> Iterator[Hypothesis]:
    for name, (mean, std) in _SCALES.items():
        scaled = replace(given, mean=mean, std=std)
        if given.channels == 1:
            scaled = replace(given, mean=(fmean(mean),), std=(fmean(std),))
        if _differs(given, scaled):
            yield Hypothesis(SCALE, name, scaled)


def _differs(given: Preprocessing, other: Preprocessing) -> bool:
    pairs = zip((*given.mean, *given.std), (*other.mean, *other.std), strict=True)
    return any(abs(a - b) > 0.002 for a, b in pairs)


def _resizes(given: Preprocessing) -> Iterator[Hypothesis]:
    side = min(given.crop)
    rows: dict[str, tuple[str, int | None]] = {}
    rows["both sides to the crop, without keeping their ratio"] = ("exact", side)
    rows["the shorter side to the crop, without a margin"] = ("shorter", side)
    rows["to nothing: the crop alone"] = ("none", None)
    for name, ratio in _MARGINS.items():
        margin = round(side * ratio)
        scaled = "" if side == 224 else f", as {name} is to 224"
        rows[f"the shorter side to {margin}{scaled}"] = ("shorter", margin)
    for name, (mode, pixels) in rows.items():
        resized = replace(given, resize=pixels, resize_mode=mode)
        if resized != given:
            yield Hypothesis(RESIZE, f"resize {name}", resized)
