"""Validation images: opened with the labels that the head decides about.

one folder per class      a class per image; of one output, negative and positive
image_labels.json, .csv   any number of labels per image
neither                   no labels: the networks are compared with each other alone
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
from resnet_serve.weights.activations import Labelling

SPLIT = "validation"


def labelling(source: str | None) -> Labelling:
    """How the images of `--validation` are labelled, before any of them is opened."""
    if source is None:
        return Labelling()
    named = built_in.find(source)
    if named is not None:
        return Labelling(folders=named.opened(True).LABELS)
    folder = Path(source)
    listed = image_labels.label_file(folder)
    if listed is not None:
        return Labelling(several=any(len(each) != 1 for each in image_labels.read(listed).values()))
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # `open_images` says why
        return Labelling()
    visible = (each for each in entries if each.is_dir() and not hidden(each.name))
    return Labelling(folders=tuple(each.name for each in visible))


def open_validation(source: str, labels: Sequence[str], activation: Activation) -> Images:
    """The images of `--validation`, labelled for a classifier with these labels.

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
    folders = labelling(source).folders
    if len(folders) > 2:
        raise UsageError(
            f"{source} has images of {len(folders)} classes, and one output decides between two",
            remedy="Give a folder with two folders in it, or images without folders.",
        )
    others = [each for each in folders if each != labels[0]]
    negative = activation.negative or (others[0] if len(others) == 1 else f"not {labels[0]}")
    return open_images(source, (negative, *labels) if folders else None, split=SPLIT)


def decided_names(labels: Sequence[str], activation: Activation) -> tuple[str, ...]:
    """The names of the classes that class folders stand for; one output has its negative too."""
    if activation.decides_labels and len(labels) == 1:
        return (activation.negative or f"not {labels[0]}", *labels)
    return tuple(labels)


def _single(found: LabelledImages) -> Images:
    """Images of one label each, with the number of that label."""
    if any(sum(row) != 1 for row in found.rows):
        raise UsageError(
            f"{found.name} has images with several labels or none, and a softmax decides for one",
            remedy="Use --activation sigmoid, or images of one label each.",
        )
    indices = tuple(int(np.argmax(row)) for row in found.rows)
    return replace(found.folder, indices=indices)
