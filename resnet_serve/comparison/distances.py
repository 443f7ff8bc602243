"""Comparison of a model with its reference: distances, decisions, and the verdict over both.

    batches with the reference's outputs ─► Distances ─► numerics by batch size ┐
    logits of both networks ─► decide ─► decisions for a class, or about labels ┴► judge ─► verdict

All images run in batches of 8, a few also one by one: a model may be right at one batch size and
wrong at another. The converter compares with PyTorch, `verify --host` with recorded outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.activation import Activation
from resnet_serve.parity import accuracy, gate, label_gate, labels, numerics
from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.gate import Budget
from resnet_serve.parity.labels import LabelDecisions
from resnet_serve.parity.verdict import Verdict
from resnet_serve.runtimes import RunnableModel

BATCH_SIZE = 8
SINGLES = 8
# Every output of a network by name, FP32 [N,…].
Outputs = Mapping[str, NDArray[np.float32]]


class Distances:
    """How far the outputs of `model` are from the reference's: at batch 8, and the first 8 singly.

    Where its `largest` batch is smaller than 8, that is the larger of the two sizes.
    """

    def __init__(self, model: RunnableModel, largest: int) -> None:
        self._model = model
        self._size = min(BATCH_SIZE, largest)
        # Ordered: where the model takes single images only, there is one comparison of them all.
        self._found: dict[int, dict[str, numerics.Comparison]] = {
            width: {} for width in (1, self._size)
        }
        self._done = 0

    def add(self, batch: NDArray[Any], expected: Outputs) -> Outputs:
        """Run a batch of images, as the model takes them; returns every output of the model."""
        outputs = self._run(batch, self._size)
        self._add(self._size, expected, outputs)
        if self._size > 1:
            first = slice(0, max(0, min(SINGLES - self._done, len(batch))))
            if first.stop:
                singly = self._run(batch[first], 1)
                self._add(1, {name: each[first] for name, each in expected.items()}, singly)
        self._done += len(batch)
        return outputs

    def result(self) -> dict[int, numerics.Numerics]:
        """The worst distance of all outputs so far, by batch size."""
        return {
            width: numerics.worst(each.result() for each in by_output.values())
            for width, by_output in self._found.items()
        }

    def _run(self, batch: NDArray[Any], size: int) -> Outputs:
        """Every output for the batch, computed `size` images at a time."""
        parts = [self._model.run_all(batch[at : at + size]) for at in range(0, len(batch), size)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _add(self, size: int, expected: Outputs, found: Outputs) -> None:
        for name, values in expected.items():
            comparison = self._found[size].setdefault(name, numerics.Comparison(name))
            comparison.add(values, found[name])


def decide(
    activation: Activation | None,
    reference: NDArray[np.float32],
    converted: NDArray[np.float32],
    known: NDArray[np.int64] | None,
    *,
    names: Sequence[str] = (),
    probabilities: bool = False,
) -> tuple[Decisions | None, LabelDecisions | None]:
    """A softmax's decisions for a class, or a sigmoid's about labels; of raw scores neither.

    `reference` and `converted` are logits [N,classes], or `probabilities`; `known` are the labels.
    """
    pair = reference, converted, known
    if activation is not None and activation.decides_classes:
        return accuracy.decide(*pair, probabilities=probabilities), None
    if activation is None or not activation.decides_labels:
        return None, None
    return None, labels.decide(activation, *pair, names=names, probabilities=probabilities)


def judge(
    budget: Budget,
    found: Mapping[int, numerics.Numerics],
    decisions: Decisions | None,
    label_decisions: LabelDecisions | None,
    *,
    trained: bool,
    of: str,
) -> Verdict:
    """The gate's verdict; decisions of untrained networks do not bind. `of` names the outputs."""
    verdict = gate.judge(budget, found, decisions, trained=trained, of=of)
    if label_decisions is None:
        return verdict
    of_labels = label_gate.checks(budget, label_decisions, trained=trained)
    main = max(found.values(), key=lambda each: each.images)
    return Verdict((*verdict.checks, *of_labels)).of_outputs(main, of)
