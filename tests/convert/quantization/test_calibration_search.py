"""CalibrationSearch: what is tried, who judges, and what it takes to replace minmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized import Graphs, array, normal, residual
from this_cpu import U8

from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.quantization import calibration_search
from resnet_convert.quantization.calibrate import observe_histograms, observe_rescaled
from resnet_convert.quantization.calibration_search import ACROSS_BLOCKS, choose, quantized, split
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.dialects import S8S8, Dialect
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.rewrites.bias_correction import mean_responses
from resnet_convert.quantization.rewrites.equalize import Equalization, equalize
from resnet_convert.quantization.rewrites.streams import equalize_streams
from resnet_convert.quantization.trials import Trial, better
from resnet_serve.datasets import pixel_batches
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights

DIALECTS = pytest.mark.parametrize("dialect", [U8, S8S8], ids=["u8s8", "s8"])


def images(count: int, seed: int) -> NDArray[np.float32]:
    return normal(count, 4, 6, 6, seed=seed)


class Passes:
    """Batches that count how often they were started."""

    def __init__(self, *batches: NDArray[np.float32]) -> None:
        self.batches, self.started = batches, 0

    def __call__(self) -> Iterator[NDArray[np.float32]]:
        self.started += 1
        yield from self.batches


@given(count=st.integers(1, 300))
def test_the_split_is_disjoint_and_complete(count: int) -> None:
    held_in, held_out = split(SyntheticImages(count))
    names = [held_in.name_of(index) for index in range(len(held_in))]
    if count < 16:
        assert held_out is None
        assert len(names) == count
        return
    assert held_out is not None
    judges = [held_out.name_of(index) for index in range(len(held_out))]
    assert set(names).isdisjoint(judges)
    assert len(names) + len(judges) == count
    assert len(judges) == count // 4


@DIALECTS
def test_every_candidate_is_tried_and_the_table_says_which_was_kept(
    graph: Graphs, dialect: Dialect
) -> None:
    model = residual(graph)
    before = serialize(model)
    told: list[str] = []
    held_in, held_out = Passes(images(32, 1), images(16, 2)), Passes(images(16, 3))
    found = choose(model, dialect, held_in, held_out, threads=1, progress=told.append)
    names = [row.name for row in found.rows]
    assert names[: len(METHODS)] == list(METHODS)
    best = names[len(METHODS)].removesuffix(", equalised")
    across = [f"{each}, {ACROSS_BLOCKS}" for each in dict.fromkeys((best, "minmax"))]
    equalised = [f"{best}, equalised", *across]
    assert names[len(METHODS) : -1] == [*equalised, f"{best}, bias corrected"]
    assert names[-1] in [f"{each}, bias corrected" for each in equalised]
    assert told == names
    assert sum(row.chosen for row in found.rows) == 1
    assert (found.images, found.held_out, found.untested) == (48, 16, False)
    assert held_in.started == 1 + 1 + 2, "for all ranges, all means, and each correction"
    assert serialize(model) == before
    kept: Trial | None = None
    for row in found.rows:
        kept = row if better(row, kept) else kept
    assert found.chosen is kept


def test_beside_each_other_candidates_are_the_same(graph: Graphs) -> None:
    """On several threads, with and without a few values that stretch the ranges."""
    for bright in (1, 100):
        calibrating = images(48, 1)
        calibrating[7] *= bright
        alone, beside = (
            choose(residual(graph), U8, Passes(calibrating), Passes(images(16, 3)), threads=threads)
            for threads in (1, 4)
        )
        numbers = [
            [(row.name, row.agreement, row.sqnr_db, row.chosen) for row in found.rows]
            for found in (alone, beside)
        ]
        assert numbers[0] == numbers[1]
        assert serialize(alone.kept.model) == serialize(beside.kept.model)
        assert alone.kept.calibration == beside.kept.calibration


@DIALECTS
def test_what_is_kept_is_what_was_judged(graph: Graphs, dialect: Dialect) -> None:
    """Quantizing the kept graph with the kept ranges gives the numbers in the table."""
    model, judges = residual(graph), images(16, 3)
    found = choose(model, dialect, Passes(images(48, 1)), Passes(judges), threads=1)
    with onnxruntime_runtime.load(serialize(model), threads=1) as session:
        expected = session.run(judges)
    ready = found.kept.model.clone()
    dialect.convert(ready, found.kept.calibration.ranges)
    with onnxruntime_runtime.load(dialect.serialize(ready), threads=1) as session:
        logits = session.run(judges)
    assert numerics.compare(expected, logits).sqnr_db == pytest.approx(found.chosen.sqnr_db)
    assert found.chosen.agreement == (expected.argmax(1) == logits.argmax(1)).mean()
    with onnxruntime_runtime.load(serialize(found.kept.reference), threads=1) as session:
        np.testing.assert_allclose(session.run(judges), expected, atol=1e-4)


def test_an_outlier_makes_minmax_lose(graph: Graphs) -> None:
    """One calibration image in 48 is a hundred times too bright: its range is for nobody else."""
    bright = images(48, 1)
    bright[7] *= 100
    found = choose(residual(graph), U8, Passes(bright), Passes(images(16, 3)), threads=1)
    rows = {each.name: each for each in found.rows}
    assert found.kept.calibration.method != "minmax"
    assert (found.chosen.sqnr_db or 0) > (rows["minmax"].sqnr_db or 0) + 6


def test_too_few_images_mean_minmax_and_say_so(graph: Graphs) -> None:
    found = choose(residual(graph), U8, Passes(images(15, 1)), None, threads=1)
    assert found.untested
    assert found.rows == (Trial("minmax", None, None, 0.0, chosen=True),)
    assert found.kept.calibration.method == "minmax"
    assert found.kept.calibration.images == 15


def test_a_candidate_that_cannot_be_made_is_listed_with_its_reason(graph: Graphs) -> None:
    """As where a range is so wide that FP16 has no scale for it, until it is cut."""
    bright = images(48, 1)
    bright[7] *= 100

    def picky(model: ir.Model, ranges: Mapping[str, Range], *_: str, **keep: Any) -> Quantization:
        if ranges["image"].high >= bright.max():
            raise ConversionError("too wide", where="image")
        return U8.quantize(model, ranges, **keep)

    dialect = replace(U8, quantize=picky)
    found = choose(residual(graph), dialect, Passes(bright), Passes(images(16, 3)), threads=1)
    refused = {each.name: each.refused for each in found.rows if each.refused}
    assert refused["minmax"] == "image: too wide"
    assert found.chosen.refused is None
    assert found.rows[0].to_json()["refused"] == "image: too wide"


def test_a_graph_that_cannot_be_equalised_is_still_calibrated(
    graph: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: ir.Model) -> Equalization:
        raise ConversionError("its weights are shared", where="conv1")

    monkeypatch.setattr(calibration_search, "equalize", never)
    held_out = Passes(images(16, 3))
    found = choose(residual(graph), U8, Passes(images(48, 1)), held_out, threads=1)
    refused = {each.name: each.refused for each in found.rows if each.refused}
    assert list(refused.values()) == ["conv1: its weights are shared"]
    assert next(iter(refused)).endswith(", equalised")


@DIALECTS
def test_ranges_of_equalised_graphs_are_those_of_running_them(
    graph: Graphs, dialect: Dialect
) -> None:
    """They come from the values of the graph that was not equalised, divided."""
    model, batches = residual(graph), [images(16, seed) for seed in range(3)]
    names = dialect.activations(model)
    rewritten = [model.clone(), model.clone()]
    scales = [equalize(rewritten[0]).scales, equalize_streams(rewritten[1]).scales]
    assert all(scales)
    found = observe_rescaled(model, names, scales, batches, threads=2)
    for each, expected in zip(found, (model, *rewritten), strict=True):
        run = observe_histograms(expected, names, batches, threads=1)
        assert each.images == run.images == 48
        for method in METHODS:
            ours = each.calibration(method, symmetric=dialect.symmetric).ranges
            theirs = run.calibration(method, symmetric=dialect.symmetric).ranges
            assert ours.keys() == theirs.keys()
            for name, known in theirs.items():
                width = each.histograms[name].width
                assert ours[name].low == pytest.approx(known.low, abs=2 * width), (method, name)
                assert ours[name].high == pytest.approx(known.high, abs=2 * width), (method, name)


@DIALECTS
def test_biases_of_equalised_graphs_are_corrected_as_if_they_were_run(
    graph: Graphs, dialect: Dialect
) -> None:
    batches = [images(16, seed) for seed in range(3)]
    tries = calibration_search._Tries(residual(graph), dialect, Passes(*batches), 1)
    for ((_, prepare),) in tries.equalised("percentile-99.9"):
        before = prepare(1)
        expected = before.model.clone()
        means = mean_responses(before.model, batches, threads=1)
        calibration_search.correct(expected, quantized(before, dialect), batches, means, threads=1)
        ((_, corrected),) = tries.correction("equalised", before)[0]
        found = corrected(1).model
        for number in range(1, 8):
            bias = array(expected, f"b{number}")
            assert not np.allclose(bias, array(before.model, f"b{number}"), atol=1e-4)
            np.testing.assert_allclose(array(found, f"b{number}"), bias, atol=1e-5)


def test_where_nothing_can_be_made_the_first_reason_is_given(graph: Graphs) -> None:
    def never(*_: object, **__: object) -> Quantization:
        raise ConversionError("cannot", where="conv1")

    dialect = replace(U8, quantize=never)
    with pytest.raises(ConversionError, match="no calibration method") as refusal:
        choose(residual(graph), dialect, Passes(images(32, 1)), Passes(images(16, 3)), threads=1)
    assert "conv1: cannot" in str(refusal.value)


@DIALECTS
def test_the_digits_network_gains_on_images_nobody_judged_with(
    folded_digits: ir.Model, digits: Weights, dialect: Dialect
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    inner, outer = split(spread(Digits(held_out=False), 64))
    assert outer is not None
    found = choose(
        folded_digits,
        dialect,
        lambda: pixel_batches(inner, digits.preprocessing, 16),
        lambda: pixel_batches(outer, digits.preprocessing, 16),
        threads=1,
    )
    plain = calibration_search.choose(
        folded_digits,
        dialect,
        lambda: pixel_batches(inner, digits.preprocessing, 16),
        None,
        threads=1,
    )
    test = np.concatenate(
        list(pixel_batches(spread(Digits(held_out=True), 100), digits.preprocessing, 50))
    )
    with onnxruntime_runtime.load(serialize(folded_digits), threads=1) as session:
        expected = session.run(test)
    sqnr_db = []
    for each in (plain, found):
        dialect.convert(each.kept.model, each.kept.calibration.ranges)
        with onnxruntime_runtime.load(dialect.serialize(each.kept.model), threads=1) as session:
            logits = session.run(test)
        assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.99
        sqnr_db.append(numerics.compare(expected, logits).sqnr_db)
    assert sqnr_db[1] > sqnr_db[0] + 1.5


def test_biases_are_corrected_over_some_of_many_images(
    graph: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration_search, "CORRECTING_IMAGES", 16)
    taken: list[NDArray[np.float32]] = []

    class Watched(Passes):
        def __call__(self) -> Iterator[NDArray[np.float32]]:
            for batch in super().__call__():
                taken.append(batch)
                yield batch

    parts = [images(4, seed) for seed in range(12)]
    model = residual(graph)
    tries = calibration_search._Tries(model, U8, Watched(*parts), 1)
    ((_, prepare),) = tries.plain()[0]
    before = prepare(1)
    expected = model.clone()
    means = mean_responses(model, parts[::3], threads=1)
    calibration_search.correct(expected, quantized(before, U8), parts[::3], means, threads=1)
    ((_, corrected),) = tries.correction("minmax", before)[0]
    assert serialize(corrected(1).model) == serialize(expected)
    assert len(taken) == 3 * len(parts)
