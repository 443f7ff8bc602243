"""What a refusal shows before its error: the tables of a result, or the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_convert import deployment
from resnet_convert.autoselect.entrants import NothingKeepsParityError
from resnet_convert.cli import screen, tables
from resnet_convert.conversion import Conversion
from resnet_convert.parity.parity_error import GateError, RefusedError
from resnet_convert.refusals.refused import ConversionRefusedError
from resnet_serve import console, durable

ReportOption = Annotated[
    Path | None,
    typer.Option(help="Also write the gate's page here, as HTML.", show_default=False),
]


@contextmanager
def shown(*, as_json: bool, report: Path | None = None) -> Iterator[None]:
    """Show a refusal of the body, write its page to `report`, and raise it again."""
    try:
        yield
    except RefusedError as refusal:
        if isinstance(refusal, GateError):
            write_page(
                report,
                str(refusal.where),
                refusal.verdict,
                refusal.measurements,
                refusal.subject,
                refused=refusal.what,
                next_command=refusal.next_command,
            )
        show(refusal, as_json=as_json)
        raise


def write_page(report: Path | None, *gate: Any, **more: Any) -> None:
    """Write the page of a gate, where one is asked for; the arguments are those of its `render`."""
    if report is not None:
        from resnet_convert.report.gate import render

        durable.write(report, render(*gate, **more))


def show_tables(conversion: Conversion) -> None:
    """Print the tables of a conversion, deployed or refused, on stdout."""
    for table in tables.all_of(conversion):
        console.show(table)
    console.show(screen.result_table(conversion))


def show(refusal: RefusedError, *, as_json: bool) -> None:
    """Print what was found until the refusal; the error itself is printed where it ends."""
    if as_json:
        result = refusal.result()
        if isinstance(refusal, ConversionRefusedError):
            result |= deployment.result(refusal.conversion)
        console.show_json(result)
    elif isinstance(refusal, ConversionRefusedError):
        show_tables(refusal.conversion)
    elif isinstance(refusal, GateError):
        console.show(screen.checks_table(f"{refusal.where}, refused", refusal.verdict))
    elif isinstance(refusal, NothingKeepsParityError):
        table = tables.autoselect_table(refusal.aim, refusal.results, selected=False)
        console.show(table)
    if isinstance(refusal, GateError):
        console.warn(*refusal.subject.notes, *refusal.subject.warnings)
