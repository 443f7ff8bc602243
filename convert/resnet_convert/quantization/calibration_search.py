"""Calibration search: the method whose ranges lose least, measured on held-out images.

    folded ─► (equalise) ─► (correct biases) ─► ranges by a method ─► quantize ─► held-out logits

1. Three of four calibration images give the ranges; every fourth is held out, to compare them on
   (`split`).
2. Every method of `clipping.METHODS` is tried, from one pass over the first; then the best of them
   with equalisation within blocks (`rewrites/equalize.py`) and across them (`rewrites/streams.py`),
   tried with minmax too; the best so far with bias correction, and the better equalised with it.
   Biases are corrected over about 128 images, evenly chosen: a mean needs no more, and every layer
   has to run in FP32 too.
3. Candidates are compared with the folded FP32 graph: share of equal decisions, then SQNR of the
   logits in dB. A candidate replaces the best so far, at first minmax, when it agrees on no fewer
   images and its SQNR is at least 0.1 dB higher; or when it agrees on more and its SQNR is less
   than 0.1 dB lower.
4. With fewer than 16 images nothing is held out or tried: minmax is used, and the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization.calibrate import Calibration, Observations, observe_histograms
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.dialects import Dialect
from resnet_convert.quantization.rewrites.bias_correction import correct
from resnet_convert.quantization.rewrites.equalize import equalize
from resnet_convert.quantization.rewrites.streams import equalize_streams
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import Selection
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

FEWEST_IMAGES = 16
EVERY = 4
GAIN_DB = 0.1
CORRECTING_IMAGES = 128
ACROSS_BLOCKS = "equalised across blocks"
Batches = Callable[[], Iterable[NDArray[Any]]]


@dataclass(frozen=True)
class Trial:
    """One candidate: share of equal decisions in [0, 1], SQNR of the logits, and its own time.

    `seconds` leaves out the pass that all methods share. `agreement` is None for a network that
    decides nothing; it and `sqnr_db` are None without held-out images, or where the candidate could
    not be made: `refused` is the reason.
    """

    name: str
    agreement: float | None
    sqnr_db: float | None
    seconds: float
    chosen: bool = False
    refused: str | None = None

    def to_json(self) -> dict[str, object]:
        """The fields, as the passport holds them."""
        return asdict(self)


@dataclass(frozen=True)
class CalibratedGraph:
    """A folded FP32 graph, perhaps equalised and with corrected biases, and its ranges.

    `reference` is the graph that its layers are compared with: the same, with uncorrected biases.
    """

    model: ir.Model
    calibration: Calibration
    reference: ir.Model


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
    bench = _Bench(folded.clone(), dialect, held_in, held_out, threads, progress, activation)
    seen = bench.observed(bench.folded)
    if held_out is None:
        row = Trial("minmax", None, None, 0.0, chosen=True)
        return CalibrationSearch(
            (row,), bench.prepared(bench.folded, seen, "minmax"), seen.images, 0
        )
    bench.expected = bench.logits(serialize(bench.folded))
    for method in METHODS:
        bench.attempt(method, partial(bench.prepared, bench.folded, seen, method))
    plain, method = bench.kept, bench.kept.calibration.method
    even = bench.best_equalised(method)
    bench.attempt(f"{method}, bias corrected", lambda: bench.corrected(plain))
    if even is not None:
        name, graph = even
        bench.attempt(f"{name}, bias corrected", lambda: bench.corrected(graph))
    rows = tuple(replace(row, chosen=row is bench.best) for row in bench.rows)
    return CalibrationSearch(rows, bench.kept, seen.images, len(bench.expected))


def better(candidate: Trial, kept: Trial | None) -> bool:
    """Whether a candidate replaces the best so far, rule 3.

    One that was refused, or whose logits are not finite, does not.
    """
    if candidate.sqnr_db is None or not np.isfinite(candidate.sqnr_db):
        return False
    if kept is None or kept.sqnr_db is None:
        return True
    gain = candidate.sqnr_db - kept.sqnr_db
    ours, theirs = candidate.agreement or 0.0, kept.agreement or 0.0
    if ours > theirs:
        return gain > -GAIN_DB
    return ours == theirs and gain >= GAIN_DB


@dataclass
class _Bench:
    """The state of one `choose`: the images, the rows so far, and the best candidate."""

    folded: ir.Model
    dialect: Dialect
    held_in: Batches
    held_out: Batches | None
    threads: int
    progress: Callable[[str], None] | None
    activation: Activation | None = SOFTMAX
    expected: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    rows: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    _kept: CalibratedGraph | None = None

    @property
    def kept(self) -> CalibratedGraph:
        """The best candidate; raises `ConversionError` where none can be used."""
        if self._kept is None:
            reason = self.rows[0].refused or "its logits are not finite"
            raise ConversionError(
                f"no calibration method gives a network that can be used ({reason})",
                where="calibrate",
                remedy="Use --precision fp16 or fp32 for this network.",
            )
        return self._kept

    def observed(self, model: ir.Model) -> Observations:
        """The histograms of a graph over the images that give ranges."""
        return observe_histograms(
            model, self.dialect.activations(model), self.held_in(), threads=self.threads
        )

    def prepared(self, model: ir.Model, seen: Observations, method: str) -> CalibratedGraph:
        """A graph with its ranges by a method."""
        calibration = seen.calibration(method, symmetric=self.dialect.symmetric)
        return CalibratedGraph(model, calibration, reference=model)

    def best_equalised(self, method: str) -> tuple[str, CalibratedGraph] | None:
        """The best equalised graph with its name, of all that are tried; None where none can be.

        What is tried is a method within blocks and across them, and minmax: without the channels
        that stretched the ranges there may be nothing left to clip.
        """
        best: tuple[Trial, CalibratedGraph] | None = None
        for what, rewrite, methods in (
            ("equalised", equalize, (method,)),
            (ACROSS_BLOCKS, equalize_streams, dict.fromkeys((method, "minmax"))),
        ):
            model = cache(partial(self._rewritten, rewrite))
            for each in methods:
                made = self.attempt(f"{each}, {what}", partial(self._equalised, model, each))
                row = self.rows[-1]
                if made is not None and better(row, None if best is None else best[0]):
                    best = row, made
        return None if best is None else (best[0].name, best[1])

    def _rewritten(self, rewrite: Callable[[ir.Model], object]) -> tuple[ir.Model, Observations]:
        model = self.folded.clone()
        rewrite(model)
        return model, self.observed(model)

    def _equalised(
        self, made: Callable[[], tuple[ir.Model, Observations]], method: str
    ) -> CalibratedGraph:
        model, seen = made()
        return self.prepared(model, seen, method)

    def corrected(self, before: CalibratedGraph) -> CalibratedGraph:
        """A candidate with corrected biases, and the same ranges."""
        model = before.model.clone()
        step = max(1, before.calibration.images // CORRECTING_IMAGES)
        batches = islice(self.held_in(), 0, None, step)
        correct(model, self.quantized(before), batches, threads=self.threads)
        return replace(before, model=model)

    def quantized(self, prepared: CalibratedGraph) -> ir.Model:
        """A candidate as it would be deployed."""
        model = prepared.model.clone()
        self.dialect.convert(model, prepared.calibration.ranges)
        return model

    def logits(self, model: bytes) -> NDArray[np.float32]:
        """All outputs for each held-out image, in one row, by ONNX Runtime."""
        batches = () if self.held_out is None else self.held_out()
        with onnxruntime_runtime.load(model, threads=self.threads) as session:
            outputs = [session.run_all(batch).values() for batch in batches]
        return np.concatenate([_rows(each) for each in outputs])

    def agreement(self, logits: NDArray[np.float32]) -> float | None:
        """The share of the decisions on held-out images that are the same as in FP32."""
        return None if self.activation is None else self.activation.agreement(self.expected, logits)

    def attempt(self, name: str, prepare: Callable[[], CalibratedGraph]) -> CalibratedGraph | None:
        """Make a candidate, compare it, and keep it when better; None where it is refused."""
        if self.progress is not None:
            self.progress(name)
        start = time.perf_counter()
        try:
            prepared = prepare()
            model = self.quantized(prepared)
        except ConversionError as error:
            row = Trial(name, None, None, time.perf_counter() - start, refused=str(error))
            self.rows.append(row)
            return None
        logits = self.logits(self.dialect.serialize(model))
        row = Trial(
            name,
            agreement=self.agreement(logits),
            sqnr_db=numerics.compare(self.expected, logits).sqnr_db,
            seconds=time.perf_counter() - start,
        )
        self.rows.append(row)
        if better(row, self.best):
            self.best, self._kept = row, prepared
        return prepared


def _rows(outputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([each.reshape(len(each), -1) for each in outputs], axis=1)
