"""The frontier: the points that no other point exceeds in both throughput and latency."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.trials import Point, Trial


@dataclass(frozen=True)
class Reached:
    """A point, and the trial that reached it."""

    trial: Trial
    point: Point


def reached(trials: Sequence[Trial], versions: Collection[int]) -> list[Reached]:
    """Every point of these versions."""
    return [
        Reached(trial, point)
        for trial in trials
        if trial.configuration.version in versions
        for point in trial.points
        if not point.fell_behind
    ]


def frontier(found: Sequence[Reached]) -> tuple[Reached, ...]:
    """The points that no other one exceeds, from the lowest latency to the highest throughput."""
    kept: list[Reached] = []
    for each in sorted(found, key=lambda it: (it.point.p99_ms, -it.point.throughput_per_s)):
        if not kept or each.point.throughput_per_s > kept[-1].point.throughput_per_s:
            kept.append(each)
    return tuple(kept)


def ranked(trials: Sequence[Trial], goal: Goal, versions: Collection[int]) -> tuple[Trial, ...]:
    """The measured trials of these versions that keep the limit, the best first."""
    kept = [
        trial
        for trial in trials
        if trial.configuration.version in versions
        and trial.equal_to is None
        and goal.best(trial.points) is not None
    ]
    return tuple(sorted(kept, key=lambda trial: -goal.value(trial.points)))
