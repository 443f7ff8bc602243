"""The space: a table of what is tried, from which every configuration is made.

A row of `KNOBS` is one choice of the optimizer. What it offers depends on the host and the goal;
what the default has is always among it. Choices that make no difference are one configuration: a
model without batches has no queue delay, and an instance of one thread divides no batch among them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from resnet_serve.tuning.configuration import Configuration

Choice: TypeAlias = int | float | str
Choices: TypeAlias = Mapping[str, Choice]

_LARGEST_BATCHES = (1, 2, 4, 8, 16)
_DELAYS_MS = (0.0, 1.0, 4.0)
_DIVIDED = (0, 1 + max(_LARGEST_BATCHES))  # never, always
_DELAY_SHARE = 0.25  # of the latency limit, at most


@dataclass(frozen=True)
class Bounds:
    """What limits the space: versions that may be served, cores, the latency limit."""

    versions: tuple[int, ...]
    cores: int
    p99_ms: float


@dataclass(frozen=True)
class Knob:
    """One choice: its values within bounds, and the value that a configuration has."""

    name: str
    values: Callable[[Bounds], Sequence[Choice]]
    of: Callable[[Configuration], Choice]


def _layouts(bounds: Bounds) -> list[Choice]:
    """Instances × threads: powers of two (and all cores) that use at least half of the cores."""
    counts = sorted({*(2**power for power in range(bounds.cores.bit_length())), bounds.cores})
    pairs = itertools.product((each for each in counts if each <= bounds.cores), repeat=2)
    return [f"{i}x{t}" for i, t in pairs if bounds.cores / 2 <= i * t <= bounds.cores]


def _delays(bounds: Bounds) -> list[Choice]:
    return [each for each in _DELAYS_MS if each <= _DELAY_SHARE * bounds.p99_ms]


KNOBS = (
    Knob("version", lambda bounds: bounds.versions, lambda it: it.version),
    Knob("layout", _layouts, lambda it: f"{it.instances}x{it.threads}"),
    Knob("max_batch_size", lambda _: _LARGEST_BATCHES, lambda it: it.max_batch_size),
    Knob("delay_ms", _delays, lambda it: it.delay_ms),
    Knob("one_per_core_below", lambda _: _DIVIDED, lambda it: it.one_per_core_below),
)


@dataclass(frozen=True)
class Space:
    """The values of every knob, and the configuration that tuning starts from."""

    values: Mapping[str, tuple[Choice, ...]]
    default: Configuration

    @classmethod
    def within(cls, bounds: Bounds, default: Configuration) -> Space:
        """The space within bounds, with the values of the default added to it."""
        return cls(
            {
                knob.name: tuple(dict.fromkeys([*knob.values(bounds), knob.of(default)]))
                for knob in KNOBS
            },
            default,
        )

    def configuration(self, choices: Choices) -> Configuration:
        """The configuration of one value per knob."""
        instances, threads = map(int, str(choices["layout"]).split("x"))
        return Configuration(
            version=int(choices["version"]),
            instances=instances,
            threads=threads,
            max_batch_size=int(choices["max_batch_size"]),
            delay_ms=float(choices["delay_ms"]),
            one_per_core_below=int(choices["one_per_core_below"]),
        ).canonical()

    def choices(self, configuration: Configuration) -> dict[str, Choice]:
        """One value per knob that makes the configuration."""
        return {knob.name: knob.of(configuration) for knob in KNOBS}

    def all(self) -> tuple[Configuration, ...]:
        """Every configuration, once."""
        names = [knob.name for knob in KNOBS]
        products = itertools.product(*(self.values[name] for name in names))
        made = (self.configuration(dict(zip(names, each, strict=True))) for each in products)
        return _each_once(made)

    def openings(self) -> tuple[Configuration, ...]:
        """Where to begin: the default, then the extremes of each version.

        All cores for one batch at a time, and one core for each image: which of them is better
        depends on the runtime and the CPU.
        """
        layouts = [str(each) for each in self.values["layout"]]
        by_instances = sorted(layouts, key=lambda each: tuple(map(int, each.split("x"))))
        largest = max(map(int, self.values["max_batch_size"]))
        few, many = _most_threads(by_instances), by_instances[-1]
        extremes = [
            self.configuration(
                {
                    "version": version,
                    "layout": layout,
                    "max_batch_size": batch,
                    "delay_ms": 0.0,
                    "one_per_core_below": 0,
                }
            )
            for version in self.values["version"]
            for layout, batch in ((few, largest), (many, 1))
        ]
        return _each_once([self.default, *extremes])


def _each_once(configurations: Iterable[Configuration]) -> tuple[Configuration, ...]:
    return tuple({tuple(each.to_json().values()): each for each in configurations}.values())


def _most_threads(layouts: Sequence[str]) -> str:
    """The layout of one instance with the most threads."""
    return max(layouts, key=lambda each: (-int(each.split("x")[0]), int(each.split("x")[1])))
