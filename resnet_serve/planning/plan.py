"""`resnet-serve plan NAME`: how many replicas of which configuration on which machine.

    results of tune and loadtest ─► candidates ─► × machines ─► quick search ─► the best of each
    machine, simulated in full ─► Plan: fleets, curves, assumptions

Everything is simulated from measured times; what was not measured is an assumption that is printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import resnet_serve
from resnet_serve.errors import HostError
from resnet_serve.passport.facts import encode
from resnet_serve.planning import machines as tables
from resnet_serve.planning import measured, search
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.machines import Machine
from resnet_serve.planning.measured import Candidate
from resnet_serve.planning.search import Curve, Fleet
from resnet_serve.planning.simulation import Effort

_TRIED, _SIMULATED = "configurations tried", "machines simulated in full"
_SPREAD = (
    "requests are spread over the replicas at random, each has one image, and one that is rejected "
    "or fails is not sent again",
    "service times are independent of one another and of how many requests the replica gets",
    "a failed replica is not replaced meanwhile",
)


@dataclass(frozen=True)
class Plan:
    """The fleets that keep the demand: of each machine the fewest replicas, and one more.

    They are ordered by cost, or by replicas where there are no prices. `curves` has what was
    simulated of the configuration of each machine, `assumptions` what was not measured.
    """

    name: str
    demand: Demand
    fleets: tuple[Fleet, ...]
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...]
    assumptions: tuple[str, ...]
    effort: Effort
    command: str
    taken: str

    @property
    def best(self) -> Fleet:
        """The cheapest fleet that keeps the demand."""
        return self.fleets[0]

    @property
    def spared(self) -> Fleet:
        """The cheapest fleet that keeps it with one replica less too."""
        return next(each for each in self.fleets if each.keeps_without_one)

    @property
    def sentence(self) -> str:
        """The plan in one sentence."""
        best, spared = self.best, self.spared
        what = f"{_counted(best)} keep{'s' if best.replicas == 1 else ''} {self.demand}"
        return f"{what}{_cost(best)}; {_counted(spared)} keep it with one less{_cost(spared)}"

    def to_json(self) -> dict[str, Any]:
        """The document that `results.write` saves."""
        made: dict[str, Any] = encode(
            {
                "model": self.name,
                "demand": self.demand,
                "sentence": self.sentence,
                "fleets": [_fleet_json(each) for each in self.fleets],
                "left_out": self.left_out,
                "assumptions": self.assumptions,
                "effort": self.effort,
                "version": resnet_serve.__version__,
                "command": self.command,
                "taken": self.taken,
            }
        )
        return made


def make(
    name: str,
    demand: Demand,
    sources: Sequence[Path],
    table: Path | None = None,
    *,
    effort: Effort | None = None,
    command: str = "",
    told: Callable[[str, int, int], None] = lambda *_: None,
) -> Plan:
    """Plan for a model from results of its measurements and a price table.

    `told(what, done, all)` is called while configurations are tried, and while the best one of each
    machine is simulated. Raises `InputFileError` for a file that cannot be used, and `HostError`
    with the closest that can be reached where no configuration keeps the demand.
    """
    effort = effort or Effort()
    candidates = [each for path in sources for each in measured.read(path, name)]
    machines = (tables.MEASURED,) if table is None else tables.read(table)
    pairs: list[tuple[Machine, Candidate]] = []
    for machine in machines:
        own = machine.measurements
        of_it = candidates if own is None else measured.read(own, name)
        pairs += [(machine, candidate) for candidate in of_it]
    told(_TRIED, 0, len(pairs))
    ranked = search.ranked(pairs, demand, partial(told, _TRIED))
    if not ranked:
        raise _unreachable([search.closest(pairs, demand, effort)], name)
    chosen: dict[str, Curve] = {}
    for _, curve in ranked:
        chosen.setdefault(curve.machine.name, curve)
    fleets: list[Fleet] = []
    curves = [Curve(each.machine, each.candidate, demand, effort) for each in chosen.values()]
    for number, curve in enumerate(curves):
        told(_SIMULATED, number, len(curves))
        most_per_s = curve.most_per_s()
        if most_per_s > 0:  # or it kept the limits by the chance of a quick simulation
            count = search.needed(curve, most_per_s)
            fleets += [search.fleet(curve, most_per_s, each) for each in (count, count + 1)]
    if not fleets:
        raise _unreachable(curves, name)
    fleets.sort(key=lambda each: (each.cost_per_million or 0.0, each.replicas))
    kept = {each.machine.name for each in fleets}
    return Plan(
        name,
        demand,
        tuple(fleets),
        tuple(curves),
        tuple(
            f"{each.name}: no configuration keeps the demand"
            for each in machines
            if each.name not in kept
        ),
        _assumptions(fleets),
        effort,
        command,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _unreachable(curves: Sequence[Curve], name: str) -> HostError:
    """The error with the lowest p99 that these curves reach, as far as they were simulated."""
    least, curve = min(
        ((point, curve) for curve in curves for point in curve.points()),
        key=lambda each: each[0].p99_ms.high,
    )
    high = least.p99_ms.high
    on = "" if curve.machine is tables.MEASURED else f"on {curve.machine.name} "
    return HostError(
        f"{curve.demand} cannot be reached with any number of replicas: the lowest p99 is "
        f"{high:.1f} ms (the upper end of its 95 % interval), {on}with {curve.candidate.title}",
        where=name,
        remedy=f"Allow more (--p99 {math.ceil(1.2 * high)}ms), or measure a faster "
        "precision, network or machine.",
    )


def _assumptions(fleets: Sequence[Fleet]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for each in fleets:
        machine, candidate = each.machine, each.candidate
        if machine.measurements is None and machine is not tables.MEASURED:
            times = "as" if machine.speed == 1 else f"{machine.speed:g} times as fast as"
            found[
                f"{machine.name} computes {times} the machine of the measurement "
                f"({candidate.host}): nothing was measured on it"
            ] = None
        elif machine is tables.MEASURED:
            found[f"every replica is a machine as the measured one ({candidate.host})"] = None
        found |= dict.fromkeys(candidate.assumptions)
    return (*found, *_SPREAD)


def _counted(fleet: Fleet) -> str:
    name = "replica" if fleet.machine is tables.MEASURED else fleet.machine.name
    plural = "s" if fleet.machine is tables.MEASURED and fleet.replicas > 1 else ""
    times = "" if fleet.machine is tables.MEASURED else " ×"
    return f"{fleet.replicas}{times} {name}{plural}"


def _cost(fleet: Fleet) -> str:
    cost = fleet.cost_per_million
    return "" if cost is None else f" for {cost:.3g} per million images"


def _fleet_json(fleet: Fleet) -> dict[str, Any]:
    return {
        "machine": fleet.machine.name,
        "price_per_hour": fleet.machine.price_per_hour,
        "speed": fleet.machine.speed,
        "configuration": fleet.candidate.title,
        "measured": str(fleet.candidate.source),
        "replicas": fleet.replicas,
        "cost_per_million": fleet.cost_per_million,
        "head_room": fleet.head_room,
        "most_per_s_of_a_replica": fleet.most_per_s,
        "with_all": fleet.outcome,
        "failure": {
            "noticed_after_s": fleet.demand.notice_s,
            "share_lost_until_then": 1 / fleet.replicas,
            "requests_lost_until_then": fleet.lost,
            "with_one_less": fleet.without_one,
            "kept_with_one_less": fleet.keeps_without_one,
        },
    }
