"""Matching: which of a network's labels a name stands for, in a file or as a folder.

A name matches the label that is equal in Unicode's normal form NFC (`é` as one character or two).
The WordNet id of a class of ImageNet-1k matches its name; where every label is such a class, so do
all names of its synset ("tench, Tinca tinca"), and each of them that no other class has. The labels
`class 0`, `class 1`, … of a network without names match their numbers.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from resnet_serve.datasets.class_labels import wordnet

_LIKE = 0.8
_NAMED = 3
_LISTED = 20


class Matching:
    """The labels of a network, to be found by name."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._exact: dict[str, list[int]] = defaultdict(list)
        for index, label in enumerate(labels):
            self._exact[nfc(label)].append(index)
        self._others = _numbered(self.labels) or _of_imagenet(self.labels)

    def find(self, name: str) -> tuple[int, ...]:
        """The places of the labels that a name may stand for; none where it is no label."""
        key = nfc(name)
        return tuple(self._exact.get(key) or self._others.get(key) or ())

    def near(self, name: str) -> tuple[str, ...]:
        """At most three labels that are nearest to a name, first those equal but for case, spaces
        and punctuation.
        """
        wanted = folded(name)
        by_form: dict[str, list[str]] = defaultdict(list)
        for label in dict.fromkeys(self.labels):
            by_form[folded(label)].append(label)
        alike = difflib.get_close_matches(wanted, by_form, _NAMED, _LIKE)
        forms = dict.fromkeys([*([wanted] if wanted in by_form else []), *alike])
        return tuple(label for form in forms for label in by_form[form])[:_NAMED]

    def unknown(self, name: str) -> str:
        """A clause on a name that is no label, with those that are near."""
        what = f"which is none of the network's {len(self.labels)} labels"
        near = self.near(name)
        return f"{what}; near it: {', '.join(map(repr, near))}" if near else what

    def listed(self) -> str:
        """The labels in brackets, for a sentence; nothing where they are many."""
        named = dict.fromkeys(self.labels)
        return f" ({', '.join(map(repr, named))})" if len(named) <= _LISTED else ""


def nfc(name: str) -> str:
    """A name in the one form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name without the differences in case, spaces and punctuation between words."""
    words = "".join(each if each.isalnum() else " " for each in unicodedata.normalize("NFKC", name))
    return " ".join(words.casefold().split())


def _numbered(labels: Sequence[str]) -> Mapping[str, list[int]]:
    """The places of labels that are numbers alone, as of a network whose classes have no names."""
    if any(label != f"class {at}" for at, label in enumerate(labels)):
        return {}
    return {str(at): [at] for at in range(len(labels))}


def _of_imagenet(labels: Sequence[str]) -> Mapping[str, list[int]]:
    """The places of labels by the other names of their classes in ImageNet-1k."""
    found: dict[str, list[int]] = defaultdict(list)
    classes = wordnet.classes(labels)
    for at, label in enumerate(labels):
        for name in wordnet.forms(label) if classes is None else wordnet.names_of(classes[at]):
            found[name].append(at)
    return found
