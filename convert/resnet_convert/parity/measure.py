"""Measure a converted model against the reference: logits or features, decisions, latency.

The reference gets the pixels normalised by `Preprocessing.normalize`, the converted model what it
will get when served: so the comparison covers the normalisation that moved into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.parity import accuracy, latency, numerics
from resnet_serve.parity.gate import BUDGETS, Verdict, judge
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import RunnableModel, TimesItself
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    from torch import nn

    from resnet_convert.request import Request
    from resnet_convert.stage_log import Progress

BATCH_SIZE = 8
SINGLES = 8
LATENCY_SECONDS = 3.0
Pair = tuple[NDArray[np.uint8], NDArray[np.float32]]


class Judged(Protocol):
    """What the measured images are called, and their right classes where they are known."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> NDArray[np.int64] | None: ...

    def digest(self) -> str: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Measurements:
    """Logits of both networks over the validation images, and what follows from them.

    `runtime` names who ran the converted model. `latencies` is empty, and `speedup` None, where
    what will be served cannot run on this host. Features are compared batch by batch and not
    kept: where `decisions` is None, there are no logits and no labels.
    """

    images: str
    images_sha256: str
    reference_logits: NDArray[np.float32]
    converted_logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    numerics: dict[int, numerics.Numerics]
    decisions: accuracy.Decisions | None
    runtime: str
    compiled: dict[str, int]
    latencies: dict[str, latency.Latency]
    reference_on: str = "CPU"

    @property
    def count(self) -> int:
        """How many images were compared."""
        return max(found.images for found in self.numerics.values())

    @property
    def likeness(self) -> str:
        """How alike both networks are, in a few words."""
        if self.decisions is not None:
            return str(self.decisions)
        cosine = min(found.cosine for found in self.numerics.values())
        least = min(self.numerics.values(), key=lambda found: found.sqnr_db)
        return f"cosine ≥ {cosine:.5f}, SQNR {least.sqnr_db:.1f} dB ({least.output})"

    @cached_property
    def speedup(self) -> latency.Ratio | None:
        if not self.latencies:
            return None
        return latency.speedup(self.latencies["pytorch"], self.latencies[self.runtime])

    def verdict(self, precision: str, *, trained: bool, of: str = "logits") -> Verdict:
        """What the gate says of them in this precision; `of` as for `judge`."""
        return judge(BUDGETS[precision], self.numerics, self.decisions, trained=trained, of=of)

    def warnings(self, precision: str) -> list[str]:
        """What the numbers say against the chosen precision."""
        found = []
        ratio = self.speedup
        if ratio is not None and ratio.slower:
            found.append(
                f"{precision} is slower than PyTorch here ({ratio.median:.2f}×): "
                "keep another precision for this host"
            )
        if ratio is not None and ratio.high > 1.5 * ratio.low:
            found.append(
                f"the speed-up is anywhere in {ratio.low:.1f}–{ratio.high:.1f}×: "
                "this host is busy; measure again when it is idle"
            )
        if self.runtime == "tensorrt" and self.latencies and self.reference_on == "CPU":
            found.append(
                "this PyTorch has no CUDA: the engine on the GPU was timed against the CPU"
            )
        if self.runtime == "onnxruntime" and precision == "fp16":
            found.append(
                "ONNX Runtime computes FP16 graphs in FP32 on this CPU: smaller, not faster"
            )
        return found


