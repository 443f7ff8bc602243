"""The names of the classes: built in for ImageNet-1k and CIFAR, else from a file.

Order is the order of the logits: that of torchvision's checkpoints for ImageNet-1k, that of the
data sets' own `meta` files for CIFAR-10 and CIFAR-100 (Krizhevsky 2009; the fine labels, which are
in alphabetical order).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from resnet_serve.datasets import read_labels

BUILT_IN = ("imagenet1k", "cifar10", "cifar100")


def built_in(name: str) -> tuple[str, ...]:
    """The names of one of `BUILT_IN`."""
    text = resources.files("resnet_serve").joinpath(f"labels/{name}.txt").read_text("utf-8")
    return tuple(text.splitlines())


def resolve(source: str | Path) -> tuple[str, ...]:
    """`--labels`: one of `BUILT_IN`, or a file (`./cifar10` for a file of that name)."""
    return built_in(str(source)) if str(source) in BUILT_IN else read_labels(Path(source))


def usual(classes: int) -> tuple[str, ...]:
    """What a network's classes are called when nobody says it: 1,000 are ImageNet's."""
    if classes == 1000:
        return built_in("imagenet1k")
    return tuple(f"class {index}" for index in range(classes))
