"""What a passport keeps of a proof: parity with the reference, the gate's verdict, the times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Protocol, Self

from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.gate import Budget
from resnet_serve.parity.labels import LabelDecisions
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.parity.numerics import Numerics
from resnet_serve.parity.verdict import Check, Verdict
from resnet_serve.passport.facts import Facts


class Measured(Protocol):
    """A comparison of a converted model with its reference."""

    @property
    def images(self) -> str:
        """What the compared images are called."""

    @property
    def images_sha256(self) -> str:
        """A digest of which images they are."""

    @property
    def output_kind(self) -> str:
        """What the compared outputs are, in the gate's words: "logits", "features", …"""

    @property
    def numerics(self) -> Mapping[int, Numerics]:
        """The distance of the outputs, by batch size."""

    @property
    def decisions(self) -> Decisions | None:
        """The classes decided for; None for a model that decides for no class."""

    @property
    def label_decisions(self) -> LabelDecisions | None:
        """The decisions about labels; None for a model without any."""

    @property
    def runtime(self) -> str:
        """What ran the converted model."""


@dataclass(frozen=True, kw_only=True)
class ParityFacts(Facts):
    """How far the converted model is from the reference.

    `of` says what the compared outputs are: "logits", "probabilities" of a composed model, or a
    head's features. Of many `label_decisions` the worst have rows, the others are counted. `layers`
    compare the network layer by layer, where that was done.
    """

    runtime: str
    of: str
    images: str
    images_sha256: str
    numerics: Mapping[int, Numerics]
    decisions: Decisions | None
    layers: tuple[Mapping[str, Any], ...] | None = None
    label_decisions: LabelDecisions | None = None

    @property
    def agreement(self) -> float | None:
        """The share of equal decisions, in [0, 1]; None where nothing is decided."""
        if self.label_decisions is not None:
            return self.label_decisions.agreement
        return None if self.decisions is None else self.decisions.top1_agreement

    @classmethod
    def measured(cls, found: Measured, layers: tuple[Mapping[str, Any], ...] | None = None) -> Self:
        """The facts of a comparison."""
        return cls(
            runtime=found.runtime,
            of=found.output_kind,
            images=found.images,
            images_sha256=found.images_sha256,
            numerics=found.numerics,
            decisions=found.decisions,
            label_decisions=None
            if found.label_decisions is None
            else found.label_decisions.bounded(),
            layers=layers,
        )


@dataclass(frozen=True, kw_only=True)
class GateFacts(Facts):
    """Every check of the gate; `overridden` where the model was deployed although one failed.

    `budget` is what was allowed, where it was recorded.
    """

    passed: bool
    checks: tuple[Check, ...]
    overridden: bool
    budget: Budget | None = None

    @classmethod
    def decided(cls, verdict: Verdict, budget: Budget | None = None) -> Self:
        """The facts of a model that is deployed with this verdict."""
        return cls(
            passed=verdict.passed,
            checks=verdict.checks,
            overridden=not verdict.passed,
            budget=budget,
        )


@dataclass(frozen=True, kw_only=True)
class TimingFacts(Facts):
    """One model at one batch size: milliseconds per batch, and how many rounds were timed."""

    batch_size: int
    median_ms: float
    p95_ms: float
    images_per_s: float
    rounds: int

    @classmethod
    def timed(cls, latency: Latency) -> Self:
        """The facts of a measurement."""
        return cls(
            batch_size=latency.batch_size,
            median_ms=latency.median_ms,
            p95_ms=latency.p95_ms,
            images_per_s=latency.images_per_s,
            rounds=len(latency.samples_ms),
        )


@dataclass(frozen=True, kw_only=True)
class WaitingFacts(Facts):
    """Images per second when several wait: one per core, and by the size of a batch.

    Fewer than `one_per_core_below` run one per core, more as a batch; 0 where always as a batch.
    For the `undecided` sizes the rounds disagreed: `batches_as_a_rule`, of the runtime, decided.
    """

    one_per_core_below: int
    one_per_core_per_s: float
    batches_per_s: Mapping[int, float]
    undecided: tuple[int, ...] = ()
    batches_as_a_rule: bool = False


@dataclass(frozen=True, kw_only=True)
class SpeedFacts(Facts):
    """How many times faster than PyTorch it is at batch 1; None where that was not measured."""

    speedup: Ratio | None


@dataclass(frozen=True, kw_only=True)
class RemeasuredFacts(Facts):
    """When a deployed version was timed again, and on which processor.

    `without_reference` is why PyTorch was not timed with it, so that there is no ratio.
    """

    at: datetime
    processor: str
    without_reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class TunedFacts(Facts):
    """Where the instances, threads and batches of a version come from: `resnet-serve tune`.

    `version` has the files and the proof that this one was made of; `command` repeats the run.
    """

    at: datetime
    version: int
    command: str
    found: str
    processor: str


@dataclass(frozen=True, kw_only=True)
class LatencyFacts(SpeedFacts):
    """The times at batch 1, by runtime; in the JSON they stand beside the other fields.

    `reference_on` is what PyTorch ran on, "CPU" or "GPU". `share_of_integer_peak` is of an INT8
    network on a CPU. `remeasured` is there when the times are not those of the conversion.
    """

    times: Mapping[str, TimingFacts]
    reference_on: str
    share_of_integer_peak: float | None
    remeasured: RemeasuredFacts | None = None

    @classmethod
    def from_json(cls, data: object, where: str = "") -> Self:
        """Read the block; raises `MalformedFactsError`."""
        if isinstance(data, Mapping):
            named = {each.name for each in fields(cls)}
            times = {
                key: value
                for key, value in data.items()
                if key not in named and isinstance(value, Mapping) and "median_ms" in value
            }
            rest = {key: value for key, value in data.items() if key not in times}
            data = {**rest, "times": times}
        return super().from_json(data, where)

    def to_json(self) -> dict[str, Any]:
        """The block, ready for `json.dumps`."""
        written = super().to_json()
        return {**written.pop("times"), **written}
