"""`resnet-serve tune NAME`: from the versions of a model to the configuration that serves it best.

    candidates ─► space ─► search ─► comparison with the default ─► applied, with `apply`

The server that it loads is its own, with links to the model's files; the user's is changed by
`apply` alone, and then as `resnet-serve promote` does it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from resnet_serve import durable, host
from resnet_serve.errors import UsageError
from resnet_serve.loadtest import inputs, perf_program
from resnet_serve.parity import pressure
from resnet_serve.passport import TunedFacts
from resnet_serve.triton import config
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.repository import CONFIG_FILE, Repository
from resnet_serve.triton.rollout import smoke
from resnet_serve.triton.server import Progress
from resnet_serve.tuning import applied, candidates
from resnet_serve.tuning.bench import TritonBench
from resnet_serve.tuning.candidates import Candidates
from resnet_serve.tuning.climb import Bench
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import comparison, frontier
from resnet_serve.tuning.outcome.comparison import Comparison
from resnet_serve.tuning.outcome.results import Tuned
from resnet_serve.tuning.search import search
from resnet_serve.tuning.space import Bounds, Space
from resnet_serve.tuning.study import Study
from resnet_serve.tuning.trials import Trial

DEFAULT_SECONDS = 3.0
_SHARE, _FEWEST, _MOST = 0.25, 8, 40  # of the space; so many trials at least and at most
_rivals = 3
_NEAR = 0.95  # of the default's value in the search; a comparison may show that it is better


class TestedBench(Bench, Protocol):
    """A bench that can also send requests of one's own to a served model."""

    def tested(self, model: str, check: Callable[[Client, str], str]) -> str:
        """What `check(client, model)` says."""


@dataclass(frozen=True)
class Request:
    """What is tuned, for what, and for how long: `trials` of loads of `seconds` each.

    `output` is the folder of the journal and of the results, `images` a file or folder to send.
    """

    name: str
    repository: Path
    goal: Goal
    output: Path
    trials: int | None = None
    seconds: float = DEFAULT_SECONDS
    images: Path | None = None
    resume: bool = False
    apply: bool = False

    @property
    def journal(self) -> Path:
        """The file that a killed run goes on from."""
        return self.output / f"tune-{self.name}.journal"

    def command(self) -> str:
        """The command that repeats it."""
        words = ["resnet-serve", "tune", self.name, "--p99", f"{self.goal.p99_ms:g}ms"]
        if self.goal.rate_per_s is not None:
            words += ["--rate", f"{self.goal.rate_per_s:g}"]
        if self.goal.budget_points is not None:
            words += ["--budget-top1", f"{self.goal.budget_points:g}"]
        if self.trials is not None:
            words += ["--trials", str(self.trials)]
        words += ["--seconds", f"{self.seconds:g}", "--repository", str(self.repository)]
        words += [] if self.images is None else ["--image", str(self.images)]
        words += ["--output", str(self.output)]
        return shlex.join([*words, *(["--apply"] if self.apply else [])])

    def applying(self) -> str:
        """The command that applies what this run found, without measuring the trials again."""
        return f"{self.command()} --resume --apply"


def _nothing(*_: object) -> None: ...


@dataclass(frozen=True)
class Told:
    """Callbacks of a run: what it is about to do, and what it found.

    `planned(candidates, size of the space, trials)`, `starting` of the server, `begun(number,
    configuration)`, `ended(trial, all trials)`, `round(number, of, configuration)`.
    """

    planned: Callable[[Candidates, int, int], None] = _nothing
    downloading: Callable[[int, int], None] = _nothing
    starting: Progress = _nothing
    begun: Callable[[int, Configuration], None] = _nothing
    ended: Callable[[Trial, tuple[Trial, ...]], None] = _nothing
    round: Callable[[int, int, Configuration], None] = _nothing
    say: Callable[[str], None] = _nothing


@dataclass(frozen=True)
class Applied:
    """The version that is served now; `server` is the detached one that took it over."""

    version: int
    server: str | None


@dataclass(frozen=True)
class Outcome:
    """What a run found, and what it changed: None without `apply`, or with nothing to change."""

    tuned: Tuned
    applied: Applied | None


BenchOf = Callable[[Candidates, Configuration], AbstractContextManager[TestedBench]]


@dataclass(frozen=True)
class Plan:
    """What a run measures, and for how much of the time before tasks waited for a CPU."""

    request: Request
    found: Candidates
    space: Space
    size: int
    trials: int
    told: Told = field(repr=False)
    pressed: float | None = None


