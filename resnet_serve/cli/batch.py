"""The command for many images: batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.models.versions import NameArgument
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from resnet_serve.batch.request import Request, Told
    from resnet_serve.batch.summary import Summary
    from resnet_serve.batch.work import Done

_LINE_EVERY_S = 5.0


class Decoding(StrEnum):
    """Where images are decoded that servers classify."""

    CLIENT = "client"
    SERVER = "server"


def batch(
    name: NameArgument,
    images: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A folder of images, a list of paths (.txt, or - for the standard input), CSV, "
            "Parquet, or a folder of Parquet files.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The folder for the Parquet files.")] = Path("batch"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that began in --output, if any.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Predictions per image. Default: 5; of sigmoid outputs, the labels from their "
            "threshold on.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Default: the served version.", show_default=False)
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="The column with the paths or the images, of CSV and Parquet.", show_default=False
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="The column with the names for the result.", show_default=False),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Where relative paths begin. Default: the folder of the list.", show_default=False
        ),
    ] = None,
    base64: Annotated[
        bool, typer.Option("--base64", help="The CSV column holds images in base64.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes with a model each; with --url, parts at once. Default: as many as the "
            "cores have room for; 4 for each --url.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker's model.")] = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images at once. Default: 8, servers get 16.", show_default=False),
    ] = None,
    rows_per_part: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows per file, done whole or not at all. Default: 64 to 4096, by the input.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a Ray cluster. Default: a Ray of its own, here.", show_default=False
        ),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead: gRPC address of a server, host:8001; several times for a fleet.",
            show_default=False,
        ),
    ] = None,
    decode: Annotated[
        Decoding | None,
        typer.Option(
            help="With --url: where images are decoded. Default: client.", show_default=False
        ),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="With --url: TLS, by this PEM authority.", show_default=False),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="With --url: TLS.")] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="With --url: this client's PEM certificate.", show_default=False),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="With --url: its PEM key.", show_default=False)
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --url: seconds to wait when no server answers. Default: 120.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Classify many images to Parquet: exactly one row each, restartable at any moment.

    The version runs on all cores, on a Ray cluster, or is asked on servers. A bad image is a row
    with an error, and never fails the run.
    """
    from resnet_serve.batch import run as batches
    from resnet_serve.batch.request import Request
    from resnet_serve.batch.servers.fleet import Access
    from resnet_serve.batch.source.frozen import Source

    _refuse_mixed(
        bool(url),
        {"--address": address, "--threads": None if threads == 1 else threads},
        {
            "--decode": decode,
            "--tls": tls or None,
            "--tls-ca": tls_ca,
            "--tls-cert": tls_cert,
            "--tls-key": tls_key,
            "--patience": patience,
        },
    )
    request = Request(
        name=name,
        source=Source(images, column, id_column, base64, None if root is None else str(root)),
        output=output,
        repository=repository,
        version=version,
        top=top,
        batch_size=batch_size,
        rows_per_part=rows_per_part,
        workers=workers,
        threads=threads,
        address=address,
        urls=tuple(url or ()),
        access=Access(
            decode=(decode or Decoding.CLIENT).value,
            patience_s=120.0 if patience is None else patience,
            tls=tls,
            tls_files=(tls_ca, tls_cert, tls_key),
        ),
        resume=resume,
    )
    with _shown(request) as told:
        found = batches.run(request, told)
    if as_json:
        console.show_json(found.to_json())
        return
    console.show(_table(found))
    console.out.print(found.sentence, soft_wrap=True)
    console.out.print(f"wrote {found.output}: {found.parts:,} Parquet files", soft_wrap=True)
    if found.failed == found.images:
        console.warn("not one image has a result: see the column `error`, and --root for paths")


def _refuse_mixed(servers: bool, ours: dict[str, object], theirs: dict[str, object]) -> None:
    """Raise `UsageError` for options of the way that is not taken."""
    given = [name for name, value in (ours if servers else theirs).items() if value is not None]
    if given:
        what = "has no meaning with --url" if servers else "is an option of --url"
        raise UsageError(f"{given[0]} {what}", remedy="Leave one of them out.")


def _table(found: Summary) -> Table:
    table = console.table(f"{found.model} version {found.version}")
    table.show_header = False
    table.add_column()
    table.add_column(justify="right")
    table.add_row("with results", f"{found.images - found.failed:,}")
    for kind, count in found.failures.items():
        table.add_row(kind, f"{count:,}")
    table.add_row("all", f"{found.images:,}", style="bold")
    rate = "–" if found.images_per_s is None else f"{found.images_per_s:,.1f}"
    table.add_row("images/s, this time", rate)
    table.add_row("CPU s per image", f"{found.cpu_s_per_image:.4f}")
    table.add_row("workers", f"{found.workers}")
    if found.redone:
        table.add_row("parts begun again after a worker was lost", f"{found.redone}")
    for url, (sent, failed) in (found.endpoints or {}).items():
        table.add_row(
            f"requests to {url}", f"{sent:,}, {failed:,} failed" if failed else f"{sent:,}"
        )
    return table


@contextmanager
def _shown(request: Request) -> Iterator[Told]:
    """A bar on a terminal, else a line every few seconds."""
    from resnet_serve.batch.request import Told

    known = {"rows": 0, "done": 0, "now": 0, "bad": 0}
    last = begun = time.monotonic()

    def say(text: str) -> None:
        """A line above the bar."""
        console.err.print(text, soft_wrap=True, markup=False)

    with console.bars() as bars:
        task = bars.add_task("listing the input", total=None)

        def listed(count: int) -> None:
            """The bar while the input is listed."""
            nonlocal last
            bars.update(task, description=f"listing the input: {count:,}")
            if not console.err.is_terminal and time.monotonic() - last > _LINE_EVERY_S:
                last = time.monotonic()
                say(f"listing the input: {count:,}")

        def planned(rows: int, done: int, workers: int) -> None:
            """What there is to do."""
            nonlocal begun
            known.update(rows=rows, done=done)
            begun = time.monotonic()
            bars.update(task, description="loading the model", total=rows, completed=done)
            already = f", {done:,} of them done before" if done else ""
            by = f"{workers} at once" if request.urls else f"{workers} workers"
            if done < rows:
                say(f"{rows:,} images{already}; {by}")

        def ended(part: Done) -> None:
            """What is done, and how fast."""
            nonlocal last
            known["done"] += part.rows
            known["now"] += part.rows
            known["bad"] += sum(part.failures.values())
            if part.attempt > 1:
                say(f"a worker was lost: its part {part.part} was done again")
            bad = f", {known['bad']:,} without results" if known["bad"] else ""
            rate = known["now"] / max(time.monotonic() - begun, 0.001)
            text = f"{known['done']:,} of {known['rows']:,}, {rate:,.1f}/s{bad}"
            bars.update(task, description=text, completed=known["done"])
            now = time.monotonic()
            finished = known["done"] == known["rows"]
            if not console.err.is_terminal and (finished or now - last > _LINE_EVERY_S):
                last = now
                say(text)

        yield Told(listed=listed, planned=planned, ended=ended, say=say)
