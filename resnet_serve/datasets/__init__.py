"""Images for calibration and validation.

| module | role |
|---|---|
| `images` | the protocol `Images`, folders of files, batches of pixels |
| `class_labels` | files of class names, and the folders named after them |
| `image_labels` | folders whose images have any number of labels |
| `decided` | images with the labels that a classifier decides about |
| `built_in` | the data sets that have a name |
| `digits` | scikit-learn's handwritten digits, held-out and hard variants |
| `fashion_mnist` | Fashion-MNIST: the whole data set, or the sample that is shipped |
| `synthetic` | random images where only numerics are compared |
| `selection` | evenly chosen images of a larger set |
| `image_files` | which files of a folder are images, and why the others are skipped |
| `damaged` | all images of a set that cannot be decoded, in one error |
| `coverage` | the classes that no image is of |
| `survey` | what is said of the image files before they are used |
"""

from __future__ import annotations

from resnet_serve.datasets.built_in import DATA_SETS
from resnet_serve.datasets.images import (
    ImageFolder,
    Images,
    check_label_count,
    open_images,
    pixel_batches,
)

__all__ = [
    "DATA_SETS",
    "ImageFolder",
    "Images",
    "check_label_count",
    "open_images",
    "pixel_batches",
]
