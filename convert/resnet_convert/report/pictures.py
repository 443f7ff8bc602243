"""Pictures: the images of the worst and of the changed outputs, as small as a page can hold.

Each is drawn as it was decoded, upright and in RGB, at most 96 pixels on a side, in a data URI.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from resnet_convert.parity.compare import Logits
from resnet_serve.datasets import Images
from resnet_serve.errors import ResnetServeError

SIDE = 96
WORST = 6
CHANGED = 12
_QUALITY = 70


@dataclass(frozen=True)
class Picture:
    """An image of the validation set with both decisions; `uri` is empty where it cannot be read.

    `reference`, `converted` and `label` are class names; `label` is empty where it is not known.
    """

    index: int
    name: str
    uri: str
    reference: str
    converted: str
    label: str
    distance: float

    @property
    def changed(self) -> bool:
        """whether the decisions differ."""
        return self.reference != self.converted


def worst(logits: Logits, count: int = WORST) -> list[int]:
    """The images whose logits are farthest from the reference's, relative to their length."""
    distances = relative_distances(logits)
    return [int(index) for index in np.argsort(-distances, kind="stable")[:count]]


def relative_distances(logits: Logits) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """‖a − b‖ / ‖a‖ of every image, [N]; infinite where a logit is not finite."""
    a, b = logits.reference.astype(np.float64), logits.converted.astype(np.float64)
    with np.errstate(all="ignore"):
        found = np.linalg.norm(a - b, axis=1) / np.maximum(np.linalg.norm(a, axis=1), 1e-12)
    return np.where(np.isfinite(found), found, np.inf)


def pictures(
    images: Images, logits: Logits, names: Sequence[str], indices: Iterable[int]
) -> Iterator[Picture]:
    """The images at the indices with both decisions."""
    distances = relative_distances(logits)
    for index in indices:
        yield Picture(
            index=index,
            name=images.name_of(index).removeprefix(f"{images.name}/"),
            uri=_thumbnail(images, index),
            reference=names[int(logits.reference[index].argmax())],
            converted=names[int(logits.converted[index].argmax())],
            label="" if logits.labels is None else names[int(logits.labels[index])],
            distance=float(distances[index]),
        )


def _thumbnail(images: Images, index: int) -> str:
    try:
        picture = images.image(index).copy()
    except ResnetServeError:  # moved or damaged since it was compared
        return ""
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
