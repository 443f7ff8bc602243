"""Networks that others trained, or `examples/`, with all of their labelled test images.

Fashion-MNIST's 10,000 images come from Debian's package `dataset-fashion-mnist`. CIFAR-10 is a
folder with `resnet20-12fca82f.th`, `test-jpeg.tar` and `calibration-jpeg.tar`, which is no part of
this repository; its images are JPEG, which costs the network some ten points of accuracy.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.datasets import Images, open_images
from resnet_serve.weights import Weights, class_names

CIFAR10 = Path(__file__).parents[2] / "shared" / "data" / "cifar10"
UNPACKED = Path(__file__).parent / "checkpoints" / "cifar10"
PREPROCESSING = (
    '{"resize": 32, "crop": [32, 32], "resize_mode": "exact", '
    '"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}'
)


@dataclass(frozen=True)
class FashionMnist:
    """The ResNet-20 of this repository on the whole data set."""

    task: str = "fashion-mnist"
    arch: str = "resnet20"
    size: int = 28

    def load(self) -> Weights:
        """The checkpoint that is shipped."""
        return weights.load(self.task, find(self.arch))

    def images(self, labels: tuple[str, ...], split: str) -> Images:
        """The 60,000 images for training, or the 10,000 others."""
        return open_images(self.task, labels, split=split)


@dataclass(frozen=True)
class Cifar10:
    """akamaster's ResNet-20 (91.73 % published), in `folder` with CIFAR-10's images as JPEG."""

    folder: Path = CIFAR10
    task: str = "cifar10"
    arch: str = "resnet20"
    size: int = 32

    def load(self) -> Weights:
        """The checkpoint, with ImageNet's mean and std, as it was trained."""
        self._unpack()
        described = UNPACKED / "preprocessing.json"
        described.write_text(PREPROCESSING, encoding="utf-8")
        return weights.load(
            str(self.folder / "resnet20-12fca82f.th"),
            find(self.arch),
            labels=class_names.built_in("cifar10"),
            reading=Reading(preprocessing=described),
        )

    def images(self, labels: tuple[str, ...], split: str) -> Images:
        """520 of the images for training, or the 10,000 others."""
        self._unpack()
        name = "calibration" if split == "calibration" else "test"
        return open_images(str(UNPACKED / name), labels, split=split)

    def _unpack(self) -> None:
        for name in ("test", "calibration"):
            if not (UNPACKED / name).is_dir():
                with tarfile.open(self.folder / f"{name}-jpeg.tar") as archive:
                    archive.extractall(UNPACKED, filter="data")