def run(request: Request, told: Told = Told(), bench_of: BenchOf | None = None) -> Outcome:
    """Tune a model; writes the journal, and the repository where it is to be applied.

    `bench_of` serves the configurations in the place of Triton and perf_analyzer. Raises
    `UsageError` for what cannot be tuned, `HostError` where something is missing here or the
    default cannot be served, and with `apply` the errors of a deployment.
    """
    planned = plan(request, told)
    described = host.describe()
    about = {
        "model": request.name,
        "versions": {
            str(each.version): each.passport.model.sha256 for each in planned.found.allowed
        },
        "goal": request.goal.to_json(),
        "space": planned.space.values,
        "default": planned.space.default.to_json(),
        "seconds": request.seconds,
        "images": None if request.images is None else str(request.images),
        "host": [described.processor, described.cores],
    }
    with Study.opened(request.journal, planned.space, about, resume=request.resume) as study:
        make = bench_of or _real_bench(planned)
        with make(planned.found, planned.space.default) as bench:
            tuned = _measured(planned, study, bench, described)
            winner = tuned.winner
            if request.apply and winner is not None:
                _smoke(bench, planned.found, winner)
        study.end()
    if not request.apply or winner is None:
        return Outcome(tuned, None)
    facts = TunedFacts(
        at=datetime.now(UTC).replace(microsecond=0),
        version=winner.configuration.version,
        command=tuned.command,
        found=tuned.sentence,
        processor=described.processor,
    )
    candidate = planned.found.of(winner.configuration.version)
    repository = Repository(request.repository)
    return Outcome(tuned, Applied(*applied.apply(repository, candidate, winner, facts, told.say)))


def plan(request: Request, told: Told = Told()) -> Plan:
    """What `run` will measure; raises what it raises before anything is measured."""
    if request.trials is not None and request.trials < 1:
        raise UsageError(f"cannot measure {request.trials} trials", remedy="Give 1 or more.")
    if request.images is not None:
        inputs.check(request.images)
    repository = Repository(request.repository)
    repository.recover()
    if request.apply:
        repository.check_writable()
    found = candidates.find(
        repository.deployed(), request.name, request.goal.budget_points, apply=request.apply
    )
    served = found.served
    own = config.parse((served.deployed.path / CONFIG_FILE).read_text(encoding="utf-8"))
    default = Configuration.deployed(served.version, served.passport.contract, own)
    versions = tuple(each.version for each in found.allowed)
    space = Space.within(Bounds(versions, host.cores(), request.goal.p99_ms), default)
    size = len(space.all())
    trials = min(size, request.trials or min(_MOST, max(_FEWEST, round(_SHARE * size))))
    told.planned(found, size, trials)
    return Plan(request, found, space, size, trials, told, pressure.lately())


def _real_bench(plan: Plan) -> BenchOf:
    program = perf_program.find_or_provision(progress=plan.told.downloading)
    request = plan.request
    return lambda found, default: TritonBench(
        _folder(request.output) / f".tune-{request.name}",
        found,
        default,
        program=program,
        seconds=request.seconds,
        images=request.images,
        starting=plan.told.starting,
        say=plan.told.say,
    )


def _folder(path: Path) -> Path:
    """The folder, absolute and made; raises `HostError` where it cannot be."""
    with durable.explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path.absolute()


def _measured(plan: Plan, study: Study, bench: Bench, described: host.Host) -> Tuned:
    goal, told = plan.request.goal, plan.told
    allowed = frozenset(each.version for each in plan.found.allowed)
    search(
        study,
        plan.space,
        bench,
        goal,
        trials=plan.trials,
        allowed=allowed,
        begun=lambda it: told.begun(len(study.measured) + 1, it),
        ended=lambda trial: told.ended(trial, tuple(study.trials)),
    )
    return Tuned(
        name=plan.request.name,
        goal=goal,
        candidates=plan.found,
        trials=tuple(study.trials),
        comparison=_comparison(plan, study, bench, allowed),
        host=described,
        space_size=plan.size,
        command=plan.request.command(),
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        pressed=plan.pressed,
    )


def _comparison(
    plan: Plan, study: Study, bench: Bench, allowed: frozenset[int]
) -> Comparison | None:
    """The comparison of the default with the best trial that is better; else that of the best."""
    goal, default = plan.request.goal, study.trials[0]
    must_beat = default.configuration.version in allowed
    lowest = _NEAR * goal.value(default.points) if must_beat else 0.0
    best = frontier.ranked(study.trials, goal, allowed)
    first = None
    for each in [it for it in best if it.number != default.number][:_rivals]:
        if goal.value(each.points) < lowest:
            break

        def told(number: int, trial: Trial = each) -> None:
            plan.told.round(number, comparison.ROUNDS, trial.configuration)

        held = comparison.compare(bench, goal, default, each, told=told)
        first = first or held
        if held.better or (held.kept and not must_beat):
            return held
    return first


def _smoke(bench: TestedBench, found: Candidates, winner: Trial) -> None:
    """The example images of the version, through the chosen configuration; raises `ParityError`."""
    candidate = found.of(winner.configuration.version)
    name = candidate.deployed.name
    model = bench.serve(winner.configuration)
    bench.tested(
        model,
        lambda client, served: smoke.test(client, candidate.deployed, {name: served}).summary,
    )
