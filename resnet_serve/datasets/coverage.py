"""Coverage: the classes of a network that a labelled set of images has no image of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnet_serve.datasets.image_files import skipped_images
from resnet_serve.datasets.images import Images
from resnet_serve.datasets.selection import Selection

CLASSES_SHOWN = 5


def without_images(images: Images, names: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes without an image, or of the labels that no image has.

    `names` are in the order of `images.labels`; without labels there is nothing to cover.
    """
    labels = images.labels
    if labels is None:
        return ()
    several = labels.ndim == 2
    counts = labels.sum(axis=0) if several else np.bincount(labels, minlength=len(names))
    return tuple(name for name, count in zip(names, counts, strict=False) if not count)


def coverage_notice(images: Images, names: Sequence[str]) -> str | None:
    """A sentence on the classes without an image; None where every class has one.

    It counts what the folder has, with the images that were skipped or not chosen.
    """
    missing = without_images(images, names)
    if not missing:
        return None
    whole = images.images if isinstance(images, Selection) else images
    total = len(whole) + skipped_images(getattr(whole, "skipped", ()))
    counted = f"{len(images):,} of {total:,} images in {whole.name} counted"
    if len(missing) == 1:
        return f"{counted}, class {missing[0]!r} has none"
    shown = ", ".join(map(repr, missing[:CLASSES_SHOWN]))
    more = len(missing) - CLASSES_SHOWN
    rest = f" and {more:,} more" if more > 0 else ""
    return f"{counted}, {len(missing):,} of {len(names):,} classes have none: {shown}{rest}"
