"""Thresholds: `--threshold 0.3`, or a JSON file with the threshold of every label.

{"cat": 0.4, "dog": 0.55}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnet_serve.datasets.class_labels.matching import Matching
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
    named, known = _mapping(path), Matching(labels)
    found: dict[int, object] = {}
    for name, value in named.items():
        places = known.find(name)
        if not places:
            raise InputFileError(
                f"names {name!r}, {known.unknown(name)}",
                where=path,
                remedy=f"Its labels are {_some(labels)}.",
            )
        if len(places) > 1:
            raise InputFileError(
                f"cannot name the label {name!r}, which stands for several outputs",
                where=path,
                remedy="Give the labels distinct names with --labels, or one number as "
                "--threshold.",
            )
        if places[0] in found:
            raise InputFileError(f"has two thresholds for {labels[places[0]]!r}", where=path)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise InputFileError(
                f"the threshold of {name!r} is {value!r}, not a number between 0 and 1",
                where=path,
            )
        found[places[0]] = value
    missing = [label for at, label in enumerate(labels) if at not in found]
    if missing:
        raise InputFileError(
            f"has no threshold for {_some(missing)}",
            where=path,
            remedy=f"Its labels are {_some(labels)}.",
        )
    return tuple(float(found[at]) for at in range(len(labels)))  # type: ignore[arg-type]


def _number(given: str) -> float | None:
    try:
        return float(given)
    except ValueError:
        return None


def _mapping(path: Path) -> Mapping[str, object]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise InputFileError(
            f"is neither a number nor a file that can be read ({error.strerror})",
            where=path,
            remedy="Give --threshold 0.5, or a JSON file with a threshold per label.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            f"is not JSON of a threshold per label ({error})", where=path, remedy=_EXAMPLE
        ) from error
    if not isinstance(data, Mapping):
        raise InputFileError("is not an object of numbers by label", where=path, remedy=_EXAMPLE)
    return data


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"a name is there twice: {max(names, key=names.count)!r}")
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
