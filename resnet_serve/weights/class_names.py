"""The names of the classes: built in for ImageNet-1k and CIFAR, or from a file.

Names are in the order of the logits: for ImageNet-1k as in torchvision's checkpoints, for CIFAR-10
and CIFAR-100 as in the data sets' `meta` files (Krizhevsky 2009; the fine labels, in alphabetical
order).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from resnet_serve.datasets import read_labels

BUILT_IN = ("imagenet1k", "cifar10", "cifar100")


def built_in(name: str) -> tuple[str, ...]:
    """The class names of a data set in `BUILT_IN`."""
    text = resources.files("resnet_serve").joinpath(f"labels/{name}.txt").read_text("utf-8")
    return tuple(text.splitlines())


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of ImageNet-1k's classes ("n01440764"), in the order of its names."""
    text = resources.files("resnet_serve").joinpath("labels/imagenet1k.wnid").read_text("utf-8")
    return tuple(text.split())


def resolve(source: str | Path) -> tuple[str, ...]:
    """The class names for `--labels`: a name in `BUILT_IN`, or a file with one name per line.

    `./cifar10` is a file of that name. Raises `InputFileError` for a file that cannot be read.
    """
    return built_in(str(source)) if str(source) in BUILT_IN else read_labels(Path(source))


def default(classes: int) -> tuple[str, ...]:
    """The class names where none are given: ImageNet's for 1,000 classes, otherwise numbers."""
    if classes == 1000:
        return built_in("imagenet1k")
    return tuple(f"class {index}" for index in range(classes))
