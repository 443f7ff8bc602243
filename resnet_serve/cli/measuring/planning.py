"""The command that plans a fleet from measurements: plan."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.console import completion
from resnet_serve.loadtest.slo import Slo
from resnet_serve.planning import demand as demands
from resnet_serve.planning import measured, results
from resnet_serve.planning import plan as planning
from resnet_serve.planning.arrivals import Bursts
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.simulation import Effort


def plan(
    name: Annotated[
        str,
        typer.Argument(
            help="The model, as it was measured: NAME, or NAME_image.",
            autocompletion=completion.models,
        ),
    ],
    rate: Annotated[
        float, typer.Option("--rate", help="Requests per second of all clients together.")
    ],
    p99: Annotated[str, typer.Option("--p99", help="The limit of the p99 latency, as 50ms.")],
    measurements: Annotated[
        list[Path] | None,
        typer.Option(
            "--measured",
            help="A result (JSON) of resnet-serve tune or loadtest; may be repeated.",
            show_default="those in tuning/ and loadtest/",
        ),
    ] = None,
    machines: Annotated[
        Path | None,
        typer.Option(
            help="A price table (CSV): machine,price_per_hour,speed,measurements.",
            show_default="machines as the measured one, without prices",
        ),
    ] = None,
    burst: Annotated[
        str | None,
        typer.Option(
            help="Bursts in the place of a steady rate, as 3:2s: three times the rate for two "
            "seconds on average, a tenth of the time.",
            show_default=False,
        ),
    ] = None,
    rejected: Annotated[
        float, typer.Option("--max-rejected", help="The share of requests that may be rejected.")
    ] = demands.DEFAULT_REJECTED,
    notice: Annotated[
        float, typer.Option(help="Seconds until a failed replica gets no more requests.")
    ] = demands.DEFAULT_NOTICE_S,
    replications: Annotated[
        int, typer.Option(min=2, max=100, help="Independent simulations of each point.")
    ] = Effort.replications,
    requests: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Requests of each, about.")
    ] = Effort.requests,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = Effort.seed,
    output: Annotated[Path, typer.Option(help="The folder for CSV, JSON and plot.")] = Path(
        "planning"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """How many replicas a rate needs within a p99 limit, and what they cost.

    Simulated from the times that a load test or a tuning run has measured.
    """
    demand = Demand(
        rate,
        Slo.parse(p99).p99_ms,
        rejected,
        None if burst is None else Bursts.parse(burst),
        notice,
    )
    with console.bars() as bars:
        task = bars.add_task("simulating", total=None)

        def told(what: str, done: int, total: int) -> None:
            """The bar; without one, a line for each tenth."""
            bars.update(task, description=what, completed=done, total=total)
            if done == 0 or 10 * done // total > 10 * (done - 1) // total:
                console.progress_line(f"{what}: {done} of {total}")

        made = planning.make(
            name,
            demand,
            tuple(measurements or measured.found(name, Path())),
            machines,
            effort=Effort(replications, requests, seed),
            command=shlex.join(["resnet-serve", *sys.argv[1:]]),
            told=told,
        )
    if as_json:
        console.show_json(made.to_json())
        results.write(made, output)
        return
    console.show(results.table(made))
    for line in results.lines(made):
        console.out.print(line, soft_wrap=True, markup=False)
    for each in made.assumptions:
        console.out.print(f"assumed: {each}", soft_wrap=True, markup=False)
    try:
        written = results.write(made, output)
        console.warn(written.note)
        for path in (written.csv, written.json, written.plot):
            if path is not None:
                console.out.print(f"wrote {path}", soft_wrap=True)
    finally:  # a full disk does not cost the result
        console.out.print(made.sentence, soft_wrap=True, markup=False)
