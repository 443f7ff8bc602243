"""Decided: held-out images with the labels that a classifier decides about.

one folder per class      a class per image; of one output, negative and positive
image_labels.json, .csv   any number of labels per image
neither                   no labels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnet_serve.activation import Activation
from resnet_serve.datasets import Images, built_in, image_labels, open_images
from resnet_serve.datasets.image_files import hidden
from resnet_serve.datasets.image_labels import LabelledImages
from resnet_serve.errors import UsageError

SPLIT = "validation"  # the held-out part of a built-in set


def class_folders(source: str) -> tuple[str, ...]:
    """The names of the classes of a built-in set, or of a folder's subfolders; raises `OSError`."""
    named = built_in.find(source)
    if named is not None:
        return named.opened(True).LABELS
    entries = sorted(Path(source).iterdir())
    return tuple(each.name for each in entries if each.is_dir() and not hidden(each.name))


def open_decided(source: str, labels: Sequence[str], activation: Activation) -> Images:
    """Images labelled for a classifier with these labels.

    Raises `InputFileError` for a folder that cannot be used, and `UsageError` for labels that the
    classifier cannot decide about.
    """
    listed = image_labels.label_file(Path(source))
    if listed is not None:
        found = image_labels.open_labelled(listed, labels, negative=activation.negative)
        return found if activation.decides_labels else _single(found)
    one = activation.decides_labels and len(labels) == 1
    if not one:
        return open_images(source, labels, split=SPLIT)
    try:
        folders = class_folders(source)
    except OSError:  # `open_images` says why
        folders = ()
    if len(folders) > 2:
        raise UsageError(
            f"{source} has images of {len(folders)} classes, and one output decides between two",
            remedy="Give a folder with two folders in it, or images without folders.",
        )
    others = [each for each in folders if each != labels[0]]
    negative = activation.negative or (others[0] if len(others) == 1 else f"not {labels[0]}")
    return open_images(source, (negative, *labels) if folders else None, split=SPLIT)


def _single(found: LabelledImages) -> Images:
    """Images of one label each, with the number of that label."""
    if any(sum(row) != 1 for row in found.rows):
        raise UsageError(
            f"{found.name} has images with several labels or none, and a softmax decides for one",
            remedy="Give images of one label each; --activation sigmoid decides about several.",
        )
    indices = tuple(int(np.argmax(row)) for row in found.rows)
    return replace(found.folder, indices=indices)
