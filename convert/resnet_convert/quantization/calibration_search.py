"""Calibration search: the method whose ranges lose least, measured on held-out images.

    folded ─► (equalise) ─► (correct biases) ─► ranges by a method ─► quantize ─► held-out logits

1. Three of four calibration images give the ranges; every fourth is held out, to compare them on
   (`split`).
2. Every method of `clipping.METHODS` is tried, from one pass over the first; then the best of them
   with equalisation within blocks (`rewrites/equalize.py`) and across them (`rewrites/streams.py`),
   tried with minmax too; the best so far with bias correction, and the better equalised with it.
   Biases are corrected over about 128 images, evenly chosen: a mean needs no more, and every layer
   has to run in FP32 too.
3. What replaces the best so far, at first minmax, is decided by `trials.better`.
4. With fewer than 16 images nothing is held out or tried: minmax is used, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING

from resnet_convert.quantization.calibrate import Calibration, observe, observe_histograms
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.dialects import Dialect
from resnet_convert.quantization.rewrites.bias_correction import correct
from resnet_convert.quantization.rewrites.equalize import equalize
from resnet_convert.quantization.rewrites.streams import equalize_streams
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
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

FEWEST_IMAGES = 16
EVERY = 4
CORRECTING_IMAGES = 128
ACROSS_BLOCKS = "equalised across blocks"
Rewrite = Callable[["ir.Model"], object]


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
    read once for all methods, and once more whenever a graph is equalised or corrected. `progress`
    is called with the name of the candidate under way. `activation` says what is decided; where it
    is None, candidates are compared by the SQNR of the outputs alone. Raises `ConversionError`
    where no candidate can be used.
    """
    folded = folded.clone()
    tries = _Tries(folded, dialect, held_in, threads)
    if held_out is None:
        row = Trial("minmax", None, None, 0.0, chosen=True)
        found = tries.ranges(folded, ("minmax",), threads)["minmax"]()
        return CalibrationSearch((row,), _graph(folded, found), found.images, 0)

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
    bench.attempt([[(f"{method}, bias corrected", partial(tries.corrected, plain))]])
    if best is not None:
        row, even = best
        bench.attempt([[(f"{row.name}, bias corrected", partial(tries.corrected, even))]])
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

    def plain(self) -> list[list[Candidate]]:
        """The folded graph with its ranges by every method."""
        ranges = self.ranges(self.folded, tuple(METHODS), self.threads)

        def made(method: str, _: int) -> CalibratedGraph:
            """The unchanged graph, with the ranges of a method."""
            return _graph(self.folded, ranges[method]())

        return [[(method, partial(made, method))] for method in METHODS]

    def equalised(self, method: str) -> list[list[Candidate]]:
        """Equalised within blocks and across them, with a method and with minmax.

        Without the channels that stretched the ranges there may be nothing left to clip.
        """
        both = tuple(dict.fromkeys((method, "minmax")))
        return [
            self._rewritten("equalised", equalize, (method,)),
            self._rewritten(ACROSS_BLOCKS, equalize_streams, both),
        ]

    def corrected(self, before: CalibratedGraph, threads: int) -> CalibratedGraph:
        """A candidate with corrected biases, and the same ranges."""
        model = before.model.clone()
        step = max(1, before.calibration.images // CORRECTING_IMAGES)
        batches = islice(self.held_in(), 0, None, step)
        correct(model, quantized(before, self.dialect), batches, threads=threads)
        return replace(before, model=model)

    def _rewritten(self, what: str, rewrite: Rewrite, methods: Sequence[str]) -> list[Candidate]:
        """One graph, made when the first of them is, with its ranges by each of the methods."""

        @cache
        def once(threads: int) -> tuple[ir.Model, dict[str, Callable[[], Calibration]]]:
            """The rewritten graph, and its ranges by each method."""
            model = self.folded.clone()
            rewrite(model)
            return model, self.ranges(model, methods, threads)

        def made(method: str, threads: int) -> CalibratedGraph:
            """The rewritten graph, with the ranges of a method."""
            model, ranges = once(threads)
            return _graph(model, ranges[method]())

        return [(f"{each}, {what}", partial(made, each)) for each in methods]

    def ranges(
        self, model: ir.Model, methods: Sequence[str], threads: int
    ) -> dict[str, Callable[[], Calibration]]:
        """The ranges of a graph by each method, from one pass over the images that give ranges."""
        names, symmetric = self.dialect.activations(model), self.dialect.symmetric
        if tuple(methods) == ("minmax",):
            found = observe(model, names, self.held_in(), threads=threads, symmetric=symmetric)
            return {"minmax": lambda: found}
        seen = observe_histograms(model, names, self.held_in(), threads=threads)
        return {each: partial(seen.calibration, each, symmetric=symmetric) for each in methods}


def _graph(model: ir.Model, calibration: Calibration) -> CalibratedGraph:
    return CalibratedGraph(model, calibration, reference=model)
