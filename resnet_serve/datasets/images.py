"""Images for calibration and validation: folders of files, and the data sets that have a name.

Every source has the same five verbs: `len`, `name_of`, `image`, `labels`, `digest`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve import durable
from resnet_serve.datasets import built_in, damaged
from resnet_serve.datasets.class_labels.folders import indices as class_indices
from resnet_serve.datasets.image_files import hidden, skipped_text, taken
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import SUFFIXES, ImageError, Limits, Preprocessing, decode
from resnet_serve.preprocessing.limits import DEFAULTS


class Images(Protocol):
    """A finite list of images, with class indices when they are known."""

    @property
    def name(self) -> str:
        """The name of the whole list in reports."""
        ...

    def __len__(self) -> int: ...

    def name_of(self, index: int) -> str:
        """The name of image `index` in reports: its path or its number."""
        ...

    def image(self, index: int) -> Image.Image:
        """Image `index` in RGB; raises `ImageError` with its name."""
        ...

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class indices [N], or None when the images are not labelled."""
        ...

    def digest(self) -> str:
        """SHA-256 over the names of the images, their order and their contents."""
        ...


def open_images(source: str, labels: Sequence[str] | None = None, *, split: str) -> Images:
    """Open one of `built_in.DATA_SETS`, a folder of images, or one with a subfolder per class.

    `labels` are the class names in the order of the logits. `split` is "calibration" (the training
    part of a built-in set) or "validation" (the held-out part). Raises `InputFileError` for a
    folder that cannot be used, and `HostError` for a data set that this host does not have.
    """
    named = built_in.find(source)
    if named is not None:
        return named.opened(split == "validation")
    path = Path(source)
    if not path.is_dir():
        raise InputFileError(
            f"no such folder of {split} images",
            where=path,
            remedy="Give a folder of images, one folder per class when they are labelled.",
        )
    return ImageFolder.scan(path, labels)


@dataclass(frozen=True)
class ImageFolder:
    """A folder of image files; one level of subfolders names the classes.

    `skipped` is everything else in it: other files, images next to the class folders, folders
    inside them, and hidden files and folders. `limits` are what one file may cost to decode.
    """

    name: str
    files: tuple[Path, ...]
    indices: tuple[int, ...] | None
    skipped: tuple[Path, ...]
    limits: Limits = DEFAULTS

    @classmethod
    def scan(cls, folder: Path, labels: Sequence[str] | None = None) -> ImageFolder:
        """List the images, sorted. Subfolders are classes: by `labels`, or in their order.

        Raises `InputFileError` for a folder that cannot be read or has no images, and for
        subfolders that are not in `labels`.
        """
        try:
            entries = sorted(folder.iterdir())
            classes = [entry for entry in entries if entry.is_dir() and not _hidden(entry)]
            if not classes:
                images, skipped = _split(entries)
                found = cls(str(folder), images, None, skipped)
            else:
                others = tuple(entry for entry in entries if entry not in classes)
                found = cls._classes(folder, classes, others, labels)
        except OSError as error:
            raise InputFileError(
                f"cannot be read ({error.strerror})", where=error.filename or folder
            ) from error
        if not found.files:
            text = skipped_text(str(folder), found.skipped)
            raise InputFileError(
                "contains no images" + (f"; skipped: {text}" if text else ""),
                where=folder,
                remedy=f"Images have the suffix {', '.join(SUFFIXES)}.",
            )
        return found

    @classmethod
    def _classes(
        cls,
        folder: Path,
        classes: Sequence[Path],
        skipped_files: Sequence[Path],
        labels: Sequence[str] | None,
    ) -> ImageFolder:
        names = [subfolder.name for subfolder in classes]
        numbers = range(len(names)) if labels is None else class_indices(folder, names, labels)
        files: list[Path] = []
        indices: list[int] = []
        skipped: list[Path] = list(skipped_files)
        for number, subfolder in zip(numbers, classes, strict=True):
            images, others = _split(sorted(subfolder.iterdir()))
            files += images
            indices += [number] * len(images)
            skipped += others
        return cls(str(folder), tuple(files), tuple(indices), tuple(skipped))

    def __len__(self) -> int:
        return len(self.files)

    def name_of(self, index: int) -> str:
        """The path of image `index`."""
        return str(self.files[index])

    def image(self, index: int) -> Image.Image:
        """Image `index` in RGB; raises `ImageError`."""
        return decode(self.files[index], self.limits)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class indices [N], or None without class folders."""
        return None if self.indices is None else np.asarray(self.indices, dtype=np.int64)

    def digest(self) -> str:
        """SHA-256 over the relative paths and the contents; raises `InputFileError`."""
        total = hashlib.sha256()
        for path in self.files:
            total.update(os.fsencode(path.relative_to(self.name)) + b"\0")
            try:
                total.update(bytes.fromhex(durable.sha256(path)))
            except OSError as error:
                raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
        return total.hexdigest()


def _hidden(entry: Path) -> bool:
    return hidden(entry.name)


def _split(entries: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    images = tuple(entry for entry in entries if taken(entry) and not _hidden(entry))
    found = set(images)
    return images, tuple(p for p in entries if p not in found)


def pixel_batches(
    images: Images, preprocessing: Preprocessing, batch_size: int
) -> Iterator[NDArray[np.uint8]]:
    """The images as batches UINT8 [n,H,W,channels], one at a time, of `batch_size` or fewer.

    At an image that cannot be decoded the rest is tried too: `ImageError` names all that cannot be.
    """
    count = len(images)

    def pixels(index: int) -> NDArray[np.uint8]:
        try:
            return preprocessing.pixels(images.image(index))
        except ImageError as error:
            name = images.name_of(index)
            raise ImageError(error.what, where=name, remedy=error.remedy) from error

    for start in range(0, count, batch_size):
        indices = range(start, min(start + batch_size, count))
        try:
            batch = np.stack([pixels(index) for index in indices])
        except ImageError as error:
            raise damaged.together(list(damaged.errors(range(start, count), pixels))) from error
        yield batch


def enough_labels(labels: Sequence[str], classes: int) -> bool:
    """Whether there is a label per class; one output may have two, negative and positive."""
    return len(labels) == classes or (classes == 1 and len(labels) == 2)


def check_label_count(labels: Sequence[str], classes: int) -> None:
    """Raise `UsageError` unless there are as many labels as classes.

    A network with one output may have two: the negative, then the positive.
    """
    if not enough_labels(labels, classes):
        raise UsageError(
            f"{len(labels)} labels for a network of {classes} classes",
            remedy="Give a --labels file with one name per class.",
        )
