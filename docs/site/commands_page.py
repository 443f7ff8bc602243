"""The page of the commands: each with its options, as the programs themselves have them."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import click
import typer

from resnet_client.command import options

PROGRAMS = {
    "resnet-convert": "resnet_convert.cli.convert",
    "resnet-serve": "resnet_serve.cli.application",
}


def page() -> Iterator[str]:
    """The lines of the page."""
    yield "# Commands"
    yield ""
    yield "Every command says the same with `--help`. Exit codes: 0 done, 1 unexpected, 2 usage,"
    yield "3 parity not met, 4 something missing on this host, 5 bad input file."
    yield ""
    yield "The result of `--json` is one object. Its `schema_version` grows where a field leaves"
    yield "or changes, not where one is added. A row of `resnet-classify --json` has none."
    yield "`--install-completion` makes your shell complete options, networks and models."
    for program, module in PROGRAMS.items():
        group: Any = typer.main.get_command(importlib.import_module(module).app)
        yield from _command(group, program, 2)
    yield from _classify()


def _command(command: click.Command, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    yield from _section(name, level, _text(command.help or ""))
    shown = [each for each in command.get_params(context) if not getattr(each, "hidden", False)]
    yield from _table(_described(each, context) for each in shown)
    for each in getattr(command, "commands", {}).values():
        if not each.hidden:
            yield from _command(each, f"{name} {each.name}", level + 1)


def _described(parameter: click.Parameter, context: click.Context) -> tuple[str, str]:
    record = parameter.get_help_record(context)
    if record is not None:
        return record
    return parameter.make_metavar(context), getattr(parameter, "help", None) or ""


def _classify() -> Iterator[str]:
    parser = options.parser()
    yield from _section(parser.prog, 2, _text(parser.description or ""))
    formatter = argparse.HelpFormatter(parser.prog, width=200)
    yield from _table(
        (
            formatter._format_action_invocation(each),
            formatter._expand_help(each) if each.help else "",
        )
        for each in parser._actions
        if each.help != argparse.SUPPRESS
    )


def _section(name: str, level: int, text: str) -> Iterator[str]:
    yield from ("", f"{'#' * level} {name}", "", text)


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from ("", "| option | meaning |", "|---|---|")
    for option, meaning in rows:
        yield f"| `{_cell(option)}` | {_cell(_text(meaning))} |"


def _text(help_text: str) -> str:
    """Help without rich's markup; other brackets are no links."""
    plain = re.sub(r"\[/?(bold|dim|italic)?\]", "", inspect.cleandoc(help_text).replace("\f", ""))
    return plain.replace("[", "\\[")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
