"""Images for calibration and validation.

| module | role |
|---|---|
| `images` | the protocol `Images`, folders of files, label files, batches of pixels |
| `digits` | scikit-learn's handwritten digits, held-out and hard variants |
| `synthetic` | random images where only numerics are compared |
| `selection` | evenly chosen images of a larger set |
"""

from __future__ import annotations

from resnet_serve.datasets.images import (
    DIGITS,
    IMAGE_SUFFIXES,
    ImageFolder,
    Images,
    check_label_count,
    open_images,
    pixel_batches,
    read_labels,
)

__all__ = [
    "DIGITS",
    "IMAGE_SUFFIXES",
    "ImageFolder",
    "Images",
    "check_label_count",
    "open_images",
    "pixel_batches",
    "read_labels",
]
