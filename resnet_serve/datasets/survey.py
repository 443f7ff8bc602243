"""Survey: the image files of a conversion, read once before they are used, without their pixels.

damaged    files whose header cannot be read: one error names all, of both sets
turned     images that EXIF says to turn, which torchvision's `ImageFolder` leaves as they are
shared     validation images that are calibration images too, by content
skipped    files of the folders that are not taken, by reason
coverage   classes that the validation images have no image of
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.datasets.coverage import coverage_notice
from resnet_serve.datasets.damaged import errors, together
from resnet_serve.datasets.file_limits import limits_of
from resnet_serve.datasets.image_files import skipped_text
from resnet_serve.datasets.image_labels import LabelledImages
from resnet_serve.datasets.images import ImageFolder, Images
from resnet_serve.datasets.selection import Selection
from resnet_serve.preprocessing import ImageError, Limits, orientation_in
from resnet_serve.preprocessing.limits import DEFAULTS


@dataclass(frozen=True)
class Survey:
    """The files of one set: their SHA-256, how many EXIF turns, and which cannot be opened."""

    digests: tuple[bytes, ...]
    turned: int
    damaged: tuple[ImageError, ...]


def files_of(images: Images) -> tuple[Path, ...]:
    """The file of each image; none for a set that is not a folder."""
    if isinstance(images, Selection):
        files = files_of(images.images)
        return tuple(files[index] for index in images.chosen) if files else ()
    if isinstance(images, LabelledImages):
        return images.folder.files
    return images.files if isinstance(images, ImageFolder) else ()


def survey(files: Sequence[Path], limits: Limits = DEFAULTS) -> Survey:
    """Read every file, without decoding pixels; a file beyond `limits` counts as damaged."""
    digests, turned, damaged = [], 0, []
    for path in files:
        try:
            data = path.read_bytes()
            turned += orientation_in(data, limits) != 1
        except OSError as error:
            damaged.append(ImageError(f"cannot read ({error.strerror})", where=path))
        except ImageError as error:
            damaged.append(ImageError(error.what, where=path, remedy=error.remedy))
        else:
            digests.append(hashlib.sha256(data).digest())
    return Survey(tuple(digests), turned, tuple(damaged))


def notices(
    validation: Images | None,
    classes: Sequence[str] = (),
    *,
    calibration: Images | None = None,
) -> tuple[str, ...]:
    """What a user should know of the images, as sentences.

    `classes` are the names in the order of the labels, empty where they mean nothing. Raises
    `ImageError` when a file cannot be opened: then all are decoded, and the error has all that
    cannot be.
    """
    given = {"calibration": calibration, "validation": validation}
    sets = {split: images for split, images in given.items() if images is not None}
    found = {split: survey(files_of(images), limits_of(images)) for split, images in sets.items()}
    if any(each.damaged for each in found.values()):
        raise together([each for images in sets.values() for each in _undecoded(images)])
    return tuple(_notices(sets, found, classes))


def damaged(images: Images | None) -> bool:
    """Whether a file of a set cannot be opened."""
    if images is None:
        return False
    return bool(survey(files_of(images), limits_of(images)).damaged)


def _undecoded(images: Images) -> Iterator[ImageError]:
    return errors(range(len(files_of(images))), images.image)


def _notices(
    sets: dict[str, Images], found: dict[str, Survey], classes: Sequence[str]
) -> Iterator[str]:
    folders = set()
    for split, images in sets.items():
        whole = images.images if isinstance(images, Selection) else images
        skipped = getattr(whole, "skipped", ())
        if skipped and whole.name not in folders:
            folders.add(whole.name)
            yield f"skipped in {whole.name}: {skipped_text(whole.name, skipped)}"
        if found[split].turned:
            yield (
                f"{found[split].turned:,} of {len(images):,} {split} images were turned upright "
                "by EXIF; torchvision's ImageFolder does not turn them, so that an evaluation "
                "with it sees other pixels"
            )
    if "validation" in sets:
        uncovered = coverage_notice(sets["validation"], classes)
        if uncovered is not None:
            yield uncovered
    if len(found) == 2:
        known = frozenset(found["calibration"].digests)
        tested = found["validation"].digests
        shared = sum(each in known for each in tested)
        if shared:
            yield (
                f"{shared:,} of {len(tested):,} validation images are calibration images too: "
                "parity may look better than on other images"
            )
