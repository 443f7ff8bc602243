"""What a run found, for its reader: one sentence, the frontier, CSV, JSON and the plot."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import resnet_serve
from resnet_serve.errors import HostError
from resnet_serve.host import Host
from resnet_serve.loadtest.results import Written, write_files
from resnet_serve.parity import latency
from resnet_serve.passport.facts import encode
from resnet_serve.tuning.candidates import Candidates
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import frontier
from resnet_serve.tuning.outcome.comparison import Comparison
from resnet_serve.tuning.outcome.plot import plot
from resnet_serve.tuning.trials import Point, State, Trial

COLUMNS = {
    "trial": "the number of the trial",
    "state": "measured, pruned, equal (to another trial) or failed",
    "version": "the version of the model",
    "precision": "its precision",
    "runtime": "its runtime",
    "lost_points": "the top-1 accuracy that it loses, in points, by its passport",
    "instances": "instances of the model",
    "threads": "threads of an instance",
    "max_batch_size": "the largest batch",
    "delay_ms": "how long a batch that is not full waits",
    "one_per_core_below": "fewer images than this run one per thread of their instance; 0: never",
    "concurrency": "requests in flight; empty where a rate was offered",
    "rate_per_s": "requests per second that were offered, at random moments",
    "requests": "requests that ended during the measurement",
    "throughput_per_s": "images per second",
    "p50_ms": "median latency",
    "p99_ms": "99th percentile of the latency",
    "met": "whether the limit was kept",
    "mean_batch": "images of a batch that the server ran, on average",
    "largest_batch": "the largest batch that the server ran",
    "busy": "share of the time in which the instances ran batches",
    "pressed": "share of the time in which tasks waited for a CPU, those of the load too",
    "reason": "why there are no more loads of this trial",
}


@dataclass(frozen=True)
class Tuned:
    """A run: its trials, and the comparison of the best of them with the default.

    `comparison` is None where no other configuration was as good as the default in the search.
    `pressed` is the share of the ten seconds before it in which tasks of the host waited for a CPU,
    None where it is not counted.
    """

    name: str
    goal: Goal
    candidates: Candidates
    trials: tuple[Trial, ...]
    comparison: Comparison | None
    host: Host
    space_size: int
    command: str
    taken: str
    pressed: float | None = None

    @property
    def busy(self) -> str | None:
        """Why the host may have decided instead of the configurations; None where it was idle."""
        return latency.busy_before(self.pressed)

    @property
    def default(self) -> Trial:
        """The trial of the configuration that is served."""
        return self.trials[0]

    @property
    def winner(self) -> Trial | None:
        """The trial that is better than the default by more than noise; None where none is.

        Where the default loses more accuracy than is allowed, the best of the others.
        """
        if self.comparison is None:
            return None
        won = self.comparison.better if self._default_allowed else self.comparison.kept
        return self.comparison.winner if won else None

    @property
    def refusal(self) -> HostError | None:
        """Why nothing was found; None where some configuration keeps the limit."""
        if frontier.ranked(self.trials, self.goal, self.allowed):
            return None
        found = frontier.reached(self.trials, self.allowed)
        if not found:
            return HostError(
                f"{self.goal} is not reachable on this host: at most {self._most} "
                f"requests/s were answered{self._again}",
                where=self.name,
                remedy="Offer less (--rate).",
            )
        least = min(found, key=lambda each: each.point.p99_ms)
        how = f"{self._title(least.trial)}, {least.trial.configuration}"
        return HostError(
            f"{self.goal} is not reachable on this host: the lowest p99 seen is "
            f"{_short(least.point.p99_ms)} ms at {least.point.offered}, with {how}{self._again}",
            where=self.name,
            remedy=f"Allow more (--p99 {math.ceil(1.1 * least.point.p99_ms)}ms), or serve a "
            "faster precision or a smaller network.",
        )

    @property
    def _most(self) -> str:
        """The most requests per second that any allowed version answered."""
        trials = (each for each in self.trials if each.configuration.version in self.allowed)
        rates = (point.throughput_per_s for trial in trials for point in trial.points)
        return _short(max(rates, default=0.0))

    @property
    def _default_allowed(self) -> bool:
        return self.default.configuration.version in self.allowed

    @property
    def allowed(self) -> frozenset[int]:
        """The versions that may be served."""
        return frozenset(each.version for each in self.candidates.allowed)

    @property
    def sentence(self) -> str:
        """The result in one sentence; on a busy host it says so."""
        return f"{self._found()}{self._again}"

    @property
    def _again(self) -> str:
        return "" if self.busy is None else f"; {self.busy}: tune again on an idle host"

    def _found(self) -> str:
        if self.winner is None or self.comparison is None:
            return self._nothing_better()
        point = self.comparison.winner_point
        how = f"{self._title(self.winner)}, {self.winner.configuration}"
        if self.goal.rate_per_s is None:
            what = f"{_done(point)} with {how}"
        else:
            what = f"p99 {_short(point.p99_ms)} ms at {self.goal.rate_per_s:g} images/s with {how}"
        gain = self.comparison.gain
        if not self._default_allowed:
            return f"{what}; the default loses more accuracy than is allowed"
        if gain is None:
            least = min(
                each.p99_ms for each in (*self.default.points, self.comparison.default_point)
            )
            lowest = f"its lowest p99 is {_short(least)} ms"
            return f"{what}; the default does not keep the limit: {lowest}"
        times = "the default" if self.goal.rate_per_s is None else "better than the default"
        return f"{what}: {gain.median:.2f}× {times} [{gain.low:.2f}, {gain.high:.2f}]"

    def to_json(self) -> dict[str, Any]:
        """The document that `write` saves."""
        comparison = None
        if self.comparison is not None:
            comparison = {
                "trial": self.comparison.winner.number,
                "rounds": self.comparison.rounds,
                "default": self.comparison.default_point.to_json(),
                "best": self.comparison.winner_point.to_json(),
                "gain": self.comparison.gain,
                "ratios": self.comparison.ratios,
                "better": self.comparison.better,
            }
        found: dict[str, Any] = encode(
            {
                "format": 1,
                "model": self.name,
                "goal": self.goal,
                "sentence": self.sentence,
                "chosen": None if self.winner is None else self.winner.configuration,
                "default": self.default.configuration,
                "comparison": comparison,
                "trials": self.trials,
                "space": self.space_size,
                "left_out": self.candidates.left_out,
                "host": self.host,
                "pressed": self.pressed,
                "not_stated": self.busy,
                "version": resnet_serve.__version__,
                "command": self.command,
                "taken": self.taken,
            }
        )
        return found

    def _title(self, trial: Trial) -> str:
        return self.candidates.of(trial.configuration.version).title

    def _nothing_better(self) -> str:
        default = self.goal.best(self.default.points) or self.default.points[0]
        if self.comparison is not None:
            default = self.comparison.default_point
        how = f"{self._title(self.default)}, {self.default.configuration}"
        what = f"{_done(default)} with {how}"
        if len(self.trials) == 1:
            return f"only the default was measured: {what}"
        return f"nothing is better than the default by more than the noise{self._seen()}: {what}"

    def _seen(self) -> str:
        """What the best other configuration gave in the comparison."""
        if self.comparison is None or self.comparison.gain is None:
            return ""
        gain, point = self.comparison.gain, self.comparison.winner_point
        found = f"{gain.median:.2f}× [{gain.low:.2f}, {gain.high:.2f}]"
        found += "" if gain.not_stated is None else f", {gain.not_stated}"
        over = "" if self.comparison.kept else f", but at p99 {_short(point.p99_ms)} ms"
        return f" (the best other one: {found}{over})"


def _done(point: Point) -> str:
    return f"{_short(point.throughput_per_s)} images/s at p99 {_short(point.p99_ms)} ms"


def _short(value: float) -> str:
    """Three digits, and no exponent from a thousand on."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def frontier_lines(trials: tuple[Trial, ...], goal: Goal, candidates: Candidates) -> list[str]:
    """The frontier, one line a point: what it gives, and how it is served."""
    found = frontier.reached(trials, {each.version for each in candidates.allowed})
    best = frontier.frontier([row for row in found if row.trial.state is not State.EQUAL])
    lines = []
    for each in best:
        configuration = each.trial.configuration
        how = f"{candidates.of(configuration.version).title}, {configuration}"
        over = "" if goal.met(each.point) else " (over the limit)"
        what = f"{each.point.throughput_per_s:8.1f} images/s  p99 {each.point.p99_ms:6.1f} ms{over}"
        lines.append(f"{what}  {each.point.offered}: {how}")
    return lines


