"""The terminal of every command: results on stdout, progress on stderr, one line per failure."""

from __future__ import annotations

import errno
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console, ConsoleDimensions
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from resnet_serve.console import narrow_table, remedies
from resnet_serve.errors import HostError, Note, ResnetServeError

INTERRUPTED = 130
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
_FULL = (errno.ENOSPC, errno.EDQUOT)
JSON_VERSION = 1  # of every --json result: it grows where a field changes its meaning or leaves


class _Terminal(Console):
    """A console that keeps lines whole where it writes to a file or a pipe.

    COLUMNS, where it is set, is the width there too.
    """

    @property  # type: ignore[misc]  # nothing sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines."""
        found = super().size
        if self.is_terminal or os.environ.get("COLUMNS", "").isdigit():
            return found
        return ConsoleDimensions(narrow_table.UNBOUNDED, found.height)


class Commands(TyperGroup):
    """A group whose commands have the paragraphs of their help as one line each.

    typer keeps the line ends of a docstring in all of them but the first, wherever they are. The
    errors of the commands name their repository, see `remedies`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for command in self.commands.values():
            paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
            command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
            if command.callback is not None:
                command.callback = remedies.naming_the_repository(command.callback)


out: Console = _Terminal(highlight=False)
err: Console = _Terminal(stderr=True, highlight=False)


def run(app: Callable[[], object]) -> NoReturn:
    """Run a typer app and exit with its code; no traceback unless RESNET_SERVE_TRACEBACK is set."""
    try:
        app()
        raise SystemExit(0)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # how typer ends on Ctrl-C, without a message
            fail("interrupted", INTERRUPTED)
        raise
    except ResnetServeError as error:
        if os.environ.get("RESNET_SERVE_TRACEBACK"):
            raise
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout has ended, as in `… | head`
        sys.stdout = None
        raise SystemExit(0) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            sys.stdout = None  # what is left in its buffer cannot be written either
            fail(f"cannot write: {os.strerror(error.errno).lower()}", HostError.exit_code)
        if os.environ.get("RESNET_SERVE_TRACEBACK"):
            raise
        fail(
            f"unexpected {type(error).__name__}: {error}. This is a bug in resnet-serve; "
            "RESNET_SERVE_TRACEBACK=1 shows where.",
            1,
        )


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress bars on stderr, which leave nothing behind; none where it is not a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hidden = not err.is_terminal
    with Progress(*columns, console=err, transient=True, disable=hidden) as shown:
        yield shown


def progress_line(text: str) -> None:
    """Print progress on stderr as a line, where no bar shows it: where it is not a terminal."""
    if not err.is_terminal:
        err.print(text, soft_wrap=True, markup=False)


def table(title: str | None = None, *, caption: str | None = None) -> Table:
    """An empty table in the style of every command; see `show`."""
    return Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )


def show(drawn: Table) -> None:
    """Print a table on stdout, whole; in a narrow terminal see `narrow_table`."""
    if narrow_table.fits(drawn, out) or narrow_table.tighten(drawn, out):
        out.print(drawn)
        return
    for paragraph in narrow_table.paragraphs(drawn, out):
        out.print(paragraph, soft_wrap=True)


def show_json(result: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print the result of a command for programs, with the version of its form."""
    typer.echo(json.dumps({"schema_version": JSON_VERSION, **result}, indent=indent))


def conclude(text: Text, colour: str) -> None:
    """Print the last words of a command on stdout, in a frame where it is a terminal."""
    if out.is_terminal:
        out.print(Panel(text, border_style=colour, expand=False))
    else:
        out.print(text, soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and exit with this code."""
    err.print(_line("error:", "bold red", message), soft_wrap=True)
    raise SystemExit(code)


def warn(*messages: str | None) -> None:
    """Print a yellow line on stderr for each; a `Note` without the colour, and as what it is.

    None is no line, for a warning that there may not be.
    """
    for each in messages:
        if each is not None:
            word, style = ("note:", "dim") if isinstance(each, Note) else ("warning:", "yellow")
            err.print(_line(word, style, each), soft_wrap=True)


def _line(word: str, style: str, message: str) -> Text:
    """The message on one line, with markup shown as it is and escape sequences made visible."""
    plain = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in " ".join(message.splitlines())
    )
    return Text.assemble((word, style), " ", plain)
