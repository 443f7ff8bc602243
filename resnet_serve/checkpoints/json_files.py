"""JSON files next to weights, which are checked: a mapping of fields, or an error with its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

IN_PIXELS = "Give --preprocessing FILE with resize and crop in pixels."


def mapping(path: Path) -> dict[str, Any]:
    """The fields of a file; raises `InputFileError` for one that is not a JSON mapping."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            f"is not valid JSON ({error})",
            where=path,
            remedy="It has the preprocessing: correct it, move it, or give --preprocessing.",
        ) from error
    if not isinstance(data, dict):
        raise InputFileError("is JSON, but not a mapping of fields", where=path)
    return data


def preprocessing(
    data: Mapping[str, Any], path: Path, base: Preprocessing | None = None
) -> Preprocessing:
    """The `Preprocessing` of its own fields over those of `base`, or over the defaults.

    Raises `InputFileError` with the file's path.
    """
    try:
        return Preprocessing.from_json(data, base)
    except InputFileError as error:
        raise InputFileError(error.what, where=path, remedy=error.remedy) from error


def fraction_of(value: object, path: Path) -> float:
    """A `crop_pct`: the fraction of the resized image's side that the crop keeps.

    Raises `InputFileError` unless it is between 0.1 and 10.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if not 0.1 <= number <= 10:
        raise InputFileError(f"crop_pct {value!r} is not a fraction of an image", where=path)
    return float(number)


def names_in(values: Iterable[object]) -> tuple[str, ...] | None:
    """Class names, each on one line; None where there are none, or one is blank or not a text."""
    names = [" ".join(each.split()) if isinstance(each, str) else "" for each in values]
    return tuple(names) if all(names) and names else None
