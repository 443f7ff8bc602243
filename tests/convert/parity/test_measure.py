"""Both networks over the same images: what is fed to whom, and what is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from resnet_convert.parity.measure import BATCH_SIZE, SINGLES, Measurements

from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.parity import measure
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.parity.latency import Latency
from resnet_serve.runtimes import RunnableModel, onnxruntime
from resnet_serve.weights import Weights


class Told(Silent):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def advance(self, done: int, total: int) -> None:
        self.steps.append((done, total))


@pytest.fixture
def measured(digits: Weights, folded_digits: ir.Model) -> Callable[..., tuple[Measurements, Told]]:
    def decide(images: Any, largest_batch: int = BATCH_SIZE) -> tuple[Measurements, Told]:
        take_pixels(folded_digits, digits.preprocessing)
        told = Told()
        data = serialize(folded_digits)
        with onnxruntime.load(data, threads=1) as converted:
            found = measure.decisions(
                measure.reference(digits.network(), digits, images, 1),
                converted,
                images,
                lambda pixels: pixels,
                told,
                runtime="onnxruntime",
                compiled=onnxruntime.compiled(data).operators,
                largest_batch=largest_batch,
            )
        return found, told

    return decide


def test_logits_are_those_of_both_networks(
    measured: Callable[..., tuple[Measurements, Told]], digits: Weights
) -> None:
    images = spread(Digits(held_out=True), 20)
    found, told = measured(images)
    pixels = np.stack([digits.preprocessing.pixels(images.image(i)) for i in range(20)])
    with torch.inference_mode():
        planes = torch.from_numpy(digits.preprocessing.normalize(pixels))
        expected = digits.network()(planes).numpy()
    np.testing.assert_allclose(found.reference_logits, expected, atol=1e-5)
    np.testing.assert_allclose(found.converted_logits, expected, atol=1e-4)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, images.labels)
    assert set(found.numerics) == {1, BATCH_SIZE}
    assert [found.numerics[size].images for size in (1, BATCH_SIZE)] == [SINGLES, 20]
    assert found.decisions.images == 20
    assert found.decisions.labelled
    assert found.images_sha256 == images.digest()
    assert told.steps == [(8, 20), (16, 20), (20, 20)]


def test_fewer_images_than_a_batch(measured: Callable[..., tuple[Measurements, Told]]) -> None:
    found, told = measured(SyntheticImages(3, side=32))
    assert (len(found.reference_logits), told.steps) == (3, [(3, 3)])
    assert found.numerics[1].images == 3
    assert not found.decisions.labelled


@pytest.mark.parametrize("taken", ["uint8", "float32"])
def test_inputs_are_as_the_graph_takes_them(digits: Weights, taken: str) -> None:
    images = SyntheticImages(5, side=32)
    request = Request("resnet20", input=taken)
    batches = list(measure.inputs(images, digits, request, size=4))
    assert [len(batch) for batch in batches] == [4, 1]
    pixels = np.stack([digits.preprocessing.pixels(images.image(i)) for i in range(5)])
    expected = pixels if taken == "uint8" else digits.preprocessing.normalize(pixels)
    found = np.concatenate(batches)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_latencies_of_both_in_turn(
    measured: Callable[..., tuple[Measurements, Told]],
    digits: Weights,
    folded_digits: ir.Model,
    quick: None,
) -> None:
    found, _ = measured(SyntheticImages(1, side=32))
    request = Request("resnet20")
    data = serialize(folded_digits)
    with onnxruntime.load(data, threads=1) as converted:
        timed = measure.latencies(found, digits.network(), converted, digits, request, 1)
    assert (found.latencies, found.speedup) == ({}, None)
    assert set(timed.latencies) == {"pytorch", "onnxruntime"}
    theirs, ours = (timed.latencies[name] for name in ("pytorch", "onnxruntime"))
    assert theirs.median_ms > 0
    assert len(theirs.samples_ms) == len(ours.samples_ms)
    assert timed.reference_on == "CPU"


def test_an_engine_times_itself(
    measured: Callable[..., tuple[Measurements, Told]], digits: Weights, quick: None
) -> None:
    found, _ = measured(SyntheticImages(1, side=32))

    class Engine(RunnableModel):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            return np.zeros((len(batch), 10), np.float32)

        def timed(self, batch: NDArray[Any]) -> float:
            return 0.25

        def describe(self) -> dict[str, object]:
            return {}

        def close(self) -> None: ...

    found = replace(found, runtime="tensorrt")
    request = Request("resnet20", target="tensorrt")
    timed = measure.latencies(found, digits.network(), Engine(), digits, request, 1)
    assert set(timed.latencies["tensorrt"].samples_ms) == {0.25}
    assert any("timed against the CPU" in line for line in timed.warnings("fp16"))


@pytest.mark.parametrize(("largest", "compared"), [(2, {1: 5, 2: 5}), (1, {1: 5})])
def test_an_engine_of_small_batches_gets_small_batches(
    measured: Callable[..., tuple[Measurements, Told]], largest: int, compared: dict[int, int]
) -> None:
    found, _ = measured(SyntheticImages(5, side=32), largest_batch=largest)
    assert {size: n.images for size, n in found.numerics.items()} == compared
    assert found.converted_logits.shape == (5, 10)


def times(*milliseconds: float) -> Latency:
    return Latency(1, milliseconds * 10)


def with_times(found: Measurements, reference: Latency, converted: Latency) -> Measurements:
    return replace(found, latencies={"pytorch": reference, "onnxruntime": converted})


def test_what_the_numbers_say_against_a_precision(
    measured: Callable[..., tuple[Measurements, Told]],
) -> None:
    found, _ = measured(SyntheticImages(1, side=32))
    fast = with_times(found, times(4.0), times(2.0))
    assert fast.warnings("fp32") == []
    assert any("smaller, not faster" in line for line in fast.warnings("fp16"))
    slow = with_times(found, times(2.0), times(4.0))
    assert any("slower than PyTorch here (0.50×)" in line for line in slow.warnings("fp32"))


def test_nan_is_not_agreement(
    measured: Callable[..., tuple[Measurements, Told]], folded_digits: ir.Model
) -> None:
    constant = folded_digits.graph.initializers["fc.bias"]
    broken: NDArray[np.float32] = constant.const_value.numpy().copy()
    broken[3] = np.nan
    constant.const_value = ir.tensor(broken, name="fc.bias")
    found, _ = measured(SyntheticImages(2, side=32))
    assert found.numerics[1].max_abs == math.inf
    assert found.numerics[BATCH_SIZE].cosine == -1
