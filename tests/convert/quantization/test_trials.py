"""Trials: what it takes to replace the best so far, and candidates that cannot be made."""

from __future__ import annotations

import threading

import numpy as np
import onnx_ir as ir
import pytest
from quantized import Graphs, normal, residual
from this_cpu import U8

from resnet_convert.quantization.calibrate import Calibration, observe
from resnet_convert.quantization.calibration_search import quantized
from resnet_convert.quantization.trials import Bench, CalibratedGraph, Trial, better
from resnet_serve.errors import ConversionError


def row(agreement: float | None, sqnr_db: float | None) -> Trial:
    return Trial("some", agreement, sqnr_db, 0.1)


@pytest.mark.parametrize(
    ("candidate", "kept", "expected"),
    [
        (row(0.9, 20), None, True),
        (row(None, None), None, False),
        (row(0.9, -np.inf), None, False),
        (row(0.9, 20.11), row(0.9, 20), True),
        (row(0.9, 20.09), row(0.9, 20), False),
        (row(0.89, 30), row(0.9, 20), False),
        (row(0.91, 19.91), row(0.9, 20), True),
        (row(0.91, 19.89), row(0.9, 20), False),
        (row(None, None), row(0.9, 20), False),
    ],
)
def test_what_replaces_the_kept_one(candidate: Trial, kept: Trial | None, expected: bool) -> None:
    assert better(candidate, kept) is expected


def calibrated(model: ir.Model) -> CalibratedGraph:
    batches = [normal(8, 4, 6, 6, seed=1)]
    found = observe(model, U8.activations(model), batches, threads=1)
    return CalibratedGraph(model, found, reference=model)


def ready(candidate: CalibratedGraph) -> bytes:
    return U8.serialize(quantized(candidate, U8))


def test_groups_run_beside_each_other_and_are_taken_in_their_order(graph: Graphs) -> None:
    model = residual(graph)
    good = calibrated(model)
    half = {
        name: type(each)(each.low / 8, each.high / 8)
        for name, each in good.calibration.ranges.items()
    }
    clipped = CalibratedGraph(model, Calibration(half, 8, "clipped"), reference=model)
    meeting = threading.Barrier(2, timeout=60)
    told: list[str] = []

    def first(threads: int) -> CalibratedGraph:
        meeting.wait()  # until the other group is under way
        assert threads == 1
        return clipped

    def second(threads: int) -> CalibratedGraph:
        meeting.wait()
        return good

    def refused(_: int) -> CalibratedGraph:
        raise ConversionError("cannot", where="conv1")

    bench = Bench(model, ready, lambda: [normal(8, 4, 6, 6, seed=2)], 2, told.append)
    found = bench.attempt([[("clipped", first), ("refused", refused)], [("good", second)]])
    assert told == ["clipped", "refused", "good"] == [row.name for row, _ in found]
    assert [made for _, made in found] == [clipped, None, good]
    assert bench.rows[1].refused == "conv1: cannot"
    assert bench.best is bench.rows[2]
    assert bench.kept is good
    assert (bench.rows[2].sqnr_db or 0) > (bench.rows[0].sqnr_db or 0) + 3


def test_without_a_usable_candidate_the_first_reason_is_given(graph: Graphs) -> None:
    bench = Bench(residual(graph), ready, lambda: [normal(2, 4, 6, 6)], 1)

    def never(_: int) -> CalibratedGraph:
        raise ConversionError("cannot", where="conv1")

    assert bench.attempt([[("minmax", never)]])[0][1] is None
    with pytest.raises(ConversionError, match="conv1: cannot"):
        _ = bench.kept
