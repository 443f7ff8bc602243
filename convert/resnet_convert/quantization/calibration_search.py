"""Calibration search: the method whose ranges lose least, measured on held-out images.

    folded ─► (equalise) ─► (correct biases) ─► ranges by a method ─► quantize ─► held-out logits

1. Three of four calibration images give the ranges, every fourth judges them (`split`).
2. Every method of `clipping.METHODS` is tried from one pass over the first; then the best of them
   with cross-layer equalisation, with bias correction, and with both. Biases are corrected over
   about 128 images, evenly chosen: a mean needs no more, and every layer has to run in FP32 too.
3. The judge is the folded FP32 graph: share of equal decisions, then SQNR of the logits in dB.
   A candidate replaces the kept one, minmax at first, when it agrees on no fewer images and its
   SQNR is at least 0.1 dB higher; or when it agrees on more and its SQNR is less than 0.1 dB lower.
4. Under 16 images nothing is held out or tried: minmax it is, and the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization.bias_correction import correct
from resnet_convert.quantization.calibrate import Calibration, Observations, observe_histograms
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.dialects import Dialect
from resnet_convert.quantization.equalize import equalize
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
Batches = Callable[[], Iterable[NDArray[Any]]]
Told = Callable[[str], None] | None


@dataclass(frozen=True)
class Trial:
    """One candidate: share of equal decisions in [0, 1], SQNR of the logits, and its own time.

    `seconds` leaves out the pass that all methods share. Agreement is None of what decides nothing;
    agreement and SQNR are None without held-out images, or where the candidate could not be made:
    `refused` says why.
    """

    name: str
    agreement: float | None
    sqnr_db: float | None
    seconds: float
    chosen: bool = False
    refused: str | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class CalibratedGraph:
    """A folded FP32 graph ready to be quantized with these ranges.

    `reference` is what its layers are to be compared with: the same but for corrected biases.
    """

    model: ir.Model
    calibration: Calibration
    reference: ir.Model


@dataclass(frozen=True)
class CalibrationSearch:
    """What was tried, in order, on how many images, and what was kept."""

    rows: tuple[Trial, ...]
    kept: CalibratedGraph
    images: int
    held_out: int

    @property
    def chosen(self) -> Trial:
        return next(row for row in self.rows if row.chosen)

    @property
    def untested(self) -> bool:
        """Too few images to hold any out: nothing but minmax was made."""
        return not self.held_out


def split(images: Images) -> tuple[Images, Images | None]:
    """The images to calibrate with, and every fourth of the list, to judge with, if there are 16.

    The two share no position of the list.
    """
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
    progress: Told = None,
    decides: bool = True,
) -> CalibrationSearch:
    """Try the candidates on a folded FP32 graph, which is left as it is.

    `held_in()` and `held_out()` start a new pass over batches of the graph's input; the first is
    read once for all methods, and once more whenever a graph is equalised or corrected.
    `progress` is told the name of the candidate under way. What `decides` nothing, as features,
    is judged by the SQNR of its outputs alone.
    """
    bench = _Bench(folded.clone(), dialect, held_in, held_out, threads, progress, decides)
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
    even = bench.attempt(f"{method}, equalised", lambda: bench.equalised(method))
    bench.attempt(f"{method}, bias corrected", lambda: bench.corrected(plain))
    if even is not None:
        bench.attempt(f"{method}, equalised, bias corrected", lambda: bench.corrected(even))
    rows = tuple(replace(row, chosen=row is bench.best) for row in bench.rows)
    return CalibrationSearch(rows, bench.kept, seen.images, len(bench.expected))


def better(candidate: Trial, kept: Trial | None) -> bool:
    """Rule 3; a candidate that was refused, or gave numbers that are not finite, never is."""
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
    """What judges the candidates of one `choose`, their rows so far, and the one that is kept."""

    folded: ir.Model
    dialect: Dialect
    held_in: Batches
    held_out: Batches | None
    threads: int
    progress: Told
    decides: bool = True
    expected: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    rows: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    _kept: CalibratedGraph | None = None

    @property
    def kept(self) -> CalibratedGraph:
        if self._kept is None:
            reason = self.rows[0].refused or "its logits are not finite"
            raise ConversionError(
                f"no calibration method gives a network that can be used ({reason})",
                where="calibrate",
                remedy="Use --precision fp16 or fp32 for this network.",
            )
        return self._kept

    def observed(self, model: ir.Model) -> Observations:
        return observe_histograms(
            model, self.dialect.activations(model), self.held_in(), threads=self.threads
        )

    def prepared(self, model: ir.Model, seen: Observations, method: str) -> CalibratedGraph:
        calibration = seen.calibration(method, symmetric=self.dialect.symmetric)
        return CalibratedGraph(model, calibration, reference=model)

    def equalised(self, method: str) -> CalibratedGraph:
        model = self.folded.clone()
        equalize(model)
        return self.prepared(model, self.observed(model), method)

    def corrected(self, before: CalibratedGraph) -> CalibratedGraph:
        model = before.model.clone()
        step = max(1, before.calibration.images // CORRECTING_IMAGES)
        batches = islice(self.held_in(), 0, None, step)
        correct(model, self.quantized(before), batches, threads=self.threads)
        return replace(before, model=model)

    def quantized(self, prepared: CalibratedGraph) -> ir.Model:
        model = prepared.model.clone()
        self.dialect.convert(model, prepared.calibration.ranges)
        return model

    def logits(self, model: bytes) -> NDArray[np.float32]:
        """Of the held-out images, by ONNX Runtime; all outputs of one image in one row."""
        batches = () if self.held_out is None else self.held_out()
        with onnxruntime_runtime.load(model, threads=self.threads) as session:
            answers = [session.run_all(batch).values() for batch in batches]
        return np.concatenate([_rows(each) for each in answers])

    def agreement(self, logits: NDArray[np.float32]) -> float | None:
        if not self.decides:
            return None
        return float((logits.argmax(axis=1) == self.expected.argmax(axis=1)).mean())

    def attempt(self, name: str, prepare: Callable[[], CalibratedGraph]) -> CalibratedGraph | None:
        """Make a candidate, judge it, and keep it when it is better; None where it is refused."""
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
