"""Commands that load a server: loadtest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.screen import (
    DEFAULT_REPOSITORY,
    RepositoryOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    TlsOption,
)
from resnet_serve.console import completion
from resnet_serve.errors import UsageError
from resnet_serve.loadtest import results
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_report import Level
from resnet_serve.loadtest.run import LoadTest
from resnet_serve.triton.client_tls import client_tls
from resnet_serve.triton.server import running


def load_test(
    models: Annotated[
        list[str],
        typer.Argument(
            help="The model's name, or NAME_image to send images; several are tested in turn.",
            autocompletion=completion.models,
        ),
    ],
    concurrency: Annotated[
        str | None,
        typer.Option(
            help="Requests in flight: start:end[:step] or a list 1,2,4.",
            show_default=loadtest.DEFAULT_CONCURRENCY,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Instead: requests per second at random moments (Poisson), as 40 or 20,40,80.",
            show_default=False,
        ),
    ] = None,
    slo: Annotated[
        str | None,
        typer.Option(help="The limit of the p99 latency, as 50ms.", show_default=False),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="gRPC address. Default: the server that runs on --repository, else port 8001.",
            show_default=False,
        ),
    ] = None,
    tls: TlsOption = False,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per request.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds per level, about.")] = 6,
    image: Annotated[
        Path | None,
        typer.Option(help="An image or a folder of images to send.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(help="The folder for CSV, JSON and plot.")] = Path(
        "loadtest"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Load a served model with perf_analyzer: table, CSV and a latency–throughput plot."""
    if rate is not None and concurrency is not None:
        raise UsageError(
            "--concurrency and --rate are two ways to offer requests", remedy="Give one of them."
        )
    encrypted = client_tls(tls, tls_ca, tls_cert, tls_key)
    served = running(repository) if url is None else None
    address = url or (served.grpc if served is not None else loadtest.DEFAULT_URL)
    with console.bars() as bars:
        task = bars.add_task("perf_analyzer", total=None)

        def started(model: str, offered: Offered, seconds: float) -> None:
            bars.update(task, description=f"{model}, {offered} ({seconds:.0f} s)")

        def ended(model: str, level: Level) -> None:
            said = f"{level.offered}: {level.throughput_per_s:.1f}/s"
            bars.update(task, description=f"{model}, {said}")
            console.progress_line(f"{model}, {said}")

        tests = [
            loadtest.run(
                model,
                url=address,
                concurrency=concurrency or loadtest.DEFAULT_CONCURRENCY,
                rate=rate,
                slo=slo,
                images=image,
                batch_size=batch_size,
                seconds=seconds,
                tls=encrypted,
                downloading=lambda done, total: bars.update(
                    task,
                    description="downloading perf_analyzer",
                    completed=done,
                    total=total or None,
                ),
                started=partial(started, model),
                ended=partial(ended, model),
            )
            for model in dict.fromkeys(models)
        ]
    _show(tests, output, as_json=as_json)


def _show(tests: Sequence[LoadTest], output: Path, *, as_json: bool) -> None:
    """The results on the screen, then in files: a full disk does not cost what was measured."""
    if as_json:
        found = [test.to_json() for test in tests]
        console.show_json(found[0] if len(found) == 1 else {"tests": found})
    else:
        for test in tests:
            console.show(results.table(test))
            if test.slo is not None:
                console.out.print(test.slo.sentence(test.levels), soft_wrap=True)
            console.warn(*test.notes)
    written = [results.write(test, output) for test in tests]
    plots = [each.plot for each in written]
    together = None
    if len(tests) > 1 and all(each is not None for each in plots):
        together = results.write_plot(tests, output)
    if as_json:
        return
    console.warn(*dict.fromkeys(each.note for each in written))
    files = [file for each in written for file in (each.csv, each.json, each.plot)]
    for path in (*files, together):
        if path is not None:
            console.out.print(f"wrote {path}", soft_wrap=True)
