"""Calibration search: the method whose ranges lose least, measured on held-out images.

    folded ─► (equalise) ─► (correct biases) ─► ranges by a method ─► quantize ─► held-out logits

1. Three of four calibration images give the ranges; every fourth is held out, to compare them on
   (`split`).
2. Every method of `clipping.METHODS` is tried, from one pass over the first; then the best of them
   with equalisation within blocks (`rewrites/equalize.py`) and across them (`rewrites/streams.py`),
   tried with minmax too; the best so far with bias correction, and the better equalised with it.
   Equalisation depends on the weights alone and divides the channels of a tensor by numbers that
   are known beforehand, so that the same pass gives the ranges of the equalised graphs, and the
   mean responses of one graph, which biases are corrected to, those of all.
   Biases are corrected over about 128 images, evenly chosen: a mean needs no more, and every layer
   has to run in FP32 too.
3. What replaces the best so far, at first minmax, is decided by `trials.better`.
4. With fewer than 16 images nothing is held out or tried: minmax is used, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from resnet_convert.quantization.calibrate import (
    Observations,
    observe,
    observe_rescaled,
)
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.dialects import Dialect
from resnet_convert.quantization.rewrites.bias_correction import Means, correct, mean_responses
from resnet_convert.quantization.rewrites.equalize import Equalization, Scales, divided, equalize
from resnet_convert.quantization.rewrites.streams import Streams, equalize_streams
from resnet_convert.quantization.trials import (
    Batches,
    Bench,
    CalibratedGraph,
    Candidate,
    Trial,
    better,
)
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import Selection
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

FEWEST_IMAGES = 16
EVERY = 4
CORRECTING_IMAGES = 128
WITHIN_BLOCKS, ACROSS_BLOCKS = "equalised", "equalised across blocks"
Rewrite = Callable[["ir.Model"], "Equalization | Streams"]


@dataclass(frozen=True)
class CalibrationSearch:
    """The candidates in the order tried, and the best one.

    `images` gave the ranges, `held_out` images compared them.
    """

    rows: tuple[Trial, ...]
    kept: CalibratedGraph
    images: int
    held_out: int

    @property
    def chosen(self) -> Trial:
        """The row of the best candidate."""
        return next(row for row in self.rows if row.chosen)

    @property
    def untested(self) -> bool:
        """Whether there were too few images to hold any out, so that only minmax was made."""
        return not self.held_out


def split(images: Images) -> tuple[Images, Images | None]:
    """The images to calibrate with, and the held-out ones, every fourth; None of fewer than 16."""
    count = len(images)
    if count < FEWEST_IMAGES:
        return images, None
    last = EVERY - 1
    held_in = tuple(index for index in range(count) if index % EVERY != last)
    held_out = tuple(index for index in range(count) if index % EVERY == last)
    return Selection(images, held_in), Selection(images, held_out)


def choose(
    folded: ir.Model,
    dialect: Dialect,
    held_in: Batches,
    held_out: Batches | None,
    *,
    threads: int,
    progress: Callable[[str], None] | None = None,
    activation: Activation | None = SOFTMAX,
) -> CalibrationSearch:
    """Try the candidates on a folded FP32 graph, which is not changed.

    `held_in()` and `held_out()` start a new pass over batches of the graph's input; the first is
    read once for all ranges, once for the means of responses, and once more whenever biases are
    corrected. `progress` is called with the name of the candidate under way. `activation` says what
    is decided; where it is None, candidates are compared by the SQNR of the outputs alone. Raises
    `ConversionError` where no candidate can be used.
    """
    folded = folded.clone()
    tries = _Tries(folded, dialect, held_in, threads)
    if held_out is None:
        row = Trial("minmax", None, None, 0.0, chosen=True)
        plain = tries.minmax()
        return CalibrationSearch((row,), plain, plain.calibration.images, 0)

    def ready(candidate: CalibratedGraph) -> bytes:
        """As it would be deployed."""
        return dialect.serialize(quantized(candidate, dialect))

    bench = Bench(folded, ready, held_out, threads, progress, activation)
    bench.attempt(tries.plain())
    plain, method = bench.kept, bench.kept.calibration.method
    best: tuple[Trial, CalibratedGraph] | None = None
    for row, made in bench.attempt(tries.equalised(method)):
        if made is not None and better(row, None if best is None else best[0]):
            best = row, made
    bench.attempt(tries.correction(method, plain))
    if best is not None:
        row, even = best
        bench.attempt(tries.correction(row.name, even))
    rows = tuple(replace(each, chosen=each is bench.best) for each in bench.rows)
    return CalibrationSearch(rows, bench.kept, plain.calibration.images, len(bench.expected))


def quantized(candidate: CalibratedGraph, dialect: Dialect) -> ir.Model:
    """A candidate as it would be deployed."""
    model = candidate.model.clone()
    dialect.convert(model, candidate.calibration.ranges)
    return model


@dataclass(frozen=True)
class _Tries:
    """What one search tries, made from a folded graph and the images that give ranges."""

    folded: ir.Model
    dialect: Dialect
    held_in: Batches
    threads: int

    def minmax(self) -> CalibratedGraph:
        """The folded graph with the ranges that clip nothing."""
        names, symmetric = self.dialect.activations(self.folded), self.dialect.symmetric
        found = observe(
            self.folded, names, self.held_in(), threads=self.threads, symmetric=symmetric
        )
        return CalibratedGraph(self.folded, found, self.folded)

    def plain(self) -> list[list[Candidate]]:
        """The folded graph with its ranges by every method."""
        seen, _ = self._observed
        unchanged = _Rewritten(self.folded, {})
        return [[self._candidate(each, each, unchanged, seen)] for each in METHODS]

    def equalised(self, method: str) -> list[list[Candidate]]:
        """Equalised within blocks and across them, with a method and with minmax.

        Without the channels that stretched the ranges there may be nothing left to clip.
        """
        _, (within, across) = self._observed
        return [
            [self._candidate(f"{method}, {WITHIN_BLOCKS}", method, self._within, within)],
            *(
                [self._candidate(f"{each}, {ACROSS_BLOCKS}", each, self._across, across)]
                for each in dict.fromkeys((method, "minmax"))
            ),
        ]

    def correction(self, name: str, before: CalibratedGraph) -> list[list[Candidate]]:
        """A candidate with corrected biases, and the same ranges."""
        expected = [self._divided(each, before.scales) for each in self._means]

        def corrected(threads: int) -> CalibratedGraph:
            """The graph, corrected to the mean responses in FP32."""
            model, ready = before.model.clone(), quantized(before, self.dialect)
            correct(model, ready, self._correcting(), expected, threads=threads)
            return replace(before, model=model)

        return [[(f"{name}, bias corrected", corrected)]]

    def _correcting(self) -> Iterator[NDArray[Any]]:
        """The batches that biases are corrected over."""
        images = self._observed[0].images
        return islice(self.held_in(), 0, None, max(1, images // CORRECTING_IMAGES))

    @cached_property
    def _means(self) -> list[Means]:
        """The mean responses of the folded graph."""
        return mean_responses(self.folded, self._correcting(), threads=self.threads)

    def _divided(self, means: Means, scales: Scales) -> Means:
        """What they are in an equalised graph."""
        layers = {str(node.name): str(node.outputs[0].name) for node in self.folded.graph}
        return {
            layer: divided(mean, scales[layers[layer]]) if layers[layer] in scales else mean
            for layer, mean in means.items()
        }

    @cached_property
    def _within(self) -> _Rewritten:
        return _Rewritten.by(equalize, self.folded)

    @cached_property
    def _across(self) -> _Rewritten:
        return _Rewritten.by(equalize_streams, self.folded)

    @cached_property
    def _observed(self) -> tuple[Observations, list[Observations]]:
        """What the images are in the folded graph, and in both rewritten ones, from one pass."""
        first, *others = observe_rescaled(
            self.folded,
            self.dialect.activations(self.folded),
            [self._within.scales, self._across.scales],
            self.held_in(),
            threads=self.threads,
        )
        return first, others

    def _candidate(
        self, name: str, method: str, graph: _Rewritten, seen: Observations
    ) -> Candidate:
        def made(_: int) -> CalibratedGraph:
            """The graph, with its ranges by the method."""
            if graph.refused is not None:
                raise graph.refused
            calibration = seen.calibration(method, symmetric=self.dialect.symmetric)
            return CalibratedGraph(graph.model, calibration, graph.model, graph.scales)

        return name, made


@dataclass(frozen=True)
class _Rewritten:
    """An equalised copy of a graph, and what the channels of its tensors were divided by.

    `refused` says why it could not be made.
    """

    model: ir.Model
    scales: Scales
    refused: ConversionError | None = None

    @classmethod
    def by(cls, rewrite: Rewrite, folded: ir.Model) -> _Rewritten:
        """The copy that a rewrite makes."""
        model = folded.clone()
        try:
            return cls(model, rewrite(model).scales)
        except ConversionError as error:
            return cls(folded, {}, error)