def line(trial: Trial, goal: Goal, candidates: Candidates) -> str:
    """A trial in one line of text."""
    title = candidates.of(trial.configuration.version).title
    best = goal.best(trial.points)
    if best is not None:
        found = f"{best.throughput_per_s:.1f} images/s at p99 {best.p99_ms:.1f} ms, {best.offered}"
    elif trial.points:
        least = min(trial.points, key=lambda each: each.p99_ms)
        found = f"over the limit: p99 {least.p99_ms:.1f} ms at {least.offered}"
    else:
        found = "nothing measured"
    return f"{title}, {trial.configuration}: {found} ({trial.state}: {trial.reason})"


def to_csv(tuned: Tuned) -> str:
    """One row a point, and one for a trial without points, in the columns of `COLUMNS`."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for trial in tuned.trials:
        for point in trial.points or (None,):
            writer.writerow(_row(tuned, trial, point))
    return file.getvalue()


def _row(tuned: Tuned, trial: Trial, point: Point | None) -> Mapping[str, object]:
    candidate = tuned.candidates.of(trial.configuration.version)
    row: dict[str, object] = {
        "trial": trial.number,
        "state": trial.state.value,
        "precision": candidate.passport.precision,
        "runtime": candidate.target.name,
        "lost_points": candidate.lost_points,
        "reason": trial.reason,
        **trial.configuration.to_json(),
    }
    if point is not None:
        row |= {"met": tuned.goal.met(point), "concurrency": None, "rate_per_s": None}
        row |= {key: value for key, value in point.to_json().items() if key in COLUMNS}
    return {
        key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()
    }


def write(tuned: Tuned, directory: Path) -> Written:
    """Write `tune-<model>.csv`, `.json` and `.svg`, each file atomically; raises `HostError`."""
    titles = {each.version: each.title for each in tuned.candidates.allowed}

    def draw() -> str:
        return plot(
            tuned.name, tuned.trials, tuned.goal, titles, default=tuned.default, winner=tuned.winner
        )

    facts = json.dumps(tuned.to_json(), indent=2, allow_nan=False)
    return write_files(directory, f"tune-{tuned.name}", to_csv(tuned), facts, draw)
