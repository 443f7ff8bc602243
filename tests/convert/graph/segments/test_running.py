"""Running: the values of the whole graph, in a memory that depth and images do not change."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from chains import chain
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize_with_outputs
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.segments import cutting, running
from resnet_convert.graph.segments.cutting import Segment, cut
from resnet_convert.graph.segments.running import loaded, run, summarise, walk
from resnet_convert.parity import layers
from resnet_convert.quantization.calibrate import observe, observe_histograms
from resnet_convert.quantization.u8s8 import activations
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights

Shown = dict[str, NDArray[Any]]


def shown_by_walk(model: ir.Model, names: tuple[str, ...], batch: NDArray[Any]) -> Shown:
    found: Shown = {}
    with walk(model, names, threads=1) as walked:
        for seen in walked.run(batch):
            assert not set(seen.shown) & set(found), "every tensor is shown once"
            found |= seen.shown
    return found


@pytest.mark.parametrize("tensors", [1, 5, 1000])
def test_every_value_is_that_of_the_whole_graph_to_the_bit(
    tensors: int,
    folded_digits: ir.Model,
    digits: Weights,
    digits_pixels: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    names = activations(folded_digits)
    image = str(folded_digits.graph.inputs[0].name)
    batch = digits_pixels[:4]
    with onnxruntime_runtime.load(serialize_with_outputs(folded_digits, names), threads=1) as whole:
        expected = {image: batch} | whole.run_all(batch)
    monkeypatch.setattr(cutting, "TENSORS", tensors)
    assert (len(cut(folded_digits, names)) == 1) == (tensors == 1000)
    found = shown_by_walk(folded_digits, names, batch)
    assert set(found) == set(names)
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_batches_side_by_side_are_those_one_after_another(
    threads: int, graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "TENSORS", 1)
    model, names = chain(graph, 3), ("r0", "x1", "x3")
    batches = [np.full((size, 2, 4, 4), size, np.float32) for size in range(1, 12)]
    found = list(
        summarise(
            model, names, iter(batches), lambda _name, value, _: value.copy(), threads=threads
        )
    )
    assert [size for size, _ in found] == list(range(1, 12))
    numbers = summarise(
        model, names, iter(batches), lambda _name, _, number: number, threads=threads
    )
    assert [set(each.values()) for _, each in numbers] == [{number} for number in range(11)]
    for batch, (_, values) in zip(batches, found, strict=True):
        expected = shown_by_walk(model, names, batch)
        assert set(values) == set(names)
        for name in names:
            np.testing.assert_array_equal(values[name], expected[name])


@pytest.mark.parametrize(("threads", "each"), [(1, [1]), (3, [1]), (7, [1]), (9, [2] * 4)])
def test_batches_of_one_thread_each_run_in_the_same_session(
    threads: int,
    each: list[int],
    graph: Callable[..., ir.Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[int] = []

    def counted(part: Segment, *, threads: int) -> onnxruntime_runtime.OnnxRuntimeModel:
        opened.append(threads)
        return loaded(part, threads=threads)

    monkeypatch.setattr(running, "loaded", counted)
    batches = [np.full((1, 2, 4, 4), value, np.float32) for value in range(20)]
    found = summarise(
        chain(graph, 1), ["x1"], batches, lambda _name, value, _: value.copy(), threads=threads
    )
    assert [values["x1"].shape for _, values in found] == [(1, 2, 4, 4)] * 20
    assert opened == each


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_batch_or_between_them_ends_the_summaries(
    threads: int, graph: Callable[..., ir.Model]
) -> None:
    def summary(_name: str, value: NDArray[Any], _: int) -> float:
        if len(value) == 3:
            raise ValueError("three")
        return 0.0

    def given(last: int) -> Iterator[NDArray[np.float32]]:
        for size in range(1, last):
            yield np.ones((size, 2, 4, 4), np.float32)
        raise OSError("no more")

    for last, error in ((9, ValueError), (3, OSError)):
        with pytest.raises(error):
            list(summarise(chain(graph, 1), ["x1"], given(last), summary, threads=threads))


def test_what_is_needed_later_is_carried_through(
    graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = graph(
        """(float[N,2] image) => (float[N,2] d) {
            [a] a = Neg (image)
            [b] b = Abs (image)
            [c] c = Exp (b)
            [d] d = Add (c, a)
        }"""
    )
    monkeypatch.setattr(cutting, "TENSORS", 1)
    given = [set(segment.given) for segment in cut(model, "abcd")]
    assert given == [{"image"}, {"image", "a"}, {"a", "b"}, {"a", "c"}]
    batch = np.float32([[1, -2]])
    found = shown_by_walk(model, ("a", "b", "c", "d", "image"), batch)
    np.testing.assert_array_equal(found["d"], found["c"] - batch)


def images(count: int) -> Iterator[NDArray[np.float32]]:
    for seed in range(count):
        yield np.random.default_rng(seed).normal(size=(1, 2, 4, 4)).astype(np.float32)


class Alive:
    """Counts the bytes of the arrays that runs have returned and nobody has let go of."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def watched(self, run: Callable[..., Shown]) -> Callable[..., Shown]:
        def counted(*given: Any) -> Shown:
            found = run(*given)
            for value in found.values():
                self.now += value.nbytes
                weakref.finalize(value, self._gone, value.nbytes)
            self.peak = max(self.peak, self.now)
            return found

        return counted

    def _gone(self, size_bytes: int) -> None:
        self.now -= size_bytes


@pytest.mark.parametrize("look", ["ranges", "histograms", "layers"])
def test_activations_take_the_same_memory_for_more_images_and_more_layers(
    look: str, graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "TENSORS", 8)

    def peak(blocks: int, count: int) -> int:
        model = chain(graph, blocks)
        names = [str(value.name) for node in model.graph for value in node.outputs]
        alive = Alive()
        with monkeypatch.context() as patch:
            watched = alive.watched(run)
            patch.setattr(running, "run", watched)
            patch.setattr(layers, "run", watched)
            if look == "layers":
                layers.inspect(model, model, images(count), threads=1)
            else:
                observed = observe if look == "ranges" else observe_histograms
                observed(model, names, images(count), threads=1)
        assert alive.now == 0
        return alive.peak

    least = peak(24, 1)
    assert least > 0
    assert peak(24, 8) == least
    assert peak(96, 1) == least
