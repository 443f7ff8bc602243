"""The networks of `accuracy.py`, and the images of each.

The digits' are trained where `checkpoints` has none. Fashion-MNIST's 10,000 images come from
Debian's package `dataset-fashion-mnist`. CIFAR-10 is a folder with `resnet20-12fca82f.th`,
`test-jpeg.tar` and `calibration-jpeg.tar`, which is no part of this repository; its images are
JPEG, which costs the network some ten points of accuracy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.datasets import Images, open_images
from resnet_serve.weights import Weights, class_names

CIFAR10 = Path(__file__).parents[2] / "shared" / "data" / "cifar10"
CHECKPOINTS = Path(__file__).parent / "checkpoints"
TRAINER = Path(__file__).parent.parent / "examples" / "train_digits.py"
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


@dataclass(frozen=True)
class Trained:
    """A network of the benchmark: trained for so many epochs on a task, at so many pixels."""

    task: str
    arch: str
    size: int
    epochs: int

    @property
    def path(self) -> Path:
        """The checkpoint, which may not exist yet."""
        return CHECKPOINTS / f"{self.task}-{self.arch}.safetensors"

    def load(self) -> Weights:
        """The checkpoint, trained now if there is none."""
        architecture = find(self.arch)
        if (self.task, self.arch) == ("digits", "resnet20"):
            return weights.load("digits", architecture)
        if not self.path.is_file():
            CHECKPOINTS.mkdir(exist_ok=True)
            command = [sys.executable, str(TRAINER), "--arch", self.arch, "--size", str(self.size)]
            command += ["--epochs", str(self.epochs), "--output", str(self.path)]
            command += ["--hard"] if self.task == "digits-hard" else []
            subprocess.run(command, check=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        return weights.load(str(self.path), architecture)

    def images(self, labels: tuple[str, ...], split: str) -> Images:
        """The digits that it was trained on, or the others."""
        return open_images(self.task, labels, split=split)


NETWORKS = (
    Trained("digits", "resnet20", 32, 40),
    Trained("digits", "resnet56", 32, 20),
    Trained("digits", "resnet110", 32, 15),
    Trained("digits", "resnet18", 64, 12),
    Trained("digits-hard", "resnet20", 32, 40),
    Trained("digits-hard", "resnet56", 32, 15),
    Trained("digits-hard", "resnet110", 32, 12),
    Trained("digits-hard", "resnet18", 64, 15),
)
