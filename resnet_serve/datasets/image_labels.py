"""Image labels: a folder of images with `image_labels.json` or `image_labels.csv` in it.

    {"a.jpg": ["cat", "dog"], "beach/b.jpg": []}      JSON: the labels of each image

    image,cat,dog                                     CSV: a column per label, 1 or 0
    a.jpg,1,1
    beach/b.jpg,0,0

Paths are relative to the folder. Images that are not listed are skipped.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve.datasets.class_labels.matching import Matching, nfc
from resnet_serve.datasets.images import ImageFolder
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import SUFFIXES

FILES = ("image_labels.json", "image_labels.csv")
Sets = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelledImages:
    """Images with any number of labels each; `rows` has 1 or 0 for each label of the network."""

    folder: ImageFolder
    rows: tuple[tuple[int, ...], ...]

    @property
    def name(self) -> str:
        """The folder."""
        return self.folder.name

    @property
    def skipped(self) -> tuple[Path, ...]:
        """Images that are not listed."""
        return self.folder.skipped

    def __len__(self) -> int:
        return len(self.folder)

    def name_of(self, index: int) -> str:
        """The path of image `index`."""
        return self.folder.name_of(index)

    def image(self, index: int) -> Image.Image:
        """Image `index` in RGB; raises `ImageError`."""
        return self.folder.image(index)

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 or 0 for each image and label, [N,labels]."""
        return np.asarray(self.rows, dtype=np.int64).reshape(len(self.rows), -1)

    def digest(self) -> str:
        """SHA-256 over the relative paths and the contents of the images."""
        return self.folder.digest()


def label_file(folder: Path) -> Path | None:
    """The file in a folder that says which labels its images have; None where there is none."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read(path: Path) -> Sets:
    """The labels of each image, by path; raises `InputFileError` for another file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"cannot be read ({reason})", where=path) from error
    found = _json(text, path) if path.suffix == ".json" else _csv(text, path)
    if not found:
        raise InputFileError("lists no images", where=path)
    return found


def open_labelled(
    path: Path, labels: Sequence[str], *, negative: str | None = None
) -> LabelledImages:
    """The images that the file at `path` lists, with the labels of a network.

    `negative` names the absence of the only label, and may be listed too. Raises `InputFileError`
    for labels that the network does not have, and for images that are not there.
    """
    sets, folder = read(path), path.parent
    known = Matching(labels)
    rows, files = [], []
    for name, given in sorted(sets.items()):
        files.append(_file(folder, name, path))
        places = {_place(label, known, negative, f"{name} has the label", path) for label in given}
        rows.append(tuple(int(at in places) for at in range(len(labels))))
    listed = set(files)
    if len(listed) < len(files):
        twice = next(each for each in files if files.count(each) > 1)
        raise InputFileError(f"lists {twice.relative_to(folder)} twice", where=path)
    others = (each for each in sorted(folder.rglob("*")) if each.suffix.lower() in SUFFIXES)
    skipped = tuple(each for each in others if each not in listed)
    return LabelledImages(ImageFolder(str(folder), tuple(files), None, skipped), tuple(rows))


def _file(folder: Path, name: str, path: Path) -> Path:
    """The image of a name, in either Unicode form; raises `InputFileError` where there is none."""
    inside = PurePath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise InputFileError(
            f"lists {name}, which is not below its own folder",
            where=path,
            remedy="Write paths relative to the folder of this file.",
        )
    for form in (name, *(unicodedata.normalize(each, name) for each in ("NFC", "NFD"))):
        if (folder / form).is_file():
            return folder / form
    turned = name.replace("\\", "/")
    remedy = f"Write {turned}." if turned != name and (folder / turned).is_file() else None
    raise InputFileError(f"lists {name}, which is not there", where=path, remedy=remedy)


def _place(name: str, known: Matching, negative: str | None, what: str, path: Path) -> int | None:
    """The place of a label, None for the negative; raises `InputFileError` for any other name."""
    places = known.find(name)
    if not places and negative is not None and nfc(name) == nfc(negative):
        return None
    if not places:
        raise InputFileError(
            f"{what} {name!r}, {known.unknown(name)}",
            where=path,
            remedy=f"Name them as the network's labels{known.listed()}.",
        )
    if len(places) > 1:
        raise InputFileError(
            f"{what} {name!r}, which stands for {len(places)} classes",
            where=path,
            remedy="Give the classes distinct names in --labels.",
        )
    return places[0]


def _json(text: str, path: Path) -> Sets:
    try:
        data = json.loads(text, object_pairs_hook=partial(_once, path))
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"is not valid JSON ({error})", where=path) from error
    whole = isinstance(data, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in data.values()
    )
    if not whole:
        raise InputFileError(
            "is not an object of label lists by image",
            where=path,
            remedy='Write {"a.jpg": ["cat", "dog"], "b.jpg": []}.',
        )
    return {image: tuple(names) for image, names in data.items()}


def _once(path: Path, pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of JSON's pairs; raises `InputFileError` for a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputFileError(f"lists {twice} twice", where=path)
    return found


def _csv(text: str, path: Path) -> Sets:
    lines = [line for line in csv.reader(text.splitlines()) if line]
    header = [cell.strip() for cell in lines[0]] if lines else []
    if len(header) < 2 or header[0].lower() != "image":
        raise InputFileError(
            "does not begin with the columns: image, and one per label",
            where=path,
            remedy="Write a first line such as image,cat,dog and then a.jpg,1,0 and so on.",
        )
    if len({nfc(cell) for cell in header}) < len(header):
        raise InputFileError("has two columns of one name", where=path)
    found: dict[str, tuple[str, ...]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        values = [cell.strip() for cell in cells[1:]]
        if len(values) != len(header) - 1 or not {*values} <= {"0", "1"}:
            raise InputFileError(
                f"line {number} is not an image and {len(header) - 1} times 1 or 0", where=path
            )
        if cells[0] in found:
            raise InputFileError(f"lists {cells[0]} twice", where=path)
        found[cells[0]] = tuple(
            label for label, value in zip(header[1:], values, strict=True) if value == "1"
        )
    return found
