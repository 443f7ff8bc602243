"""The command line's options, derived from `Options`, where each is declared once."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from resnet_convert.request.options import Options

JsonOption = Annotated[bool, typer.Option("--json", help="One machine-readable result on stdout.")]


def option(name: str, **changes: Any) -> OptionInfo:
    """The option that a field of `Options` declares, for another command that has it too.

    `changes` are attributes in which that command's option differs, as `show_default`.
    """
    found: OptionInfo = get_args(_hints()[name])[1]
    return OptionInfo(**{**vars(found), **changes})


def takes_options(
    *left_out: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every field of `Options`, ahead of its own parameters.

    The command receives them in its `**options`, as the fields' names and types, but for the fields
    that are `left_out`.
    """

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        context = [each for each in own if each.annotation is typer.Context]
        taken = [each for each in _parameters() if each.name not in left_out]
        parameters = [*context, *taken, *(each for each in own if each not in context)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return with_options


def _parameters() -> Iterator[inspect.Parameter]:
    hints = _hints()
    for field in fields(Options):
        kind, declared = get_args(hints[field.name])
        default = None if get_origin(kind) is tuple else field.default
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=default,
            annotation=Annotated[_parsed(kind), declared],
        )


def _hints() -> dict[str, Any]:
    return get_type_hints(Options, include_extras=True)


def _parsed(kind: Any) -> Any:
    """The type that the command line parses: of several, the one that is named first."""
    if get_origin(kind) is tuple:
        return list[str] | None
    if get_origin(kind) in (Union, types.UnionType):
        first, *others = get_args(kind)
        return first | None if type(None) in others else first
    return kind
