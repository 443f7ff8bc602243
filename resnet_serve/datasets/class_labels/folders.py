"""Which class a folder of images stands for.

A folder matches the label of its name in Unicode's normal form NFC (`é` as one character or two),
a label with `_` or `-` in place of each `/` (`T-shirt_top` for `T-shirt/top`), or, among the names
of ImageNet-1k, the one of its WordNet id. A folder that may stand for two
labels is refused, and so are two folders of one.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from resnet_serve.datasets.class_labels import wordnet
from resnet_serve.errors import InputFileError


def indices(folder: Path, subfolders: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The class index of each subfolder by its name.

    Raises `InputFileError` for a name that is not a label, naming the nearest one, or that is not
    certain to be one.
    """
    exact, others = _by_name(labels)
    found = []
    for name in subfolders:
        key = unicodedata.normalize("NFC", name)
        matches = exact.get(key) or others.get(key)
        if matches is None:
            raise _unknown(folder, name, labels)
        if len(matches) > 1:
            raise _ambiguous(folder, name, [labels[index] for index in matches])
        found.append(matches[0])
    for at, index in enumerate(found):
        if index in found[:at]:
            raise InputFileError(
                f"the folders {subfolders[found.index(index)]!r} and {subfolders[at]!r} both stand "
                f"for the label {labels[index]!r}",
                where=folder,
                remedy="Move their images into one of them.",
            )
    return found


def _by_name(labels: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The class indices by the name of a folder: by the labels, and by what may replace them."""
    exact, others = defaultdict(list), defaultdict(list)
    ids: dict[str, list[str]] = defaultdict(list)
    for identifier, name in wordnet.imagenet().items():
        ids[name].append(identifier)
    for index, label in enumerate(labels):
        name = unicodedata.normalize("NFC", label)
        exact[name].append(index)
        replaced = {name.replace("/", "_"), name.replace("/", "-")} - {name}
        known = wordnet.imagenet().get(name)
        for other in {*replaced, *ids.get(name, ()), *([known] if known else ())}:
            others[other].append(index)
    return exact, others


def _ambiguous(folder: Path, name: str, labels: Sequence[str]) -> InputFileError:
    if len(set(labels)) == 1:
        return InputFileError(
            f"the label {labels[0]!r} stands for more than one class",
            where=folder,
            remedy="Give the classes distinct names in --labels.",
        )
    return InputFileError(
        f"the folder {name!r} may stand for the labels {' and '.join(map(repr, labels))}",
        where=folder,
        remedy="Give them names in --labels that differ in more than /, _ and -.",
    )


def _unknown(folder: Path, name: str, labels: Sequence[str]) -> InputFileError:
    what = f"the folder {name!r} is not one of the model's {len(labels)} labels"
    near = [label for label in labels if _folded(label) == _folded(name)]
    if near:
        target = near[0].replace("/", "_")
        return InputFileError(
            f"{what}, but {near[0]!r} is", where=folder, remedy=f"Rename the folder to {target!r}."
        )
    known = wordnet.imagenet().get(name)
    if known is not None:
        what += f" (it is the WordNet id of {known!r})"
    return InputFileError(what, where=folder, remedy="Name the folders as in --labels.")


def _folded(name: str) -> str:
    """A name without the differences in case, spaces and punctuation between words."""
    words = "".join(each if each.isalnum() else " " for each in unicodedata.normalize("NFKC", name))
    return " ".join(words.casefold().split())
