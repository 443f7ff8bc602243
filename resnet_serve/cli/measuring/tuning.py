"""The command that searches for the best configuration of a model: tune."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_serve import console
from resnet_serve.cli.models.versions import NameArgument
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.loadtest.slo import Slo
from resnet_serve.tuning import run as tuning
from resnet_serve.tuning.candidates import Candidates
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import frontier, results
from resnet_serve.tuning.run import Outcome, Request, Told
from resnet_serve.tuning.trials import State, Trial


def tune(
    name: NameArgument,
    p99: Annotated[str, typer.Option("--p99", help="The limit of the p99 latency, as 50ms.")],
    rate: Annotated[
        float | None,
        typer.Option(
            help="Requests per second at random moments (Poisson). Default: as many as it can.",
            show_default=False,
        ),
    ] = None,
    budget_top1: Annotated[
        float | None,
        typer.Option(
            "--budget-top1",
            help="Percentage points of top-1 accuracy that a version may lose, by its passport.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Configurations to measure. Default: a quarter of all, 8 to 40.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600, help="Seconds per load, about.")
    ] = tuning.DEFAULT_SECONDS,
    image: Annotated[
        Path | None,
        typer.Option(help="An image or a folder of images to send.", show_default=False),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="The folder for the journal, CSV, JSON and plot.")
    ] = Path("tuning"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was interrupted.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Serve the result, as a new version of the model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search for the configuration that keeps a latency limit and does most.

    Versions (precision and runtime), instances, threads, batches and queue delay are tried on a
    server of its own; the present configuration is the first, and the best one must beat it.
    """
    goal = Goal(p99_ms=Slo.parse(p99).p99_ms, rate_per_s=rate, budget_points=budget_top1)
    request = Request(
        name, repository, goal, output, trials, seconds, image, resume=resume, apply=apply
    )
    try:
        with _shown(goal) as told:
            outcome = tuning.run(request, told)
    except KeyboardInterrupt:
        if request.journal.is_file():
            kept = (
                f"{request.journal} has what was measured: the same command with --resume goes on"
            )
            console.err.print(kept, soft_wrap=True, markup=False)
        raise
    tuned = outcome.tuned
    refusal = tuned.refusal
    if as_json:
        console.show_json({**tuned.to_json(), "applied": _applied(outcome)})
    else:
        lines = results.frontier_lines(tuned.trials, goal, tuned.candidates)
        for line in ("Frontier:", *lines) if lines else ():
            console.out.print(line, soft_wrap=True)
    try:
        written = results.write(tuned, output)
        if not as_json:
            console.warn(written.note)
            for path in (written.csv, written.json, written.plot):
                if path is not None:
                    console.out.print(f"wrote {path}", soft_wrap=True)
    finally:  # a full disk does not cost the result, nor the news of what is served now
        if refusal is None and not as_json:
            console.out.print(tuned.sentence, soft_wrap=True)
            console.out.print(_next(outcome, request), soft_wrap=True)
    if refusal is not None:
        raise refusal


def _applied(outcome: Outcome) -> dict[str, object] | None:
    if outcome.applied is None:
        return None
    return {"version": outcome.applied.version, "server": outcome.applied.server}


def _next(outcome: Outcome, request: Request) -> str:
    """What was changed, or what changes it."""
    if outcome.applied is not None:
        where = "" if outcome.applied.server is None else f" at {outcome.applied.server}"
        return f"{request.name} version {outcome.applied.version} is served{where} with it"
    if outcome.tuned.winner is None:
        return "nothing was changed"
    return f"nothing was changed; to serve it: {request.applying()}"


@contextmanager
def _shown(goal: Goal) -> Iterator[Told]:
    """A line for each trial and for each change of the frontier; a bar on a terminal."""
    known: dict[str, Any] = {}

    def say(text: str) -> None:
        """A line above the bar."""
        console.err.print(text, soft_wrap=True, markup=False)

    with console.bars() as bars:
        task = bars.add_task("starting Triton", total=None)

        def planned(found: Candidates, size: int, trials: int) -> None:
            """What is left out, and how much is measured."""
            known["found"], known["trials"] = found, trials
            for line in found.left_out:
                say(line)
            say(f"{goal}: measuring {trials} of {size} configurations")

        def begun(number: int, configuration: Configuration) -> None:
            """The bar of a trial."""
            text = (
                f"{number} of {known['trials']}: version {configuration.version}, {configuration}"
            )
            bars.update(task, description=text, total=known["trials"], completed=number - 1)

        def ended(trial: Trial, trials: tuple[Trial, ...]) -> None:
            """Its line, and the frontier where it has changed."""
            found = known["found"]
            measured = [each for each in trials if each.state is not State.EQUAL]
            say(f"{len(measured)} of {known['trials']}: {results.line(trial, goal, found)}")
            line = _frontier(trials, found)
            if line != known.get("frontier"):
                known["frontier"] = line
                say(line)

        def round_(number: int, count: int, configuration: Configuration) -> None:
            """A round of the comparison at the end."""
            text = f"default and {configuration} in turn: round {number} of {count}"
            bars.update(task, description=text, total=count, completed=number - 1)
            console.progress_line(text)

        def downloading(done: int, total: int) -> None:
            """The bar of perf_analyzer's download."""
            bars.update(task, description="downloading perf_analyzer", completed=done, total=total)

        yield Told(
            planned=planned,
            downloading=downloading,
            begun=begun,
            ended=ended,
            round=round_,
            say=say,
        )


def _frontier(trials: tuple[Trial, ...], found: Candidates) -> str:
    reached = frontier.reached(trials, {each.version for each in found.allowed})
    best = frontier.frontier(reached)
    points = [
        f"{each.point.throughput_per_s:.1f}/s p99 {each.point.p99_ms:.1f} ms" for each in best
    ]
    return f"  frontier: {', '.join(points) or 'none yet'}"
