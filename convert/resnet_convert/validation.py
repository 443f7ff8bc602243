"""Validation images: how they are labelled, before and after they are opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_serve.activation import Activation
from resnet_serve.datasets import Images, built_in, image_labels
from resnet_serve.datasets.decided import class_folders, open_decided
from resnet_serve.weights.activations import Labelling


def labelling(source: str | None) -> Labelling:
    """How the images of `--validation` are labelled, before any of them is opened."""
    if source is None:
        return Labelling()
    if built_in.find(source) is None:
        listed = image_labels.label_file(Path(source))
        if listed is not None:
            several = any(len(each) != 1 for each in image_labels.read(listed).values())
            return Labelling(several=several)
    try:
        return Labelling(folders=class_folders(source))
    except OSError:  # `open_validation` says why
        return Labelling()


def open_validation(source: str, labels: Sequence[str], activation: Activation) -> Images:
    """The images of `--validation`, labelled for a classifier with these labels.

    Raises as `open_decided`.
    """
    return open_decided(source, labels, activation)


def decided_names(labels: Sequence[str], activation: Activation) -> tuple[str, ...]:
    """The names of the classes that class folders stand for; one output has its negative too."""
    if activation.decides_labels and len(labels) == 1:
        return (activation.negative or f"not {labels[0]}", *labels)
    return tuple(labels)
