"""The names of the classes: built in for ImageNet-1k and CIFAR, or from a file.

Names are in the order of the logits: for ImageNet-1k as in torchvision's checkpoints, for CIFAR-10
and CIFAR-100 as in the data sets' `meta` files (Krizhevsky 2009; the fine labels, in alphabetical
order).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from resnet_serve.datasets.class_labels import files, wordnet

BUILT_IN = ("imagenet1k", "cifar10", "cifar100")


def built_in(name: str) -> tuple[str, ...]:
    """The class names of a data set in `BUILT_IN`."""
    text = resources.files("resnet_serve").joinpath(f"labels/{name}.txt").read_text("utf-8")
    return tuple(text.splitlines())


def wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of ImageNet-1k's classes ("n01440764"), in the order of its names."""
    return tuple(wordnet.imagenet())


def resolve(source: str | Path) -> tuple[str, ...]:
    """The class names for `--labels`: a name in `BUILT_IN`, or a file.

    `./cifar10` is a file of that name. Raises `InputFileError` for a file that cannot be read.
    """
    return built_in(str(source)) if str(source) in BUILT_IN else files.read(Path(source))


def default(classes: int) -> tuple[str, ...]:
    """The class names where none are given: ImageNet's for 1,000 classes, otherwise numbers."""
    if classes == 1000:
        return built_in("imagenet1k")
    return tuple(f"class {index}" for index in range(classes))


def repeated(labels: Sequence[str]) -> tuple[str, ...]:
    """A notice where classes share a name, by which predictions cannot be told apart."""
    counts = Counter(unicodedata.normalize("NFC", label) for label in labels)
    shared = [f"{label!r} ({count})" for label, count in counts.items() if count > 1]
    if not shared:
        return ()
    more = ", …" if len(shared) > 3 else ""
    return (f"several classes share a name: {', '.join(shared[:3])}{more}",)
