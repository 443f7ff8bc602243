"""What a conversion looks like in the terminal: stages as they go, one table, one sentence."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from resnet_convert.build_plan.build import PlanBuild
from resnet_convert.conversion import Conversion
from resnet_convert.dry_run import Status, Step
from resnet_convert.ensembles.deployment import ComposedModel
from resnet_convert.parity.candidate import EMULATION
from resnet_convert.request import Request
from resnet_convert.stage_log import StageName
from resnet_convert.tensorrt.builder import EngineRecord
from resnet_serve import console
from resnet_serve.cli.models import canaries
from resnet_serve.errors import Note
from resnet_serve.parity.latency import Latency
from resnet_serve.parity.verdict import Outcome, Verdict
from resnet_serve.passport import EngineState

_WIDTH = max(map(len, StageName)) + 1
_COLOURS: dict[Status, str] = {
    "here": "green",
    "download": "yellow",
    "missing": "bold red",
    "refused": "bold red",
}

_OUTCOMES: dict[Outcome, str] = {"good": "green", "neutral": "yellow", "bad": "bold red"}


class _Lines:
    """Progress where stderr is no terminal: one line per finished stage."""

    def __init__(self) -> None:
        self._stage, self._started = "", 0.0

    def stage(self, name: str) -> None:
        """A stage begins; its line comes when it ends."""
        self._stage, self._started = name, time.perf_counter()

    def advance(self, done: int, total: int) -> None:
        """Nothing: a line is not drawn again."""

    def note(self, text: str) -> None:
        """Print a remark of the stage under way."""
        _note(text)

    def finish(self, summary: str) -> None:
        """Print the line of the stage: its name, its time and its result."""
        seconds = time.perf_counter() - self._started
        console.err.print(f"{self._stage:<{_WIDTH}}{seconds:6.1f} s  {summary}", soft_wrap=True)


class _Bars:
    """Progress on a terminal: a spinner, a bar where something is counted, the summary after."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def stage(self, name: str) -> None:
        """A stage begins, with a spinner."""
        self._task = self._bars.add_task(name, total=None, summary="")

    def advance(self, done: int, total: int) -> None:
        """Move the stage's bar to `done` of `total`."""
        self._bars.update(self._task, completed=done, total=total or None)

    def note(self, text: str) -> None:
        """Print a remark of the stage under way, above the bars."""
        _note(text)

    def finish(self, summary: str) -> None:
        """Fill the stage's bar, and show its result beside it."""
        self._bars.update(self._task, completed=1, total=1, summary=summary)


def _note(text: str) -> None:
    """A line of its own; while bars are shown it goes above them."""
    style = "dim" if isinstance(text, Note) else "yellow"
    console.err.print(Text(f"  {text}", style), soft_wrap=True)


@contextmanager
def progress() -> Iterator[_Lines | _Bars]:
    """The stages of one conversion, on stderr."""
    if not console.err.is_terminal:
        yield _Lines()
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn(f"{{task.description:<{_WIDTH}}}", table_column=Column(min_width=_WIDTH)),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[summary]}", table_column=Column(overflow="fold")),
    )
    with Progress(*columns, console=console.err) as bars:
        yield _Bars(bars)


def plan_table(request: Request, steps: Sequence[Step]) -> Table:
    """The dry run."""
    table = console.table(f"Plan: {request.command()}")
    for column in ("stage", "what", "needs", "status"):
        table.add_column(column)
    for step in steps:
        table.add_row(step.stage, step.does, step.needs, Text(step.status, _COLOURS[step.status]))
    return table


def result_table(conversion: Conversion) -> Table:
    """The gate's checks and the numbers people ask for."""
    found = conversion.measurements
    table = console.table(f"{conversion.name}, {conversion.request.precision}, against PyTorch")
    _add_checks(table, conversion.verdict)
    decisions = found.decisions
    if decisions is not None and decisions.interval_points is not None:
        low, high = decisions.interval_points
        table.add_row(
            "top-1",
            f"{decisions.reference_top1:.2f} → {decisions.converted_top1:.2f} %",
            "",
            f"95 %: [{low:+.2f}, {high:+.2f}]",
        )
    about = found.label_decisions
    if about is not None and about.accuracy is not None:
        low, high = about.accuracy.interval_points
        exact = f"{about.accuracy.reference_exact:.2f} → {about.accuracy.converted_exact:.2f} %"
        accuracy = f"{about.accuracy.reference:.2f} → {about.accuracy.converted:.2f} %"
        table.add_row("accuracy of the labels", accuracy, "", "")
        table.add_row("every label right", exact, "", f"95 %: [{low:+.2f}, {high:+.2f}]")
    times = found.latencies
    if times is not None:
        table.add_row(
            "latency, batch 1",
            f"{times.candidate.median_ms:.2f} ms",
            "",
            f"{times.speedup} from {times.reference.median_ms:.2f} ms"
            if times.speedup.not_stated is None
            else str(times.speedup),
        )
    proof = conversion.proof
    if proof.peak_share is not None:
        table.add_row(
            "of this CPU's integer peak", f"{100 * proof.peak_share:.0f} %", "", "batch 1"
        )
    if proof.engine is not None:
        for size, latency in proof.engine.latencies.items():
            _add_engine_time(table, size, latency)
    before = 4 * conversion.weights.architecture.parameters / 1e6
    name, size_bytes = conversion.served_file
    table.add_row("size", f"{size_bytes / 1e6:.2f} MB", "", f"{name}, from {before:.2f} MB")
    if found.runtime == EMULATION:
        table.add_row("computed by", "ONNX Runtime", "", "rounding as the typed graph says")
    layer = proof.worst_layer
    if layer is not None:
        table.add_row("least exact layer", f"{layer.sqnr_db:.1f} dB SQNR", "", layer.name)
    return table


