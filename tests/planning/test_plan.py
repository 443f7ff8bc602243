"""A whole plan: from files to fleets, its assumptions, and what cannot be reached."""

from __future__ import annotations

import json
import re
from pathlib import Path

import planned
import pytest
import tunable
from serve_command import serve

from resnet_serve.errors import HostError, InputFileError
from resnet_serve.loadtest.slo import Slo
from resnet_serve.planning import plan as planning
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.plan import Plan
from resnet_serve.planning.simulation import Effort

LITTLE = Effort(replications=3, requests=400)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    planned.write(tmp_path / "loadtest" / "loadtest-net.json", planned.load_test())
    (tmp_path / "prices.csv").write_text(
        "machine,price_per_hour,speed,measurements\nsmall,0.1,1,\nlarge,0.9,4,\nown,0.1,,own.json\n"
    )
    faster = planned.load_test(
        levels=[
            {"client_network_ms": 0.5, "executed": [planned.executed({1: 2.0, 2: 3.0, 4: 5.0})]}
        ]
    )
    planned.write(tmp_path / "own.json", faster)
    return tmp_path


def make(folder: Path, demand: Demand, *, priced: bool = True) -> Plan:
    source = folder / "loadtest" / "loadtest-net.json"
    table = folder / "prices.csv" if priced else None
    return planning.make("net", demand, [source], table, effort=LITTLE)


def test_the_cheapest_first_and_one_more_of_each(folder: Path) -> None:
    made = make(folder, Demand(2000, 40))
    assert made.best.machine.name == "own"
    costs = [each.cost_per_million or 0 for each in made.fleets]
    assert costs == sorted(costs)
    of_machine = {name: [] for name in ("small", "large", "own")}
    for each in made.fleets:
        of_machine[each.machine.name].append(each)
    for fewest, more in of_machine.values():
        assert more.replicas == fewest.replicas + 1
        assert made.demand.met(fewest.outcome)
        assert more.keeps_without_one
    assert re.match(r"\d+ × own keeps? 2000 requests/s with p99 ≤ 40 ms for ", made.sentence)
    assert f"{made.spared.replicas} × own keep it with one less" in made.sentence


def test_every_assumption_is_said(folder: Path) -> None:
    said = make(folder, Demand(2000, 40)).assumptions
    text = "\n".join(said)
    assert "large computes 4 times as fast as the machine of the measurement (Some CPU" in text
    assert "small computes as the machine of the measurement" in text
    assert "own computes" not in text, "it was measured"
    assert "at random" in text
    assert len(said) == len(set(said))
    alone = make(folder, Demand(100, 40), priced=False)
    assert "every replica is a machine as the measured one" in "\n".join(alone.assumptions)
    assert alone.best.cost_per_million is None
    assert alone.sentence.startswith("1 replica keeps 100 requests/s")


def test_a_limit_that_cannot_be_reached_says_the_closest_that_can(folder: Path) -> None:
    with pytest.raises(HostError) as caught:
        make(folder, Demand(2000, 2))
    assert "cannot be reached with any number of replicas: the lowest p99 is" in str(caught.value)
    found = re.search(r"--p99 (\w+)\)", str(caught.value))
    assert found is not None
    allowed = make(folder, Demand(2000, Slo.parse(found[1]).p99_ms))
    assert allowed.best.machine.name == "own"


def test_what_only_the_quick_simulation_keeps_says_what_the_full_one_reaches(folder: Path) -> None:
    few = Effort(replications=2, requests=200)  # its intervals are wider than the quick one's
    source = folder / "loadtest" / "loadtest-net.json"

    def limit(p99_ms: float) -> float:
        with pytest.raises(HostError) as caught:
            planning.make("net", Demand(20, p99_ms), [source], effort=few)
        assert "on as measured" not in str(caught.value)
        found = re.search(r"the lowest p99 is ([\d.]+) ms \(the upper end", str(caught.value))
        assert found is not None
        return float(found[1])

    lowest = limit(1)
    assert limit(lowest - 1) > lowest - 1, "a limit that is refused is not said to be kept"


