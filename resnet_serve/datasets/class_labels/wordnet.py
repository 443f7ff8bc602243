"""WordNet ids ("n01440764"): the names of ImageNet's folders, and of many of its label files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

# An id alone, or with the names of its synset: "n01440764 tench, Tinca tinca".
_SYNSET = re.compile(r"(n\d{8})(?:[\s,:;]+(\S.*))?")


@cache
def imagenet() -> Mapping[str, str]:
    """The names of ImageNet-1k's classes by WordNet id, in the order of torchvision's logits."""
    folder = resources.files("resnet_serve").joinpath("labels")
    ids = folder.joinpath("imagenet1k.wnid").read_text("utf-8").split()
    names = folder.joinpath("imagenet1k.txt").read_text("utf-8").splitlines()
    return dict(zip(ids, names, strict=True))


def named(labels: Sequence[str]) -> list[str]:
    """Labels that are all WordNet ids, with or without names, as names; others as they are.

    Ids of ImageNet-1k become its names. With any other id among them, the names that the labels
    have are kept, and ids without names stay ids.
    """
    parts = [_SYNSET.fullmatch(label) for label in labels]
    found = [part for part in parts if part is not None]
    if len(found) != len(labels):
        return list(labels)
    if all(part[1] in imagenet() for part in found):
        return [imagenet()[part[1]] for part in found]
    return [part[2] or part[1] for part in found]
