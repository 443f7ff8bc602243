"""Recorded: the command in a passport or report, read back as the request that it makes.

    parse(request.command()) == request

Without the command line: passports are read where none is parsed.
"""

from __future__ import annotations

import shlex
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from resnet_convert.request.options import Options
from resnet_convert.request.request import Request, flag
from resnet_serve.errors import UsageError


def parse(command: str) -> Request:
    """The request of a recorded command; raises `UsageError` for one that makes none."""
    words = iter(shlex.split(command)[1:])
    kinds = {flag(name): (name, _kinds(hint)) for name, hint in get_type_hints(Options).items()}
    values: dict[str, Any] = {}
    for word in words:
        given, has_value, value = word.partition("=")
        if given not in kinds:
            raise UsageError(f"the recorded command cannot be read: {word!r} is no option")
        name, types_of = kinds[given]
        if bool in types_of:
            values[name] = True
            continue
        text = value if has_value else _next(words, given)
        if tuple in types_of:
            values[name] = (*values.get(name, ()), text)
        else:
            values[name] = _read(types_of, text, given)
    return Request(**values)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types of an option's values, without None."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(get_origin(each) or each for each in members if each is not types.NoneType)


def _next(words: Iterator[str], given: str) -> str:
    try:
        return next(words)
    except StopIteration:
        raise UsageError(f"the recorded command cannot be read: {given} is its end") from None


def _read(kinds: tuple[Any, ...], text: str, given: str) -> Any:
    kind = next((each for each in (int, float) if each in kinds), str)
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"the recorded command cannot be read: {given} {text!r}") from None
