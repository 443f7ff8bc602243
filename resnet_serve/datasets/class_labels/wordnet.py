"""ImageNet's WordNet ids and the three forms of its class names.

    n01440764        the folders of ImageNet, and many of its label files
    tench            torchvision's name, which is ours
    tench, Tinca tinca    all names of the synset, as Caffe, Kaggle and transformers write them

Different forms of one class are matched. "crane" alone is a bird and a machine among the long
names, and the machine among torchvision's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from types import MappingProxyType

# An id alone, or with the names of its synset: "n01440764 tench, Tinca tinca".
_SYNSET = re.compile(r"(n\d{8})(?:[\s,:;]+(\S.*))?")


@cache
def imagenet() -> Mapping[str, str]:
    """The names of ImageNet-1k's classes by WordNet id, in the order of torchvision's logits."""
    return MappingProxyType(dict(zip(_file("wnid").split(), _lines("txt"), strict=True)))


@cache
def synsets() -> tuple[str, ...]:
    """All names of each class, "tench, Tinca tinca", in the same order; from WordNet 3.0."""
    return tuple(_lines("synsets"))


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


def classes(labels: Sequence[str]) -> list[int | None] | None:
    """The class of ImageNet-1k that each label is; None unless every label is one.

    Labels are in one form each: with "crane" twice among 1,000 long names, each is the one of its
    place. A label that may be two classes is None.
    """
    plain = [unicodedata.normalize("NFC", label) for label in labels]
    if tuple(plain) == synsets():
        return list(range(len(plain)))
    found = [_places().get(label) for label in plain]
    if not plain or any(places is None for places in found):
        return None
    long = any("," in label for label in plain)
    return [
        _one(places or (), label, long=long) for places, label in zip(found, plain, strict=True)
    ]


def names_of(index: int | None) -> frozenset[str]:
    """Every name of a class: its id, ours, the long one, and those that no other synset has."""
    if index is None:
        return frozenset()
    parts = {part for part in synsets()[index].split(", ") if _shared()[part] == 1}
    return frozenset({_ids()[index], _names()[index], synsets()[index], *parts})


def forms(name: str) -> frozenset[str]:
    """The id and the names, ours and the long one, of the class that a name is; else none."""
    places = _places().get(unicodedata.normalize("NFC", name), ())
    if len(places) != 1:
        return frozenset()
    return frozenset({_ids()[places[0]], _names()[places[0]], synsets()[places[0]]})


def ours(name: str) -> str:
    """The name in torchvision's form of a class that is given in another; others unchanged."""
    places = _places().get(unicodedata.normalize("NFC", name), ())
    return _names()[places[0]] if len(places) == 1 else name


def sharing(name: str) -> tuple[str, ...]:
    """The WordNet ids of the classes that a whole name may be."""
    places = _places().get(unicodedata.normalize("NFC", name), ())
    return tuple(_ids()[place] for place in places)


def _one(places: Sequence[int], label: str, *, long: bool) -> int | None:
    if len(places) == 1:
        return places[0]
    if long:
        return None
    # Among short names, it is the class that has this name.
    return _names().index(label)


@cache
def _ids() -> tuple[str, ...]:
    return tuple(imagenet())


@cache
def _names() -> tuple[str, ...]:
    return tuple(imagenet().values())


@cache
def _places() -> Mapping[str, tuple[int, ...]]:
    """The classes that a whole name may be, in any of the three forms."""
    found: dict[str, set[int]] = defaultdict(set)
    for index, (identifier, short) in enumerate(imagenet().items()):
        for name in (identifier, short, synsets()[index]):
            found[name].add(index)
    return MappingProxyType({name: tuple(sorted(each)) for name, each in found.items()})


@cache
def _shared() -> Counter[str]:
    """In how many synsets a single name is."""
    return Counter(part for names in synsets() for part in names.split(", "))


def _lines(kind: str) -> list[str]:
    return _file(kind).splitlines()


def _file(kind: str) -> str:
    return resources.files("resnet_serve").joinpath(f"labels/imagenet1k.{kind}").read_text("utf-8")
