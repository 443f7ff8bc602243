"""Types of a request's fields, for callers in Python: a command line has typed them already."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, get_args, get_origin

from resnet_serve.errors import UsageError

# Strings on the command line, which may be a number or the name of a file.
_MAY_BE_NUMBERS = ("threshold",)
_WORDS: Mapping[type, str] = MappingProxyType(
    {str: "a string", bool: "True or False", int: "a whole number", float: "a number"}
)


def typed(name: str, value: Any, hint: Any) -> Any:
    """`value` as the field `name` stores it; raises `UsageError` for a value of another type.

    `hint` is the field's type: a class, a union of classes, or tuple[str, ...]. A path is taken
    where a string can name a file or a folder, a list for a tuple, and numbers of NumPy for
    Python's.
    """
    kinds = get_args(hint) or (hint,)
    if isinstance(value, PurePath):
        if Path in kinds:
            return value
        value = str(value)
    if get_origin(hint) is tuple:
        return _strings(name, value)
    for kind in kinds:
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
    if not isinstance(value, bool):
        if int in kinds and isinstance(value, Integral):
            return int(value)
        if float in kinds and isinstance(value, Real):
            return float(value)
        if name in _MAY_BE_NUMBERS and isinstance(value, Real):
            return str(value)
    wanted = " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS)
    raise _refusal(name, wanted, value)


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise _refusal(name, "a list of strings", value)


def _refusal(name: str, wanted: str, value: Any) -> UsageError:
    shown = isinstance(value, str | bytes | int | float | list | tuple)  # a network's text is long
    found = reprlib.repr(value) if shown else f"an object of type {type(value).__name__}"
    saved = "Save the state_dict with torch.save, and give the path of the file."
    remedy = saved if name == "weights" and not shown else None
    return UsageError(f"{name} is {wanted}, not {found}", remedy=remedy)
