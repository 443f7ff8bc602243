"""Compare a converted model with the reference: numerics, and the decisions of classifiers.

    reference.outputs(images) ─► pixels, expected ─► candidate ─► max |Δ|, cosine, SQNR, agreement

What is compared, and at which batch sizes, is `resnet_serve.comparison.distances`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.latencies import Latencies
from resnet_convert.parity.reference import ComparedImages, OutputSource
from resnet_convert.stage_log import Progress
from resnet_serve.comparison import distances
from resnet_serve.comparison.distances import Distances, Outputs
from resnet_serve.parity import accuracy, latency, numerics
from resnet_serve.parity.gate import Budget
from resnet_serve.parity.labels import LabelDecisions
from resnet_serve.parity.verdict import Verdict
from resnet_serve.triton.composed_config import PROBABILITIES

ImagesT = TypeVar("ImagesT", bound=ComparedImages)


@dataclass(frozen=True)
class Logits:
    """Logits [N,classes] of both networks, and the labels [N] where they are known."""

    reference: NDArray[np.float32]
    converted: NDArray[np.float32]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Measurements:
    """What comparing a candidate with the reference found.

    `numerics` is by batch size. `runtime` names what ran the candidate, `compiled` counts its
    operators or layers by kind. `logits` is None for feature maps, which are compared batch by
    batch and not kept. `decisions` are a softmax's, `label_decisions` a sigmoid's; raw scores
    decide nothing. `latencies` is None where nothing was timed.
    """

    images: str
    images_sha256: str
    output_kind: str
    numerics: dict[int, numerics.Numerics]
    logits: Logits | None
    decisions: accuracy.Decisions | None
    runtime: str
    compiled: dict[str, int]
    latencies: Latencies | None = None
    label_decisions: LabelDecisions | None = None

    @property
    def count(self) -> int:
        """How many images were compared."""
        return max(found.images for found in self.numerics.values())

    @property
    def summary(self) -> str:
        """How close both networks are, in a few words."""
        if self.decisions is not None:
            return str(self.decisions)
        if self.label_decisions is not None:
            return str(self.label_decisions)
        cosine = min(found.cosine for found in self.numerics.values())
        least = min(self.numerics.values(), key=lambda found: found.sqnr_db)
        return f"cosine ≥ {cosine:.5f}, SQNR {least.sqnr_db:.1f} dB ({least.output})"

    @property
    def agreement(self) -> float | None:
        """The share of equal decisions, in [0, 1]; None where nothing is decided."""
        if self.label_decisions is not None:
            return self.label_decisions.agreement
        return None if self.decisions is None else self.decisions.top1_agreement

    @property
    def changed(self) -> tuple[int, ...]:
        """The images with another decision, the clearest first."""
        found = self.decisions or self.label_decisions
        return found.changed if found else ()

    @property
    def speedup(self) -> latency.Ratio | None:
        """How many times faster than PyTorch; None where nothing was timed."""
        return None if self.latencies is None else self.latencies.speedup

    def verdict(self, budget: Budget, *, trained: bool) -> Verdict:
        """The gate's verdict on them; decisions of untrained networks do not bind."""
        return distances.judge(
            budget,
            self.numerics,
            self.decisions,
            self.label_decisions,
            trained=trained,
            of=self.output_kind,
        )


def compare(
    reference: OutputSource[ImagesT], candidate: Candidate, images: ImagesT, progress: Progress
) -> Measurements:
    """Run the candidate over the images; see `Distances` for the sizes of the batches."""
    measured = Distances(candidate.model, candidate.max_batch_size)
    kept: list[tuple[Outputs, Outputs]] = []
    done = 0
    for pixels, expected in reference.outputs(images):
        outputs = measured.add(reference.to_input(pixels), expected)
        if reference.classifies:
            kept.append((expected, outputs))
        done += len(pixels)
        progress.advance(done, len(images))
    logits = _logits(kept, images.labels) if reference.classifies else None
    decisions, label_decisions = _decisions(reference, logits)
    return Measurements(
        images=images.name,
        images_sha256=images.digest(),
        output_kind=reference.output_kind,
        numerics=measured.result(),
        logits=logits,
        decisions=decisions,
        label_decisions=label_decisions,
        runtime=candidate.runtime,
        compiled=dict(candidate.compiled),
    )


def _decisions(
    reference: OutputSource[Any], found: Logits | None
) -> tuple[accuracy.Decisions | None, LabelDecisions | None]:
    if found is None:
        return None, None
    return distances.decide(
        reference.activation,
        found.reference,
        found.converted,
        found.labels,
        names=reference.label_names,
        probabilities=reference.output_kind == PROBABILITIES,
    )


def _logits(kept: list[tuple[Outputs, Outputs]], labels: NDArray[np.int64] | None) -> Logits:
    """A classifier's only output, of all batches."""
    reference, converted = (
        np.concatenate([next(iter(outputs.values())) for outputs in side])
        for side in zip(*kept, strict=True)
    )
    return Logits(reference, converted, None if labels is None else labels[: len(reference)])
