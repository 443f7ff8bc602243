"""Ranges: those of numpy over all batches, or a refusal that names the tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize, serialize_with_outputs
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.quantization import calibrate
from resnet_convert.quantization.calibrate import (
    FEW_IMAGES,
    Calibration,
    Observations,
    observe,
    observe_histograms,
)
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.histogram import Histogram
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.u8s8 import activations
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights


@pytest.fixture
def small(graph: Callable[..., ir.Model]) -> ir.Model:
    return graph(
        """(float[N,2,2,2] image) => (float[N,2] y) {
            [half] a = Mul (image, factor)
            [act] b = Relu (a)
            [pool] c = GlobalAveragePool (b)
            [flat] y = Flatten (c)
        }""",
        factor=np.float32(0.5),
    )


def batches(*shapes: int) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(0)
    return [random.normal(0, 3, (n, 2, 2, 2)).astype(np.float32) for n in shapes]


def test_ranges_are_numpys_over_all_batches(small: ir.Model) -> None:
    images = batches(3, 1, 4)
    found = observe(small, ["image", "a", "b", "c"], images, threads=1)
    x = np.concatenate(images)
    relu = np.maximum(x * np.float32(0.5), 0)
    pooled = relu.mean((2, 3), dtype=np.float64)
    assert found.images == 8
    assert list(found.ranges) == ["image", "a", "b", "c"]
    assert found.ranges["image"] == Range(float(x.min()), float(x.max()))
    assert found.ranges["a"] == Range(float(x.min()) / 2, float(x.max()) / 2)
    assert found.ranges["b"] == Range(0.0, float(relu.max()))
    assert found.ranges["c"].low == pytest.approx(pooled.min(), rel=1e-6)
    assert found.ranges["c"].high == pytest.approx(pooled.max(), rel=1e-6)


def test_an_extreme_in_any_batch_counts(small: ir.Model) -> None:
    for position in range(3):
        images = batches(2, 2, 2)
        images[position][1, 0, 1, 1] = 100
        images[position][0, 1, 0, 0] = -200
        assert observe(small, ["image"], images, threads=1).ranges["image"] == Range(-200, 100)


def test_ranges_of_the_real_network_agree_with_a_run_of_everything(
    folded_digits: ir.Model, digits: Weights, digits_pixels: NDArray[np.uint8]
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    names = activations(folded_digits)
    parts = np.array_split(digits_pixels, 5)
    found = observe(folded_digits, names, parts, threads=1)
    with onnxruntime_runtime.load(
        serialize_with_outputs(folded_digits, names), threads=1
    ) as session:
        everything = session.run_all(digits_pixels)
    assert set(found.ranges) == set(names)
    for name, seen in found.ranges.items():
        values = everything[name]
        np.testing.assert_allclose([seen.low, seen.high], [values.min(), values.max()], rtol=1e-5)


def test_the_callers_graph_is_untouched(small: ir.Model) -> None:
    before = serialize(small)
    observe(small, ["a", "b"], batches(2), threads=1)
    serialize_with_outputs(small, ["a", "b", "image", "y"])
    assert serialize(small) == before


def test_images_are_streamed_and_progress_is_told(small: ir.Model) -> None:
    told: list[int] = []
    alive: list[int] = []

    def stream() -> Iterator[NDArray[np.float32]]:
        for batch in batches(2, 2, 3):
            alive.append(len(told))
            yield batch

    observe(small, ["a"], stream(), threads=1, progress=told.append)
    assert told == [2, 4, 7]
    assert alive == [0, 0, 1], "one batch waits while one runs"


@pytest.mark.parametrize("look", [observe, observe_histograms])
def test_no_images_are_refused(small: ir.Model, look: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="calibration images"):
        look(small, ["a"], [], threads=1)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_one_pass_serves_every_method(small: ir.Model, method: str, symmetric: bool) -> None:
    names, images = ["image", "a", "b"], batches(3, 1, 4)
    told: list[int] = []
    seen = observe_histograms(small, names, iter(images), threads=1, progress=told.append)
    assert told == [3, 4, 8]
    found = seen.calibration(method, symmetric=symmetric)
    alone = observe(small, names, images, threads=1, method=method, symmetric=symmetric)
    assert (found.method, found.images) == (method, 8)
    assert found == alone
    assert list(found.ranges) == names
    assert found.ranges["b"].low == 0


def test_histograms_are_those_of_all_values(small: ir.Model) -> None:
    images = batches(3, 1, 4)
    seen = observe_histograms(small, ["image", "b"], images, threads=1)
    whole = Histogram.of(np.concatenate(images))
    np.testing.assert_array_equal(seen.histograms["image"].counts, whole.counts)
    relu = Histogram.of(np.maximum(np.concatenate(images) * np.float32(0.5), 0))
    np.testing.assert_array_equal(seen.histograms["b"].counts, relu.counts)
    assert seen.histograms["b"].zeros == relu.zeros > 0


@pytest.mark.parametrize(("large", "share"), [(2**14, 4), (1, 20)])
def test_a_sample_has_the_ranges_and_the_median_of_all_values(
    small: ir.Model, monkeypatch: pytest.MonkeyPatch, large: int, share: int
) -> None:
    monkeypatch.setattr(calibrate, "LARGE", large)
    images = batches(*[160] * 16)
    images[7][0] *= 40  # of a batch that is not counted
    whole = observe_histograms(small, ["image", "a", "b"], images, threads=1)
    part = observe_histograms(small, ["image", "a", "b"], images, threads=1, sampled=True)
    ranges = [seen.calibration("minmax", symmetric=False) for seen in (whole, part)]
    assert ranges[0] == ranges[1]
    for name, seen in part.histograms.items():
        assert seen.total == pytest.approx(whole.histograms[name].total / share, rel=0.05)
        assert seen.typical == pytest.approx(whole.histograms[name].typical, rel=0.1)
    assert part.heavy_tailed(symmetric=False) == whole.heavy_tailed(symmetric=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    "look", [observe, observe_histograms, partial(observe_histograms, sampled=True)]
)
def test_what_is_not_finite_in_any_batch_is_refused_and_named(
    small: ir.Model, bad: float, position: int, look: Callable[..., object]
) -> None:
    images = batches(2, 2, 2)
    images[position][0, 0, 0, 0] = bad
    with pytest.raises(ConversionError, match="not finite") as refusal:
        look(small, ["image", "a"], images, threads=1)
    assert refusal.value.where == "image"


def test_the_first_tensor_that_overflows_is_named(small: ir.Model) -> None:
    small.graph.initializers["factor"].const_value = ir.tensor(np.float32(1e30), name="factor")
    images = [np.full((1, 2, 2, 2), 1e30, np.float32)]
    with pytest.raises(ConversionError) as refusal:
        observe(small, ["image", "a", "b"], images, threads=1)
    assert refusal.value.where == "a"


def test_few_images_are_flagged() -> None:
    assert Calibration({}, FEW_IMAGES - 1).few
    assert not Calibration({}, FEW_IMAGES).few


def test_calibration_says_how() -> None:
    made: dict[str, Any] = {"ranges": {}, "images": 1}
    assert Calibration(**made).method == "minmax"


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_range_is_heavy_tailed_where_most_values_get_few_steps(symmetric: bool) -> None:
    random = np.random.default_rng(0)
    sound = random.normal(size=100_000).astype(np.float32)
    spiked = sound.copy()
    spiked[::5000] = 300
    channel = np.maximum(sound, 0).reshape(-1, 10)
    channel[:, 3] *= 100
    seen = {"sound": sound, "spiked": spiked, "channel": channel, "zero": np.zeros(9, np.float32)}
    found = Observations({name: Histogram.of(each) for name, each in seen.items()}, 1)
    assert found.heavy_tailed(symmetric=symmetric) == ("spiked", "channel")
