"""What a canary has seen, among Triton's own metrics (`/metrics`).

`model` is the served name, `version` the one that a number is about.
"""

from __future__ import annotations

from typing import Any

from resnet_serve.triton.canary.seen import Seen
from resnet_serve.triton.canary.split import Split

# Name, what it counts, and whether it may fall.
_ROWS = (
    ("requests", "Requests that each version answered.", False),
    ("compared_images", "Images that both versions answered.", False),
    ("agreed_images", "Images of those that were decided equally.", False),
    ("errors", "Requests that only the old version answered.", False),
    ("seconds", "Time of the requests that were sent to both versions.", False),
    ("largest_distance", "The largest distance of an output of both versions.", True),
)


class Gauges:
    """The metrics of one split; `show` brings them to what was seen."""

    def __init__(self, stub: Any, model: str, split: Split) -> None:
        family = stub.MetricFamily
        self._families = {
            name: family(
                name=f"resnet_serve_canary_{name}" + ("" if gauge else "_total"),
                description=what,
                kind=family.GAUGE if gauge else family.COUNTER,
            )
            for name, what, gauge in _ROWS
        }
        self._model, self._split = model, split
        self._metrics: dict[tuple[str, int], Any] = {}
        self.show(Seen())

    def show(self, seen: Seen) -> None:
        """Set every metric; a counter is raised by the difference."""
        old, new = self._split.old, self._split.new
        from_new = seen.answered
        values = {
            ("requests", new): from_new,
            ("requests", old): seen.requests - from_new,
            ("compared_images", new): seen.compared,
            ("agreed_images", new): seen.agreed or 0,
            ("errors", new): seen.errors,
            ("seconds", new): seen.new_s,
            ("seconds", old): seen.old_s,
            ("largest_distance", new): seen.distance,
        }
        for (name, version), value in values.items():
            metric = self._metric(name, version)
            if name == "largest_distance":
                metric.set(float(value))
            elif value > metric.value():
                metric.increment(float(value - metric.value()))

    def _metric(self, name: str, version: int) -> Any:
        key = name, version
        if key not in self._metrics:
            labels = {"model": self._model, "version": str(version)}
            self._metrics[key] = self._families[name].Metric(labels=labels)
        return self._metrics[key]
