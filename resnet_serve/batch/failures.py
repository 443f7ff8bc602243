"""Failures: why an image has no predictions, as a kind that can be counted and a sentence.

A bad image is a row of the result with its failure; it never fails the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from PIL import UnidentifiedImageError

from resnet_serve.preprocessing import DamagedError, ImageError


class Kind(StrEnum):
    """The kinds of failures, as in the column `failure`."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not an image"
    REFUSED = "refused"  # beyond a limit of the preprocessing
    DAMAGED = "damaged"
    CRASHED = "crashed"  # its decoding ended the process
    OUTPUTS = "outputs"  # NaN or infinite
    SERVER = "server"  # a server refused this image, several times


@dataclass(frozen=True)
class Failure:
    """One failure: its kind, and a sentence without the image's name."""

    kind: Kind
    text: str


def of_decoding(error: ImageError) -> Failure:
    """The failure that an error of decoding or preprocessing means, by what caused it."""
    for each in _with_causes(error):
        if isinstance(each, UnidentifiedImageError):
            return Failure(Kind.NOT_AN_IMAGE, _sentence(error))
        if isinstance(each, DamagedError):
            return Failure(Kind.DAMAGED, _sentence(error))
    return Failure(Kind.REFUSED, _sentence(error))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _sentence(error: ImageError) -> str:
    return error.what if error.remedy is None else f"{error.what}. {error.remedy}"
