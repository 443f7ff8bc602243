"""Trials: candidates of the calibration search, compared on held-out images.

    candidate ─► quantize ─► held-out logits ─► agreement and SQNR ─► the best so far

Candidates are compared with the folded FP32 graph: share of equal decisions, then SQNR of the
logits in dB. A candidate replaces the best so far when it agrees on no fewer images and its SQNR is
at least 0.1 dB higher; or when it agrees on more and its SQNR is less than 0.1 dB lower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization.calibrate import Calibration
from resnet_convert.quantization.rewrites.equalize import Scales
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

GAIN_DB = 0.1
BESIDE = 4  # candidates at once, at most: each holds a graph and a session
Batches = Callable[[], Iterable[NDArray[Any]]]


@dataclass(frozen=True)
class Trial:
    """One candidate: share of equal decisions in [0, 1], SQNR of the logits, and its own time.

    `seconds` leaves out the passes that candidates share. `agreement` is None for a network that
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
    `scales` is what equalisation divided the channels of tensors by.
    """

    model: ir.Model
    calibration: Calibration
    reference: ir.Model
    scales: Scales = field(default_factory=dict)


# Its name, and what makes it with so many threads.
Candidate = tuple[str, Callable[[int], CalibratedGraph]]


def better(candidate: Trial, kept: Trial | None) -> bool:
    """Whether a candidate replaces the best so far.

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
class Bench:
    """Compares candidates with a folded FP32 graph; the rows so far, and the best candidate.

    `ready` gives a candidate as it would be deployed, as bytes for ONNX Runtime on this CPU; it
    raises `ConversionError` for one that cannot be. `held_out()` starts a new pass over the images
    that candidates are compared on. `progress` is called with the name of each that was.
    `activation` says what is decided; where it is None, the SQNR of the outputs alone counts.
    """

    folded: ir.Model
    ready: Callable[[CalibratedGraph], bytes]
    held_out: Batches
    threads: int
    progress: Callable[[str], None] | None = None
    activation: Activation | None = SOFTMAX
    rows: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    _kept: CalibratedGraph | None = None

    @cached_property
    def expected(self) -> NDArray[np.float32]:
        """The outputs of the FP32 graph."""
        return self._logits(serialize(self.folded), self.threads)

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

    def attempt(
        self, groups: Iterable[Sequence[Candidate]]
    ) -> list[tuple[Trial, CalibratedGraph | None]]:
        """Make candidates, compare them, and keep what is better, in their order.

        Groups are tried beside each other, each on its share of the threads: one is in the runtime
        while Python prepares another. Refused candidates have no graph.
        """
        groups, expected = list(groups), self.expected
        beside = min(self.threads, len(groups), BESIDE)
        found: list[tuple[Trial, CalibratedGraph | None]] = []
        tried = partial(self._tried, expected=expected, threads=self.threads // beside)
        with ThreadPoolExecutor(beside) as pool:
            for each in pool.map(tried, groups):
                for row, prepared in each:
                    if self.progress is not None:
                        self.progress(row.name)
                    self.rows.append(row)
                    if prepared is not None and better(row, self.best):
                        self.best, self._kept = row, prepared
                    found.append((row, prepared))
        return found

    def _tried(
        self, group: Sequence[Candidate], expected: NDArray[np.float32], threads: int
    ) -> list[tuple[Trial, CalibratedGraph | None]]:
        return [self._judged(name, prepare, expected, threads) for name, prepare in group]

    def _judged(
        self,
        name: str,
        prepare: Callable[[int], CalibratedGraph],
        expected: NDArray[np.float32],
        threads: int,
    ) -> tuple[Trial, CalibratedGraph | None]:
        start = time.perf_counter()
        try:
            prepared = prepare(threads)
            model = self.ready(prepared)
        except ConversionError as error:
            seconds = time.perf_counter() - start
            return Trial(name, None, None, seconds, refused=str(error)), None
        logits = self._logits(model, threads)
        decided = self.activation
        row = Trial(
            name,
            agreement=None if decided is None else decided.agreement(expected, logits),
            sqnr_db=numerics.compare(expected, logits).sqnr_db,
            seconds=time.perf_counter() - start,
        )
        return row, prepared

    def _logits(self, model: bytes, threads: int) -> NDArray[np.float32]:
        """All outputs for each held-out image, in one row, by ONNX Runtime."""
        with onnxruntime_runtime.load(model, threads=threads) as session:
            outputs = [session.run_all(batch).values() for batch in self.held_out()]
        return np.concatenate([_rows(each) for each in outputs])


def _rows(outputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([each.reshape(len(each), -1) for each in outputs], axis=1)
