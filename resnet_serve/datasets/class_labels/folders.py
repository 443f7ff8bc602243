"""Which class a folder of images stands for.

A folder matches a label as `matching` says, or a label with `_` or `-` in place of each `/`
(`T-shirt_top` for `T-shirt/top`). A folder that may stand for two labels is refused, and so are two
folders of one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from resnet_serve.datasets.class_labels import wordnet
from resnet_serve.datasets.class_labels.matching import Matching, folded, nfc
from resnet_serve.errors import InputFileError

_LISTED = 20


def indices(folder: Path, subfolders: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The class index of each subfolder by its name.

    Raises `InputFileError` for a name that is not a label, naming the nearest, or that is not
    certain to be one.
    """
    known, find = Matching(labels), finder(labels)
    long = any("," in name for name in subfolders)
    found = []
    for name in subfolders:
        if long:
            _check_certain(folder, name)
        matches = find(name)
        if not matches:
            raise _unknown(folder, name, known, subfolders)
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


def finder(labels: Sequence[str]) -> Callable[[str], tuple[int, ...]]:
    """The function from the name of a folder to the indices of the labels it may stand for."""
    known, replaced = Matching(labels), _without_slashes(labels)
    return lambda name: known.find(name) or tuple(replaced.get(nfc(name), ()))


def _without_slashes(labels: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """The class indices by the names of folders that replace the slashes of a label."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(map(nfc, labels)):
        for name in {label.replace("/", "_"), label.replace("/", "-")} - {label}:
            found[name].append(index)
    return found


def _check_certain(folder: Path, name: str) -> None:
    """Refuse a name that two classes of ImageNet have among the long names of synsets."""
    ids = wordnet.sharing(name)
    if len(ids) > 1:
        raise InputFileError(
            f"the folder {name!r} stands for {len(ids)} classes of ImageNet, beside long names",
            where=folder,
            remedy=f"Rename it to the WordNet id of its images: {' or '.join(ids)}.",
        )


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


def _within(folder: Path, known: Matching) -> bool:
    """Whether the folders in a folder are labels."""
    try:
        names = [each.name for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return False
    return bool(names) and all(known.find(each) for each in names)


def _unnamed(folder: Path, subfolders: Sequence[str], classes: int) -> InputFileError:
    """The error for folders of a network whose classes have numbers only."""
    names = f"--labels with a file of the {classes} names in the order of the training"
    if len(subfolders) != classes:
        return InputFileError(
            f"{len(subfolders)} class folders for a network of {classes} classes, which nothing "
            "names",
            where=folder,
            remedy=f"Give {names}, and images in folders of these names.",
        )
    ordered = json.dumps(sorted(subfolders), ensure_ascii=False)
    listed = f": {ordered}" if classes <= _LISTED else ""
    return InputFileError(
        f"nothing names the model's {classes} classes, so that its folders match none of them",
        where=folder,
        remedy=f"Give {names}. That of torchvision's ImageFolder is alphabetical{listed}.",
    )


def _unknown(folder: Path, name: str, known: Matching, subfolders: Sequence[str]) -> InputFileError:
    what = f"the folder {name!r} is not one of the model's {len(known.labels)} labels"
    near = known.near(name)
    if near and folded(near[0]) == folded(name):
        target = near[0].replace("/", "_")
        return InputFileError(
            f"{what}, but {near[0]!r} is", where=folder, remedy=f"Rename the folder to {target!r}."
        )
    if _within(folder / name, known):
        return InputFileError(
            f"{what}, but its folders are",
            where=folder,
            remedy=f"Give {folder / name} as the folder of images.",
        )
    if all(label == f"class {at}" for at, label in enumerate(known.labels)):
        return _unnamed(folder, subfolders, len(known.labels))
    identified = wordnet.imagenet().get(name)
    if near:
        what += f"; near it: {', '.join(map(repr, near))}"
    elif identified is not None:
        what += f" (it is the WordNet id of {identified!r})"
    return InputFileError(
        what,
        where=folder,
        remedy=f"Name the folders as the labels{known.listed()}, and move others away.",
    )
