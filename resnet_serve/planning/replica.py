"""A replica under requests: one Triton, event by event, as its scheduler works.

    request ─► queue ─► batch on a free instance ─► next model, or response
               full: rejected at once              its time is drawn from those measured

- A free instance takes what waits, up to the largest batch; with a queue delay it waits for a full
  batch until the oldest request has waited for so long.
- A queue with a bound rejects the request that finds it full, and one whose time is up. Where the
  backend keeps the bound, a batch that leaves too many behind loses its oldest requests instead.
- No image is decoded while enough decoded ones wait for the network.
- Under a bound Triton's batcher may miss that an instance became free (`Station.missed`).

Reference: triton-inference-server/core, src/dynamic_batch_scheduler.cc and src/rate_limiter.cc.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from resnet_serve.planning.service import Station

_LOOKS_AGAIN_S = 0.5  # the batcher that missed a free instance
_DRAWN = 1024
_ENDED, _DUE, _LOOKS = 0, 1, 2  # a batch, the delay of one, a batcher that missed
# Moment, order, kind, station, requests of the batch.
Event: TypeAlias = tuple[float, int, int, int, list[int]]


@dataclass(frozen=True)
class Run:
    """What became of the requests: `latency_s` in the order of arrival, NaN where rejected.

    `busy_s` is the time that the instances of each station computed, `batches` how many they got,
    `images` how many requests were in them, as Triton counts them.
    """

    arrived_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    busy_s: tuple[float, ...]
    batches: tuple[int, ...]
    images: tuple[int, ...]


class _Place:
    """One station while it runs."""

    def __init__(self, station: Station, random: np.random.Generator) -> None:
        self.station = station
        self.waiting: deque[tuple[float, int]] = deque()
        self.idle = station.instances
        self.bound = 0 if station.rejects_oldest else station.queue
        self.missed_free = False  # the batcher has missed a free instance
        self.due_s = -1.0
        self.looked_s, self.looks_s = 0.0, -1.0
        self.busy_s, self.batches, self.images = 0.0, 0, 0
        self._random = random
        self._times: list[Iterator[float]] = [iter(()) for _ in station.mean_s]
        self._missed: Iterator[bool] = iter(())

    def time(self, size: int) -> float:
        """The seconds of the next batch of this size."""
        found = next(self._times[size - 1], None)
        if found is None:
            self._times[size - 1] = iter(self.station.draws(self._random, size, _DRAWN))
            found = next(self._times[size - 1])
        return found

    def misses(self) -> bool:
        """Whether the batcher misses that an instance became free now."""
        if not self.station.missed:
            return False
        found = next(self._missed, None)
        if found is None:
            self._missed = iter((self._random.random(_DRAWN) < self.station.missed).tolist())
            found = next(self._missed)
        return found


class _Replica:
    def __init__(self, stations: Sequence[Station], random: np.random.Generator) -> None:
        self.places = [_Place(each, random) for each in stations]
        self.events: list[Event] = []
        self.order = 0

    def run(self, moments: Sequence[float], latency_s: list[float]) -> None:
        events, started = self.events, moments
        for number, now in enumerate(moments):
            while events and events[0][0] <= now:
                self._next(started, latency_s)
            self._offer(0, now, number)
        while events:
            self._next(started, latency_s)

    def _next(self, started: Sequence[float], latency_s: list[float]) -> None:
        now, _, kind, at, requests = heapq.heappop(self.events)
        place = self.places[at]
        if kind == _DUE:
            if not place.missed_free:
                self._dispatch(at, now)
            return
        if kind == _LOOKS:
            if place.missed_free and now == place.looks_s:
                place.missed_free = False
                self._dispatch(at, now)
            return
        if not requests:  # the pause of an instance is over
            self._free(at, now)
            return
        if at + 1 < len(self.places):
            for number in requests:
                self._offer(at + 1, now, number)
        else:
            for number in requests:
                latency_s[number] = now - started[number]
        if place.station.pause_s:
            self._at(now + place.station.pause_s, _ENDED, at, [])
        else:
            self._free(at, now)

    def _free(self, at: int, now: float) -> None:
        place = self.places[at]
        place.idle += 1
        if place.waiting and not place.missed_free and place.misses():
            place.missed_free = True
            place.looks_s = max(now, place.looked_s + _LOOKS_AGAIN_S)
            self._at(place.looks_s, _LOOKS, at, [])
        if not place.missed_free:
            self._dispatch(at, now)

    def _offer(self, at: int, now: float, number: int) -> None:
        place = self.places[at]
        if place.bound and len(place.waiting) >= place.bound:
            return
        place.waiting.append((now, number))
        place.missed_free = False
        if place.idle:
            self._dispatch(at, now)

    def _dispatch(self, at: int, now: float) -> None:
        place = self.places[at]
        station, waiting = place.station, place.waiting
        if station.timeout_s:
            while waiting and now - waiting[0][0] > station.timeout_s:
                waiting.popleft()
        while place.idle and waiting and not self._held(at):
            size = min(station.max_batch, len(waiting))
            if size < station.max_batch and station.delay_s:
                due_s = waiting[0][0] + station.delay_s
                if now < due_s:
                    if place.due_s != due_s:
                        place.due_s = due_s
                        self._at(due_s, _DUE, at, [])
                    return
            requests = [waiting.popleft()[1] for _ in range(size)]
            place.batches += 1
            place.images += size
            if station.rejects_oldest:
                too_many = max(0, len(waiting) - station.queue)
                del requests[: math.ceil(too_many / station.instances)]
                size = len(requests)
                if not size:
                    continue
            seconds = place.time(size)
            place.idle -= 1
            place.busy_s += seconds
            place.looked_s = now
            self._at(now + seconds, _ENDED, at, requests)
        if at and self.places[at - 1].station.holds:
            self._dispatch(at - 1, now)

    def _held(self, at: int) -> bool:
        """Whether enough requests wait for the next model."""
        holds = self.places[at].station.holds
        return (
            bool(holds) and at + 1 < len(self.places) and len(self.places[at + 1].waiting) >= holds
        )

    def _at(self, moment: float, kind: int, at: int, requests: list[int]) -> None:
        self.order += 1
        heapq.heappush(self.events, (moment, self.order, kind, at, requests))


def run(
    stations: Sequence[Station], arrivals: NDArray[np.float64], random: np.random.Generator
) -> Run:
    """Send requests at these moments (seconds, sorted) through an empty replica, until all end."""
    latency_s = [float("nan")] * len(arrivals)
    replica = _Replica(stations, random)
    replica.run(arrivals.tolist(), latency_s)
    return Run(
        arrivals,
        np.array(latency_s),
        tuple(each.busy_s for each in replica.places),
        tuple(each.batches for each in replica.places),
        tuple(each.images for each in replica.places),
    )
