"""Thresholds: `--threshold 0.3`, or a JSON file with the threshold of every label.

{"cat": 0.4, "dog": 0.55}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnet_serve.errors import InputFileError, UsageError

_EXAMPLE = 'Write {"first label": 0.5, "second label": 0.4, …}, with every label once.'


def read(given: str, labels: Sequence[str]) -> tuple[float, ...]:
    """The thresholds that `--threshold` gives: one for all labels, or one per label.

    Raises `UsageError` for a number that is no threshold, and `InputFileError` for a file that
    does not give each of the labels one.
    """
    number = _number(given)
    if number is not None:
        if not 0 < number < 1:
            raise UsageError(
                f"--threshold is a probability between 0 and 1, not {given}",
                remedy="Give 0.5, or a JSON file with a threshold per label.",
            )
        return (number,)
    path = Path(given)
    named = _mapping(path)
    twice = next((label for label in labels if list(labels).count(label) > 1), None)
    if twice is not None:
        raise InputFileError(
            f"cannot name the label {twice!r}, which stands for several outputs",
            where=path,
            remedy="Give the labels distinct names with --labels, or one number as --threshold.",
        )
    missing = [label for label in labels if label not in named]
    unknown = [label for label in named if label not in labels]
    if missing or unknown:
        what = f"has no threshold for {_some(missing)}" if missing else f"names {_some(unknown)}"
        raise InputFileError(
            what if missing else f"{what}, which is no label of the network",
            where=path,
            remedy=f"Its labels are {_some(labels)}.",
        )
    for label, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise InputFileError(
                f"the threshold of {label!r} is {value!r}, not a number between 0 and 1",
                where=path,
            )
    return tuple(float(named[label]) for label in labels)  # type: ignore[arg-type]


def _number(given: str) -> float | None:
    try:
        return float(given)
    except ValueError:
        return None


def _mapping(path: Path) -> Mapping[str, object]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputFileError(
            f"is neither a number nor a file that can be read ({error.strerror})",
            where=path,
            remedy="Give --threshold 0.5, or a JSON file with a threshold per label.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"is not JSON ({error})", where=path, remedy=_EXAMPLE) from error
    if not isinstance(data, Mapping):
        raise InputFileError("is not an object of numbers by label", where=path, remedy=_EXAMPLE)
    return data


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
