"""Latencies side by side: who runs when, and how sure the ratio is."""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest

from resnet_serve.parity import latency, pressure
from resnet_serve.parity.latency import (
    SETTLE_S,
    WARM_UP_RUNS,
    Latency,
    Ratio,
    measure,
    speedup,
)


def test_models_take_turns_within_every_round() -> None:
    order: list[str] = []
    models = {name: (lambda name=name: order.append(name)) for name in ("a", "b", "c")}
    found = measure(models, batch_size=2, seconds=0, min_rounds=4)
    turns = [name for name, _ in itertools.groupby(order[3 * WARM_UP_RUNS :])]
    assert order[: 3 * WARM_UP_RUNS] == ["a"] * WARM_UP_RUNS + ["b"] * WARM_UP_RUNS + (
        ["c"] * WARM_UP_RUNS
    )
    assert "".join(turns) == "abcbabcba", "a round ends with the model that begins the next"
    assert {name: len(times.samples_ms) for name, times in found.items()} == dict.fromkeys("abc", 4)
    assert all(times.batch_size == 2 for times in found.values())


class Clock:
    """A clock on which time passes by sleeping, and a little by looking at it."""

    now_s = 0.0

    def perf_counter(self) -> float:
        self.now_s += 1e-6
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What `measure` reads instead of the time of this machine, which may be busy."""
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    return made


def test_what_the_model_before_leaves_behind_is_not_timed(clock: Clock) -> None:
    """Threads of the one before spin on: the first milliseconds of a turn are slow, not counted."""
    last, turn_began = "", 0.0

    def run(name: str) -> None:
        nonlocal last, turn_began
        now = clock.perf_counter()
        if name != last:
            last, turn_began = name, now
        clock.sleep(0.002 if now < turn_began + 0.8 * SETTLE_S else 0)

    models = {name: (lambda name=name: run(name)) for name in ("a", "b")}
    found = measure(models, batch_size=1, seconds=0, min_rounds=9)
    assert all(times.median_ms < 1.5 for times in found.values())


def test_a_slow_model_is_not_run_only_to_wait(clock: Clock) -> None:
    """Its run is as fast after a pause in which the threads of the one before come to rest."""
    runs: dict[str, int] = {"slow": 0, "fast": 0}
    rested_at = 0.0

    def run(name: str, seconds: float) -> None:
        nonlocal rested_at
        runs[name] += 1
        late = max(0.0, rested_at - clock.perf_counter()) if name == "slow" else 0.0
        clock.sleep(seconds + late)
        rested_at = clock.perf_counter() + 0.8 * SETTLE_S

    found = measure(
        {"slow": lambda: run("slow", 0.2), "fast": lambda: run("fast", 0.01)},
        batch_size=1,
        seconds=0,
        min_rounds=7,
    )
    assert runs["slow"] == 2 + 7, "two to warm up, and those that are timed"
    assert runs["fast"] > 7 + WARM_UP_RUNS
    assert found["slow"].median_ms == pytest.approx(200, abs=0.1)
    assert found["fast"].median_ms == pytest.approx(10, abs=0.1)


def test_a_slow_first_run_does_not_make_a_model_slow(clock: Clock) -> None:
    first = iter([1.0])
    runs = []

    def run() -> None:
        runs.append(0)
        clock.sleep(next(first, 0.01))

    measure({"a": run, "b": lambda: clock.sleep(0.01)}, batch_size=1, seconds=0, min_rounds=7)
    assert len(runs) > 7 + 2, "it runs untimed before its turns"


def test_it_measures_milliseconds() -> None:
    found = measure({"sleep": lambda: time.sleep(0.005)}, batch_size=1, seconds=0, min_rounds=3)
    assert 5 <= found["sleep"].median_ms < 1000


def test_rounds_go_on_for_about_the_time_given_and_no_longer(clock: Clock) -> None:
    models = {"sleep": lambda: clock.sleep(0.002)}
    some = measure(models, batch_size=1, seconds=0.1, min_rounds=1)
    assert 5 < len(some["sleep"].samples_ms) <= 60
    capped = measure(models, batch_size=1, seconds=60, min_rounds=1, max_rounds=5)
    assert len(capped["sleep"].samples_ms) == 5


@pytest.mark.parametrize(
    ("every_ms", "waited", "early"),
    [
        ((10.0,), 0.0, True),
        ((10.0,), None, True),  # a host that does not count it
        ((10.0,), 0.5, False),  # other tasks were waiting for the cores
        ((10.0, 14.0, 14.0, 10.0), 0.0, False),  # the ratio is not known to 5 %
    ],
)
def test_rounds_end_early_where_the_ratio_is_known(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    every_ms: tuple[float, ...],
    waited: float | None,
    early: bool,
) -> None:
    class Pressure:
        def share_since(self, _: object) -> float | None:
            return waited

    monkeypatch.setattr(pressure, "read", Pressure)
    times = itertools.cycle(every_ms)
    models = {
        "steady": lambda: clock.sleep(0.01),
        "other": lambda: clock.sleep(next(times) / 1000),
    }
    found = measure(models, batch_size=1, seconds=3, until_narrow=True)
    whole = measure(models, batch_size=1, seconds=3)
    rounds = [len(each["other"].samples_ms) for each in (found, whole)]
    assert (rounds[0] < rounds[1] / 2) is early
    assert rounds[0] * 0.04 >= 0.95  # a third of the time at least
    assert early or rounds[0] == pytest.approx(rounds[1], abs=2)


def test_summaries() -> None:
    times = Latency(4, tuple(float(i) for i in range(1, 101)))
    assert times.median_ms == 50.5
    assert times.p95_ms == pytest.approx(np.percentile(range(1, 101), 95))
    assert times.images_per_s == pytest.approx(4000 / 50.5)
    assert json.loads(json.dumps(times.to_json()))["rounds"] == 100


def test_the_ratio_is_taken_round_by_round() -> None:
    """A machine that slows down tenfold half way slows both: the ratio does not move."""
    slowing = np.repeat([1.0, 10.0], 10)
    found = speedup(Latency(1, tuple(6 * slowing)), Latency(1, tuple(2 * slowing)))
    assert (found.median, found.low, found.high) == pytest.approx((3, 3, 3))


def noisy(scale: float, seed: int, rounds: int = 40) -> Latency:
    times = scale * np.exp(np.random.default_rng(seed).normal(0, 0.2, rounds))
    return Latency(1, tuple(times))


def test_the_interval_is_the_same_every_time_and_surrounds_the_median() -> None:
    found = speedup(noisy(4, 1), noisy(2, 2))
    assert found == speedup(noisy(4, 1), noisy(2, 2))
    assert found != speedup(noisy(4, 1), noisy(2, 2), seed=1)
    assert found.low < found.median < found.high
    assert found.low < 2 < found.high


def test_more_rounds_are_surer() -> None:
    few = speedup(noisy(4, 1, 10), noisy(2, 2, 10))
    many = speedup(noisy(4, 1, 200), noisy(2, 2, 200))
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(
    ("reference", "slower"), [(1.0, True), (1.9, False), (2.0, False), (4.0, False)]
)
def test_slower_only_beyond_doubt(reference: float, slower: bool) -> None:
    assert speedup(noisy(reference, 1), noisy(2, 2)).slower is slower


def test_an_interval_that_touches_one_is_not_slower() -> None:
    assert not Ratio(0.9, 0.8, 1.0).slower
    assert Ratio(0.9, 0.8, 0.99).slower
    assert Ratio(0.9, 0.8, 0.99).to_json()["median"] == 0.9


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (Ratio(2.31, 2.2, 2.4), "2.3×"),
        (Ratio(2.31, 2.2, 2.4, pressed=0.1), "2.3×"),
        (Ratio(4273.1, 2.0, 9000.0), "not stated: host busy (the rounds differ too much)"),
        (
            Ratio(2.31, 2.2, 2.4, pressed=0.87),
            "not stated: host busy (tasks waited for a CPU 87 % of the time)",
        ),
        (Ratio(1.0, float("nan"), 2.0), "not stated: host busy (the rounds differ too much)"),
    ],
)
def test_a_ratio_measured_on_a_busy_host_is_not_stated(ratio: Ratio, shown: str) -> None:
    assert str(ratio) == shown
    stated = shown == "2.3×"
    assert (ratio.not_stated is None) == stated
    assert (ratio.to_json()["median"] is None) != stated


def test_slower_after_speed_ups_that_are_not_stated_is_not_a_finding() -> None:
    ratio = Ratio(0.5, 0.45, 0.55)
    assert "keep another precision" in str(ratio.caution("int8", "m"))
    said = str(ratio.caution("int8", "m", "host busy (the rounds differ too much)"))
    assert "slower" not in said
    assert "not stated: host busy (the rounds differ too much); on an idle host" in said
    assert said.endswith("resnet-convert remeasure m")
    assert Ratio(2.0, 1.9, 2.1).caution("int8", "m", "host busy") is None


def test_nothing_is_called_slower_on_a_busy_host() -> None:
    assert Ratio(0.5, 0.45, 0.55).slower
    assert not Ratio(0.5, 0.45, 0.55, pressed=0.9).slower


@pytest.mark.parametrize("waited_us", [0, 900_000, None])
def test_the_pressure_of_the_measurement_is_kept(
    monkeypatch: pytest.MonkeyPatch, waited_us: int | None
) -> None:
    before = pressure.Reading(0.0, None if waited_us is None else 0)
    readings = iter([before, pressure.Reading(1.0, waited_us)])
    monkeypatch.setattr(pressure, "read", lambda: next(readings))
    models = {"a": lambda: None, "on the GPU": lambda: None}
    found = measure(
        models, batch_size=1, seconds=0, min_rounds=2, timers={"on the GPU": lambda: 1.0}
    )
    expected = None if waited_us is None else waited_us / 1e6
    assert found["a"].pressed == expected
    assert found["on the GPU"].pressed is None, "its own events time it"
    assert speedup(found["a"], found["on the GPU"]).pressed == expected
