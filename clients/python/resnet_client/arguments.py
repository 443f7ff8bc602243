"""Arguments of the wrong type or range, refused with what to write instead."""

from __future__ import annotations

import operator
import re

from resnet_client.errors import UsageError

_LONGEST_ID = 100  # with the number of a batch, less than what the access log keeps
_ID = re.compile(r"[!#-Z^-~]*")


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


def request_id(value: object) -> str:
    """An id for the server's log, "" for none; raises `UsageError` for what Triton cannot log."""
    if value == "":
        return ""
    if not isinstance(value, str):
        raise UsageError(f"request_id is a text, not {value!r}")
    if len(value) > _LONGEST_ID or not _ID.fullmatch(value):
        raise UsageError(
            f"request_id is up to {_LONGEST_ID} letters, digits and signs of ASCII without spaces, "
            f"quotes, brackets and backslashes, not {value!r}"
        )
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
