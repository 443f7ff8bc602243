"""Elastic: how images that wait together are the fastest on this CPU, one per core or as a batch.

    one per core      a copy of one thread per core, one image after another
    batches           the candidate itself, on all cores: 2, 4, 8 … images

ONNX Runtime gains from one image per core, OpenVINO from batches; by how much, and from which size
of a batch on, depends on network and CPU. Where the rounds disagree, as on a busy host, it is the
runtime that decides. The backend reads the result from its configuration.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.throughput import images_per_s
from resnet_convert.request import Request
from resnet_serve.runtimes import open_on_cpu

ROUNDS = 5
CLEAR_AFTER = 3  # rounds, where two more would hardly decide otherwise
CLEARLY = 1.1
ROUND_S = 0.2
_BATCHES_AS_A_RULE = ("openvino",)


@dataclass(frozen=True)
class Waiting:
    """Images per second when several wait: one per core, and by the size of a batch.

    Sizes below one that is not run as a batch may be missing: they decide nothing. For batches of
    the `undecided` sizes the rounds disagree, and `batches_as_a_rule` decides.
    """

    one_per_core_per_s: float
    batches_per_s: Mapping[int, float]
    undecided: tuple[int, ...] = ()
    batches_as_a_rule: bool = False

    @classmethod
    def of_rounds(
        cls, one_per_core: Sequence[float], batches: Mapping[int, Sequence[float]], *, rule: bool
    ) -> Waiting:
        """From the rates of every round; `rule` is `batches_as_a_rule`."""
        faster = {
            size: {batch > alone for batch, alone in zip(rates, one_per_core, strict=True)}
            for size, rates in batches.items()
        }
        return cls(
            statistics.median(one_per_core),
            {size: statistics.median(rates) for size, rates in batches.items()},
            tuple(size for size, found in faster.items() if len(found) > 1),
            rule,
        )

    @property
    def one_per_core_below(self) -> int:
        """From this number of images on a batch is faster; 0 where it always is."""
        sizes = sorted(self.batches_per_s)
        slower = [size for size in sizes if not self._is_faster(size)]
        if not slower:
            return 0
        return next((size for size in sizes if size > slower[-1]), slower[-1] + 1)

    def _is_faster(self, size: int) -> bool:
        """Whether a batch of this size is, than one image per core."""
        if size in self.undecided:
            return self.batches_as_a_rule
        return self.batches_per_s[size] > self.one_per_core_per_s

    @property
    def summary(self) -> str:
        """Both rates, in a few words."""
        size, rate = max(self.batches_per_s.items(), key=lambda each: each[1])
        text = (
            f"several: {self.one_per_core_per_s:.0f} images/s one per core, "
            f"{rate:.0f} in batches of {size}"
        )
        return f"{text} (the rounds differ)" if size in self.undecided else text


def applies(request: Request, cores: int) -> bool:
    """Whether one instance on several cores of this host gets more than one image at a time."""
    serving = request.serving(cores)
    return not request.for_gpu and serving.instances == 1 < min(cores, serving.max_batch_size)


def measure(request: Request, reference: Reference, candidate: Candidate, file: bytes) -> Waiting:
    """One per core and batches in turn, in a few rounds; `file` is what the candidate loaded.

    See `applies`. Sizes of batches that can no longer change `one_per_core_below` are left out.
    """
    cores, largest = reference.threads, request.max_batch_size
    sizes = [size for size in (2**power for power in range(1, 32)) if cores <= size < largest]
    with ExitStack() as stack:
        copies = [
            stack.enter_context(open_on_cpu(request.row.name, request.precision, file, 1))
            for _ in range(cores)
        ]
        batches: dict[int, NDArray[Any]] = {}

        def rate(size: int) -> float:
            models = copies if size == 1 else [candidate.model]
            if size not in batches:
                batches[size] = reference.random_batch(size)[1]
                for model in models:
                    model.run_all(batches[size])
            return images_per_s(models, batches[size], seconds=ROUND_S)

        return in_rounds(rate, [*sizes, largest], rule=request.row.name in _BATCHES_AS_A_RULE)


def in_rounds(rate: Callable[[int], float], sizes: Iterable[int], *, rule: bool) -> Waiting:
    """From `rate`, which measures batches of a size now, and one image per core for size 1.

    Batches are a `rule` of the runtime or not. Where they are not, and a round finds one no faster,
    neither it nor any smaller one will be run, whatever the other rounds say: smaller ones are then
    left out, which is why every round starts with the largest.
    """
    rates: dict[int, list[float]] = {size: [] for size in (1, *sorted(sizes, reverse=True))}
    for done in range(ROUNDS):
        if done >= CLEAR_AFTER and clear(rates, rule=rule):
            break
        for size in list(rates):
            rates[size].append(rate(size))
            if size > 1 and not rule and rates[size][-1] <= rates[1][-1]:
                rates = {each: found for each, found in rates.items() if each == 1 or each >= size}
                break
    return Waiting.of_rounds(rates.pop(1), dict(sorted(rates.items())), rule=rule)


def clear(rates: Mapping[int, Sequence[float]], *, rule: bool) -> bool:
    """Whether more rounds would hardly decide otherwise; `rates[1]` are of one image per core.

    Either all rounds say the same of a batch, and at least half of them clearly, or one of them
    says what the `rule` says: then it is kept, whatever the others say.
    """
    for size, found in rates.items():
        ratios = [batch / alone for batch, alone in zip(found, rates[1], strict=True)]
        middle = statistics.median(ratios)
        faster, slower = min(ratios) > 1, max(ratios) < 1
        same = (faster and middle >= CLEARLY) or (slower and middle <= 1 / CLEARLY)
        if size > 1 and not same and rule not in {ratio > 1 for ratio in ratios}:
            return False
    return True
