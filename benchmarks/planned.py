"""Whether `resnet-serve plan` simulates what the real server does.

    python benchmarks/planned.py

ResNet-110 with random weights (speed only), with its bounded queue: a network that takes long
enough for the client, which shares the cores, to matter little. The service times come from a load
test, as a user would make it. Then requests arrive at random moments (Poisson) at several rates,
sent by perf_analyzer, and at one that is more than the server can do, sent by a client that counts
the rejected ones. What is measured is compared with the simulation: p50, p99, the share of the time
that the instances compute, the mean batch and the share that is rejected.

Each rate is simulated twice: with the times of the load test, as a plan does, and with those that
the server had at that rate. The first is what a plan is worth on this host, whose speed may have
changed meanwhile, and which the client shares; the second is what the model of the queue is worth.
Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from open_loop import Load
from recorded import in_words, record

from resnet_convert import convert
from resnet_serve import Server
from resnet_serve.errors import UnavailableError
from resnet_serve.loadtest import executions, results
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.executions import Executed
from resnet_serve.parity import pressure
from resnet_serve.planning import measured, service
from resnet_serve.planning.measured import Candidate
from resnet_serve.planning.simulation import Effort, Estimate, Outcome, capacity_per_s, simulate

NAME = "resnet110"
SHARES = (0.3, 0.5, 0.7, 0.85, 1.5)  # of what a replica does at most
NEAR = 0.1
CONCURRENCY = "1,2,3,4,6,8"


@dataclass(frozen=True)
class Seen:
    """One rate as it was measured; `rejected` is a share, `outside_ms` None where not measured."""

    rate_per_s: float
    requests: int
    p50_ms: float
    p99_ms: float
    rejected: float
    ran: Executed
    outside_ms: float | None = None


def measure(instances: int, repository: Path, seconds: float) -> list[dict[str, object]]:
    """Measure the service times of a deployment, then compare rate by rate."""
    with Server(repository, port=0) as server:
        load = Load(server, NAME)
        load.capacity(1)  # warm
        test = loadtest.run(NAME, url=server.grpc, concurrency=CONCURRENCY, seconds=2.5)
        written = results.write(test, repository.parent / f"loadtest-{instances}")
        (candidate,) = measured.read(written.json, NAME)
        capacity = capacity_per_s(candidate.stations)
        print(instances, candidate, f"{capacity:.1f}/s", flush=True)
        found = []
        for share in SHARES:
            seen = offered(share * capacity, server.grpc, load, test, seconds)
            own = of_the_rate(seen, test, candidate)
            found += compared(instances, share, seen, {"plan": candidate, "same": own})
    return found


def offered(
    rate_per_s: float, url: str, load: Load, test: loadtest.LoadTest, seconds: float
) -> Seen:
    """A rate, sent by perf_analyzer; where a request is rejected, by the other client."""
    try:
        (level,) = loadtest.run(NAME, url=url, rate=f"{rate_per_s:g}", seconds=seconds).levels
        (ran,) = level.executed
        return Seen(
            rate_per_s,
            level.requests,
            level.p50_ms,
            level.p99_ms,
            0.0,
            ran,
            level.client_network_ms,
        )
    except UnavailableError:
        with executions.watch(url, test.measurement.served) as watched:
            answers = load.open_loop(rate_per_s, seconds, seed=1)
        (ran,) = watched.executed()
        return Seen(
            answers.sent / answers.seconds,
            answers.sent,
            answers.percentile_ms(50),
            answers.percentile_ms(99),
            answers.rejected / answers.sent,
            ran,
        )


def of_the_rate(seen: Seen, test: loadtest.LoadTest, candidate: Candidate) -> Candidate:
    """The candidate with the times of one rate; those of sizes that it had not stay."""
    (served,) = test.measurement.served
    sizes = {each.batch_size for each in seen.ran.batches}
    others = [
        replace(each, batches=tuple(row for row in each.batches if row.batch_size not in sizes))
        for level in test.levels
        for each in level.executed
    ]
    station, _ = service.station(served, [seen.ran, *others])
    outside_ms = candidate.outside_ms if seen.outside_ms is None else seen.outside_ms
    return replace(candidate, stations=(station,), outside_ms=outside_ms)


def compared(
    instances: int, share: float, seen: Seen, candidates: Mapping[str, Candidate]
) -> list[dict[str, object]]:
    """Measured and simulated, one row a quantity."""
    told = {
        name: simulate(
            each.stations,
            seen.rate_per_s,
            outside_ms=each.outside_ms,
            effort=Effort(requests=6000),
        )
        for name, each in candidates.items()
    }
    images = sum(each.batch_size * each.executions for each in seen.ran.batches)
    measured_values = {
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        "busy": seen.ran.busy or 0.0,
        "rejected": seen.rejected,
        "batch": images / sum(each.executions for each in seen.ran.batches),
    }
    rows: list[dict[str, object]] = []
    for quantity, real in measured_values.items():
        row: dict[str, object] = {
            "instances": instances,
            "load": share,
            "rate_per_s": round(seen.rate_per_s, 1),
            "requests": seen.requests,
            "quantity": quantity,
            "measured": round(real, 4),
        }
        for name, outcome in told.items():
            value = of_outcome(outcome, quantity)
            row[f"simulated_{name}"] = round(value, 4)
            row[f"error_{name}"] = round(error(quantity, real, value), 4)
        rows.append(row)
        print(in_words(row), flush=True)
    return rows


def of_outcome(outcome: Outcome, quantity: str) -> float:
    """What was simulated of a quantity."""
    found = getattr(outcome, quantity)
    return float(found.value) if isinstance(found, Estimate) else float(found)


def error(quantity: str, real: float, simulated: float) -> float:
    """Relative of times and batches; of shares their difference."""
    if quantity in ("busy", "rejected"):
        return simulated - real
    return simulated / real - 1


def summary(rows: Sequence[Mapping[str, object]], pressed: float | None) -> dict[str, object]:
    """How many are within 10 %, by deployment and quantity, with the times of which measurement."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for each in rows:
        of = found.setdefault(str(each["instances"]), {}).setdefault(str(each["quantity"]), {})
        for name in ("plan", "same"):
            done, _, count = of.get(name, "0 of 0").partition(" of ")
            of[name] = f"{int(done) + near(each, name)} of {int(count) + 1}"
    return {
        "what": "simulated and measured under Poisson arrivals: how many are within 10 %, with the "
        "times of the load test (plan) and those of the same rate (same); of shares within 0.1",
        "pressed_before": pressed,
        "by_instances": found,
    }


def near(row: Mapping[str, object], name: str) -> bool:
    """Whether the error is at most 10 %, of a share 0.1."""
    return abs(float(str(row[f"error_{name}"]))) <= NEAR


def main() -> None:
    """Deploy, measure and simulate, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=12, help="of each rate")
    parser.add_argument("--instances", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--models", type=Path, help="a folder with what --deploy has made")
    parser.add_argument("--deploy", type=Path, help="only convert, into this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = options.models or options.deploy or Path(own)
        if options.models is None:
            for instances in options.instances:
                deploy(folder / str(instances), instances)
        if options.deploy is not None:
            return
        pressed = pressure.lately()
        rows: list[dict[str, object]] = []
        for instances in options.instances:
            rows += measure(instances, folder / str(instances), options.seconds)
    found = summary(rows, pressed)
    print(json.dumps(found, indent=2))
    record("planned", rows, found)


def deploy(repository: Path, instances: int) -> None:
    """Convert the network, with its own bound of the queue."""
    convert(
        arch="resnet110",
        weights="random",
        validation="digits",
        validation_images=32,
        name=NAME,
        instances=instances,
        max_batch_size=8,
        repository=repository,
    )


if __name__ == "__main__":
    main()
