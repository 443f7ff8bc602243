"""Arguments of the wrong type or range, refused with what to write instead."""

from __future__ import annotations

import operator

from resnet_client.errors import UsageError


def text(name: str, value: object) -> str:
    """A text that is not empty; raises `UsageError` for anything else."""
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name} is a text, not {value!r}")
    return value


def version(value: object) -> str:
    """A served version, "" the latest; raises `UsageError` for anything else."""
    if not isinstance(value, str):
        raise UsageError(f"a version is a text such as '1', or '' for the latest, not {value!r}")
    if value and not (value.isascii() and value.isdecimal()):
        raise UsageError(f"a version is a number, not {value!r}")
    return value


def count(name: str, value: object) -> int:
    """A whole number above 0; raises `UsageError` for anything else."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{name} is a whole number, not {value!r}") from None
    if number < 1:
        raise UsageError(f"{name} must be at least 1, not {number}")
    return number


def top(value: object) -> int | None:
    """How many classes; None leaves it to the model. Raises `UsageError`."""
    return None if value is None else count("top", value)
