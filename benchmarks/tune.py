"""Whether `resnet-serve tune` finds what a whole grid finds, in a quarter of its trials.

    python benchmarks/tune.py

A tiny network, ResNet-20 trained on digits, by default in two precisions and runtimes. Every
configuration of the space is measured once, up its whole ladder of loads; then tune runs with a
quarter of as many trials. The best of the grid is the luckiest of many measurements, so both
choices are compared again, served at the same time and loaded in turn: that ratio is the result,
where the host is quiet enough to state one. Results go to benchmarks/results/ with the date and
the hardware.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from recorded import record

from resnet_convert import convert
from resnet_serve.loadtest import perf_program
from resnet_serve.parity import pressure
from resnet_serve.parity.latency import Ratio
from resnet_serve.tuning import run as tuning
from resnet_serve.tuning.bench import TritonBench
from resnet_serve.tuning.candidates import Candidates
from resnet_serve.tuning.climb import Climb
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import comparison, frontier
from resnet_serve.tuning.trials import Trial

NAME = "digits"
VERSIONS = ("fp32:onnxruntime", "int8:openvino")
SHARE, NEAR = 0.25, 0.97


def main() -> None:
    """Measure the grid, tune, compare both choices, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--p99", type=float, default=50, help="the limit in milliseconds")
    parser.add_argument("--seconds", type=float, default=1, help="seconds of a load")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--versions", nargs="+", default=VERSIONS, help="PRECISION:RUNTIME, the last is served"
    )
    options = parser.parse_args()
    goal, pressed = Goal(p99_ms=options.p99), pressure.lately()
    with tempfile.TemporaryDirectory() as folder:
        repository, output = Path(folder) / "models", Path(folder) / "tuning"
        deploy(repository, options.versions)
        request = tuning.Request(NAME, repository, goal, output, seconds=options.seconds)
        plan = tuning.plan(request)
        program = perf_program.find_or_provision()

        def bench() -> TritonBench:
            default, work = plan.space.default, Path(folder) / "bench"
            return TritonBench(work, plan.found, default, program=program, seconds=options.seconds)

        started = time.monotonic()
        grid = []
        with bench() as opened:
            for number, each in enumerate(plan.space.all(), start=1):
                grid.append(Climb(opened, goal).trial(number, each))
                print(number, each, goal.value(grid[-1].points), flush=True)
        grid_s = time.monotonic() - started
        trials = int(SHARE * len(grid))
        started = time.monotonic()
        tuned = tuning.run(
            tuning.Request(NAME, repository, goal, output, trials, options.seconds)
        ).tuned
        tune_s = time.monotonic() - started
        print(tuned.sentence, flush=True)
        (best, *_) = frontier.ranked(grid, goal, tuned.allowed)
        chosen = tuned.winner or tuned.default
        with bench() as opened:
            held = comparison.compare(opened, goal, best, chosen, rounds=options.rounds)
    rows = [row(plan.found, goal, "grid", each) for each in grid]
    rows += [row(plan.found, goal, "tune", each) for each in tuned.trials]
    of_grid = {str(each.configuration.to_json()): each for each in grid}
    same = of_grid[str(chosen.configuration.to_json())]
    result = {
        "what": "images/s of tune's choice over those of the best of a whole grid, ResNet-20",
        "goal": str(goal),
        "grid": {"trials": len(grid), "seconds": round(grid_s), "best": named(plan.found, best)},
        "tune": {"trials": trials, "seconds": round(tune_s), "chosen": named(plan.found, chosen)},
        "same_configuration": best.configuration == chosen.configuration,
        "ratio": None if held.gain is None else held.gain.to_json(),
        "ratio_in_the_grid": round(goal.value(same.points) / goal.value(best.points), 4),
        "within_3_percent": within(held.gain),
        "versions_tried": list(options.versions),
        "pressed_before": pressed,
        "sentence": tuned.sentence,
    }
    print(json.dumps(result, indent=2))
    record("tune", rows, result)


def deploy(repository: Path, versions: Sequence[str]) -> None:
    """One version for each precision and runtime; the last one is served."""
    for precision, _, target in (each.partition(":") for each in versions):
        convert(
            arch="resnet20",
            weights="digits",
            precision=precision,
            target=target,
            calibration="digits",
            validation="digits",
            name=NAME,
            repository=repository,
        )


def within(ratio: Ratio | None) -> bool | None:
    """Whether the choice is as good; None where the host was too busy to tell."""
    if ratio is None or ratio.not_stated is not None:
        return None
    return ratio.median >= NEAR


def named(found: Candidates, trial: Trial) -> str:
    """A configuration in words."""
    of: Configuration = trial.configuration
    return f"{found.of(of.version).title}, {of}"


def row(found: Candidates, goal: Goal, by: str, trial: Trial) -> Mapping[str, object]:
    """A line of the CSV: the best load of one configuration."""
    best = goal.best(trial.points)
    return {
        "by": by,
        "trial": trial.number,
        "state": trial.state.value,
        "served": found.of(trial.configuration.version).title,
        "instances": trial.configuration.instances,
        "threads": trial.configuration.threads,
        "max_batch_size": trial.configuration.max_batch_size,
        "delay_ms": trial.configuration.delay_ms,
        "loads": len(trial.points),
        "images_per_s": "" if best is None else round(best.throughput_per_s, 2),
        "p99_ms": "" if best is None else round(best.p99_ms, 2),
        "offered": "" if best is None else str(best.offered),
    }


if __name__ == "__main__":
    main()
