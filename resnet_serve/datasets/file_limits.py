"""File limits: what one file of a set may cost, as the preprocessing of the network has it."""

from __future__ import annotations

from dataclasses import replace

from resnet_serve.datasets.image_labels import LabelledImages
from resnet_serve.datasets.images import ImageFolder, Images
from resnet_serve.datasets.selection import Selection
from resnet_serve.preprocessing import Limits
from resnet_serve.preprocessing.limits import DEFAULTS


def limited(images: Images, limits: Limits) -> Images:
    """The same images, whose files are decoded within `limits`."""
    if isinstance(images, Selection):
        return replace(images, images=limited(images.images, limits))
    if isinstance(images, LabelledImages):
        return replace(images, folder=replace(images.folder, limits=limits))
    return replace(images, limits=limits) if isinstance(images, ImageFolder) else images


def limits_of(images: Images) -> Limits:
    """The limits that the files of a set are decoded within; the defaults where there are none."""
    if isinstance(images, Selection):
        return limits_of(images.images)
    folder = images.folder if isinstance(images, LabelledImages) else images
    return folder.limits if isinstance(folder, ImageFolder) else DEFAULTS
