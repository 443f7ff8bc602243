"""The terminal of every command: results on stdout, progress on stderr, one line per failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from resnet_serve.errors import ResnetServeError

INTERRUPTED = 130

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


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
        if os.environ.get("RESNET_SERVE_TRACEBACK"):
            raise
        fail(
            f"unexpected {type(error).__name__}: {error}. This is a bug in resnet-serve; "
            "RESNET_SERVE_TRACEBACK=1 shows where.",
            1,
        )


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress bars on stderr, which leave nothing behind."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as shown:
        yield shown


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and exit with this code."""
    err.print(_line("error:", "bold red", message), soft_wrap=True)
    raise SystemExit(code)


def warn(message: str) -> None:
    """Print one yellow line on stderr."""
    err.print(_line("warning:", "yellow", message), soft_wrap=True)


def _line(word: str, style: str, message: str) -> Text:
    """The message on one line, with markup shown as it is and escape sequences made visible."""
    plain = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in " ".join(message.splitlines())
    )
    return Text.assemble((word, style), " ", plain)