def plan_build_table(made: PlanBuild) -> Table:
    """The gate of a plan, and how fast the engine is."""
    engine = made.record.built.engine if made.record.built else None
    what = (
        ""
        if engine is None
        else f", {engine.flavour.title} {engine.version} for {engine.built_for}"
    )
    table = console.table(f"{made.path}, {made.precision}{what}")
    _add_checks(table, made.verdict)
    for size, latency in made.record.latencies.items():
        _add_engine_time(table, size, latency)
    return table


def after_plan_build(made: PlanBuild) -> Text:
    """What is known of a plan that was built for other GPUs, and what comes next."""
    model = made.path.parent
    command = shlex.join(
        ["resnet-serve", "verify", model.name, "--host", "--repository", str(model.parent)]
    )
    return Text(f"{_not_run(made.record)}\nNext, on the host with the GPU: {command}")


def checks_table(title: str, verdict: Verdict) -> Table:
    """The gate of anything that it refused."""
    table = console.table(title)
    _add_checks(table, verdict)
    return table


def composed_table(made: ComposedModel) -> Table:
    """The gate of an ensemble or of a ten-crop model."""
    composition = made.composition
    count = len(composition.view_members)
    what = f"{count} members" if composition.crops is None else f"{count} crops"
    table = console.table(f"{composition.name}, {what} averaged, against PyTorch")
    _add_checks(table, made.verdict)
    return table


def _add_checks(table: Table, verdict: Verdict) -> None:
    for column in ("what", "found", "allowed", ""):
        table.add_column(column)
    for check in verdict.checks:
        kind, words = check.outcome
        table.add_row(check.name, check.found, check.allowed, Text(words, _OUTCOMES[kind]))


def _add_engine_time(table: Table, size: int, latency: Latency) -> None:
    table.add_row(
        f"engine alone, batch {size}",
        f"{latency.median_ms:.2f} ms",
        "",
        f"{latency.images_per_s:,.0f} images/s",
    )


def conclude(conversion: Conversion) -> None:
    """Print the sentence; green only where parity shows something."""
    colour = "yellow" if conversion.verdict.constant is not None else "green"
    console.conclude(sentence(conversion), "red" if conversion.overridden else colour)


def sentence(conversion: Conversion) -> Text:
    """The one sentence a run ends with: what was chosen, what it costs, what comes next."""
    request, found = conversion.request, conversion.measurements
    kept = found.summary.replace("decisions agree", "decisions unchanged")
    text = Text()
    if conversion.overridden:
        text.append("Gate overridden. ", "bold red")
    speed = ""
    if found.speedup is not None:
        speed = f"{found.speedup} PyTorch at batch 1, "
        if found.speedup.not_stated is not None:
            speed = f"speed-up {found.speedup}, "
    text.append(
        f"{conversion.name} version {conversion.version} is deployed in {request.precision}: "
        f"{speed}{kept}.\n"
    )
    text.append(f"Report: {conversion.path}/report.html\n")
    if conversion.verdict.constant is not None:
        text.append(f"Parity shows nothing: {conversion.verdict.constant}.\n", "bold yellow")
    if conversion.weights.assumptions:
        subjects = ", ".join(each.subject for each in conversion.weights.assumptions)
        text.append(f"Assumed, because no file says it: {subjects}.\n", "yellow")
    if conversion.engine_state is EngineState.NOT_BUILT:
        text.append("Its TensorRT plan is NOT built: there is no engine yet.\n", "bold yellow")
    elif conversion.engine_state is EngineState.NOT_RUN:
        text.append(f"{_not_run(conversion.proof.engine)}\n", "yellow")
    elif conversion.engine_state is EngineState.BY_SERVER:
        text.append("The server builds its TensorRT engine when it loads the model.\n", "yellow")
    if conversion.emulated_cuda:
        text.append(
            "ONNX Runtime's CUDA provider has NOT run it: its types were emulated on this CPU.\n",
            "bold yellow",
        )
    text.right_crop(1)
    return text


def _not_run(record: EngineRecord | None) -> str:
    """What is known of a plan that was built for other GPUs."""
    if record is None or record.built is None:
        return ""
    engine = record.built.engine
    return (
        f"Its engine was built by {engine.flavour.title} {engine.version}'s real parser and "
        f"builder for {engine.built_for}; precision and fusion are read from the builder's own "
        "list of layers; it was never run here."
    )


def next_command(conversion: Conversion) -> Text:
    """What comes next, on a line of its own, to be copied."""
    if conversion.engine_state is EngineState.NOT_BUILT:
        where = "any host with TensorRT-RTX" if conversion.request.built_for else "the GPU host"
        return Text(f"Next, on {where}: {conversion.build_command}", "bold")
    if conversion.engine_state is EngineState.NOT_RUN:
        repository = conversion.request.repository
        command = f"resnet-serve verify {conversion.name} --host --repository {repository}"
        return Text(f"Next, on the host with the GPU: {command}", "bold")
    if conversion.engine_state is EngineState.BY_SERVER or conversion.proof.cuda is not None:
        return Text(f"Next, on the GPU host: serve {conversion.request.repository}", "bold")
    if conversion.request.canary is not None:
        return Text(canaries.begun(conversion.request.canary, conversion.name), "bold")
    if conversion.served_at is not None:
        command = f"resnet-classify --url {conversion.served_at} --model {conversion.name} IMAGE"
        return Text(f"Served. Next: {command}", "bold")
    return Text(f"Next: resnet-serve up --repository {conversion.request.repository}", "bold")