def taken(kind: str, pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[Any]:
    """Pixels as a converted model takes them: as they are ("uint8"), or as normalised planes."""
    return pixels if kind == "uint8" else preprocessing.normalize(pixels)


def noise(
    kind: str, preprocessing: Preprocessing, size: int
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """`size` random images to time with: pixels, and the same as a converted model takes them."""
    shape = (size, *preprocessing.crop, preprocessing.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return pixels, taken(kind, pixels, preprocessing)


def inputs(
    images: Images, loaded: Weights, request: Request, *, size: int = 4
) -> Iterator[NDArray[Any]]:
    """Batches as the converted graph takes them."""
    for pixels in pixel_batches(images, loaded.preprocessing, size):
        yield taken(request.input, pixels, loaded.preprocessing)


def reference(network: nn.Module, loaded: Weights, images: Images, threads: int) -> Iterator[Pair]:
    """Batches of pixels, and PyTorch's logits for them."""
    model = pytorch_runtime.load(network, threads=threads)
    for pixels in pixel_batches(images, loaded.preprocessing, BATCH_SIZE):
        yield pixels, model.run(loaded.preprocessing.normalize(pixels))


def decisions(
    pairs: Iterable[Pair],
    converted: RunnableModel,
    images: Judged,
    give: Callable[[NDArray[np.uint8]], NDArray[Any]],
    progress: Progress,
    *,
    runtime: str,
    compiled: Mapping[str, int],
    largest_batch: int = BATCH_SIZE,
) -> Measurements:
    """Run the converted model over the images, at batch 1 (a few) and batch 8 (all).

    `pairs` are pixels with the reference's logits, `give` turns pixels into the model's input.
    """
    total = len(images)
    theirs: list[NDArray[np.float32]] = []
    ours: list[NDArray[np.float32]] = []
    singles: list[NDArray[np.float32]] = []
    size = min(BATCH_SIZE, largest_batch)
    for pixels, logits in pairs:
        batch = give(pixels)
        theirs.append(logits)
        ours += [converted.run(batch[at : at + size]) for at in range(0, len(batch), size)]
        for index in range(min(SINGLES - len(singles), len(batch))):
            singles.append(converted.run(batch[index : index + 1]))
        progress.advance(sum(map(len, theirs)), total)
    logits, converted_logits = np.concatenate(theirs), np.concatenate(ours)
    labels = None if images.labels is None else images.labels[:total]
    found = {size: numerics.compare(logits, converted_logits)}
    # Last, so that with an engine of batch 1 alone there is one comparison of all the images.
    found = {1: numerics.compare(logits[: len(singles)], np.concatenate(singles)), **found}
    return Measurements(
        images=images.name,
        images_sha256=images.digest(),
        reference_logits=logits,
        converted_logits=converted_logits,
        labels=labels,
        numerics=found,
        decisions=accuracy.decide(logits, converted_logits, labels),
        runtime=runtime,
        compiled=dict(compiled),
        latencies={},
    )


def alike(
    network: nn.Module,
    loaded: Weights,
    converted: RunnableModel,
    images: Images,
    request: Request,
    progress: Progress,
    *,
    threads: int,
    runtime: str,
    compiled: Mapping[str, int],
    pairs: Iterable[Pair] | None = None,
) -> Measurements:
    """Run both over the images: a classifier decides, another head is compared output by output.

    `pairs` are the reference's answers where a classifier's caller has them already.
    """
    largest = request.serving(threads).max_batch_size
    if request.classifies:
        return decisions(
            reference(network, loaded, images, threads) if pairs is None else pairs,
            converted,
            images,
            lambda pixels: taken(request.input, pixels, loaded.preprocessing),
            progress,
            runtime=runtime,
            compiled=compiled,
            largest_batch=largest,
        )
    # A map of a pyramid is megabytes an image: what was compared is not kept.
    theirs = pytorch_runtime.load(network, threads=threads)
    size = min(BATCH_SIZE, largest)
    sizes = dict.fromkeys((1, size))
    found: dict[int, dict[str, numerics.Comparison]] = {each: {} for each in sizes}
    done = 0
    for pixels in pixel_batches(images, loaded.preprocessing, size):
        expected = theirs.run_all(loaded.preprocessing.normalize(pixels))
        batch = taken(request.input, pixels, loaded.preprocessing)
        singly = range(min(SINGLES - done, len(batch)))
        parts = [(1, slice(at, at + 1)) for at in singly]
        if size > 1 or not parts:
            parts.append((size, slice(None)))
        for width, part in parts:
            answers = converted.run_all(batch[part])
            for name, values in expected.items():
                comparison = found[width].setdefault(name, numerics.Comparison(name))
                comparison.add(values[part], answers[name])
        done += len(batch)
        progress.advance(done, len(images))
    return Measurements(
        images=images.name,
        images_sha256=images.digest(),
        reference_logits=np.zeros((0, 0), np.float32),
        converted_logits=np.zeros((0, 0), np.float32),
        labels=None,
        numerics={
            width: numerics.worst(each.result() for each in by_output.values())
            for width, by_output in found.items()
        },
        decisions=None,
        runtime=runtime,
        compiled=dict(compiled),
        latencies={},
    )


def latencies(
    measurements: Measurements,
    network: nn.Module,
    converted: RunnableModel,
    loaded: Weights,
    request: Request,
    threads: int,
) -> Measurements:
    """Add latencies at batch 1, both networks in turn on the same cores, or on the same GPU."""
    pixels, batch = noise(request.input, loaded.preprocessing, 1)
    planes = loaded.preprocessing.normalize(pixels)
    on_gpu = isinstance(converted, TimesItself) and pytorch_runtime.gpu_available()
    theirs = pytorch_runtime.load(network, threads=threads, device="cuda" if on_gpu else "cpu")
    name = measurements.runtime
    timers: dict[str, Callable[[], float]] = {}
    if isinstance(converted, TimesItself):
        timers[name] = lambda: converted.timed(batch)
    if on_gpu:
        timers["pytorch"] = lambda: theirs.timed(planes)
    found = latency.measure(
        {"pytorch": lambda: theirs.run_all(planes), name: lambda: converted.run_all(batch)},
        batch_size=1,
        seconds=LATENCY_SECONDS,
        timers=timers,
    )
    return replace(measurements, latencies=found, reference_on="GPU" if on_gpu else "CPU")
