"""Defaults: what is taken where no file says it, and the assumption that it is.

Preprocessing follows the family (torchvision's V1 table for ImageNet, exact 32 × 32 for CIFAR,
timm's for `resnetv2`), class names the number of classes.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from resnet_serve.architectures import Architecture
from resnet_serve.checkpoints.network import Identified
from resnet_serve.preprocessing import IMAGENET_MEAN, Preprocessing
from resnet_serve.weights.assumptions import Assumption, Subject

IMAGENET_CLASSES = 1000


def preprocessing(architecture: Architecture) -> Preprocessing:
    """The usual preprocessing of an architecture."""
    side = architecture.image_size
    found = Preprocessing(resize=(side, side), crop=(side, side))
    found = Preprocessing() if architecture.family == "ImageNet" else found
    if architecture.bare_stem:  # as timm trained all of them
        found = replace(found, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    # Training scripts for grey images share no convention: ImageNet's mean and std, averaged.
    if architecture.channels == 1:
        return replace(found, mean=(fmean(found.mean),), std=(fmean(found.std),))
    return found


def preprocessing_assumed(found: Preprocessing, table: str) -> Assumption:
    """That the images were preprocessed so in training; `table` says whose numbers these are."""
    height, width = found.crop
    if found.resize_mode == "exact":
        size = f"both sides to {height} × {width}"
    else:
        size = f"{found.resize} to {height} × {width}"
    if found.mean == IMAGENET_MEAN:
        values = "ImageNet's mean and std"
    else:
        values = f"mean {found.mean[0]:.3f} and std {found.std[0]:.3f}"
    return Assumption(
        Subject.PREPROCESSING,
        f"{size}, {found.interpolation}, {values} ({table})",
        "--preprocessing FILE",
    )


def table_of(architecture: Architecture) -> str:
    """Whose preprocessing `preprocessing` is."""
    if architecture.bare_stem:
        return "timm's table for resnetv2"
    if architecture.channels == 1:
        return "no table has grey images"
    return "torchvision's V1 table" if architecture.family == "ImageNet" else "the usual of CIFAR"


def labels_assumed(classes: int) -> tuple[Assumption, ...]:
    """That 1,000 classes are ImageNet's, in torchvision's order; others are only numbered."""
    if classes != IMAGENET_CLASSES:
        return ()
    return (
        Assumption(
            Subject.LABELS,
            "ImageNet-1k's names in torchvision's order, because there are 1,000 classes",
            "--labels FILE",
        ),
    )


def network_assumed(name: str, twins: tuple[str, ...]) -> tuple[Assumption, ...]:
    """That a checkpoint is `name`, where networks of the same tensors exist."""
    if not twins:
        return ()
    what = f"{name}, although {', '.join(twins)} has the same tensors"
    return (Assumption(Subject.NETWORK, what, "--arch NAME"),)


def arithmetic_assumed(found: Identified) -> Assumption:
    """That the layers compute as the network's do, which tensors do not show.

    A field that names the network does not show it either. A pickled network shows all but the
    code of its own classes.
    """
    name = found.architecture.name
    if found.unseen:
        what = f"the code of {', '.join(found.unseen)}, which was not run, computes as in {name}"
    else:
        named = "" if found.named is None else f", the network that its {found.named} names"
        what = (
            "the file has tensors only: strides, dilation, pooling (BlurPool), BatchNorm's eps and "
            f"activations are taken to be those of {name}{named}"
        )
    return Assumption(Subject.ARITHMETIC, what, "--module PLACE:FACTORY")