def test_a_machine_that_cannot_keep_it_is_left_out(folder: Path) -> None:
    made = make(folder, Demand(2000, 8))
    assert made.left_out == ("small: no configuration keeps the demand",)
    assert {each.machine.name for each in made.fleets} == {"large", "own"}


def test_the_best_of_what_tune_has_tried(tmp_path: Path) -> None:
    one = tunable.point(executed=planned.executed(model="net"))
    two = tunable.trial(one, number=2, instances=2)
    source = planned.write(tmp_path / "tune-net.json", planned.tuning(tunable.trial(one), two))
    made = planning.make("net", Demand(500, 60), [source], effort=LITTLE)
    assert made.best.candidate.title == "version 1, 2 instances × 1 thread, batches up to 4"


def test_the_same_files_give_the_same_plan(folder: Path) -> None:
    one, two = (make(folder, Demand(700, 40)).to_json() for _ in range(2))
    assert {**one, "taken": ""} == {**two, "taken": ""}


def test_a_wrong_measurement_of_a_machine(folder: Path) -> None:
    (folder / "own.json").unlink()
    with pytest.raises(InputFileError, match=r"own\.json: cannot be read"):
        make(folder, Demand(700, 40))


# --- the command -------------------------------------------------------------------------------


def test_the_command(folder: Path) -> None:
    words = ("plan", "net", "--rate", 700, "--p99", "40ms", "--machines", "prices.csv")
    words = (*words, "--replications", 3, "--requests", 500)
    done = serve(folder, *words)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        *(f"configurations tried: {number} of 3" for number in range(4)),
        *(f"machines simulated in full: {number} of 3" for number in range(3)),
    ]
    assert "assumed: large computes 4 times as fast" in done.stdout
    assert "until it is noticed" in done.stdout
    assert "keep it with one less" in done.stdout.splitlines()[-1]
    written = json.loads((folder / "planning" / "plan-net.json").read_text())
    assert written["schema_version"] == 1
    assert written["command"] == (
        "resnet-serve plan net --rate 700 --p99 40ms --machines prices.csv --replications 3 "
        "--requests 500"
    )
    again = serve(folder, *words, "--json")
    document = json.loads(again.stdout)
    assert document["schema_version"] == 1
    assert document["fleets"] == written["fleets"]
    assert document["fleets"][0]["failure"]["kept_with_one_less"] is False


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("net", "--rate", 0, "--p99", "40ms"), 2, "--rate above 0"),
        (("net", "--rate", 5, "--p99", "40"), 2, "with its unit: 50ms"),
        (("net", "--rate", 5, "--p99", "40ms", "--burst", "3"), 2, "3:2s"),
        (("other", "--rate", 5, "--p99", "40ms"), 2, "resnet-serve loadtest other"),
        (("net", "--rate", 5, "--p99", "40ms", "--measured", "no.json"), 5, "no.json"),
        (("net", "--rate", 5, "--p99", "40ms", "--machines", "no.csv"), 5, "no.csv"),
        (("net", "--rate", 5, "--p99", "2ms", "--replications", 2), 4, "cannot be reached"),
    ],
)
def test_what_the_command_refuses(
    folder: Path, words: tuple[object, ...], code: int, said: str
) -> None:
    done = serve(folder, "plan", *words)
    assert done.returncode == code, done.stderr
    *before, last = done.stderr.splitlines()
    assert said in last
    assert all(line.startswith("configurations tried: ") for line in before)


def test_the_result_is_shown_where_it_cannot_be_written(folder: Path) -> None:
    (folder / "file").write_text("")
    words = ("net", "--rate", 700, "--p99", "40ms", "--replications", 2, "--requests", 300)
    done = serve(folder, "plan", *words, "--output", "file")
    assert done.returncode == 4
    assert "keep it with one less" in done.stdout.splitlines()[-1]
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert json.loads(serve(folder, "plan", *words, "--output", "file", "--json").stdout)["fleets"]
