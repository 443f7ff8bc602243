"""Calibrate: the range of every activation over real images, streamed.

The folded FP32 graph runs once, a segment at a time (`graph/segments/`). For minmax two numbers
per tensor are kept, for all other methods a histogram (`histogram.py`): more images, or a deeper
network, take no more memory for activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.segments.running import summarise
from resnet_convert.quantization.clipping import limits
from resnet_convert.quantization.histogram import Histogram
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.rewrites.equalize import Scales, divided
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

FEW_IMAGES = 128
# Of 255 over the whole range. Half of a tensor's values in fewer steps round to next to nothing;
# of the networks measured, sound ones have 6 or more (docs/int8.md).
FEW_STEPS = 3.0
# Where a median is all that is asked for, the values of one batch in four are counted, and of a
# large tensor one value in five: a step that divides no width of a feature map.
SAMPLED = 4
SAMPLED_VALUES = 5
LARGE = 2**14  # values
# Called with the number of images that are done.
Progress = Callable[[int], None] | None
SummaryT = TypeVar("SummaryT")


@dataclass(frozen=True)
class Calibration:
    """Ranges by tensor name, over how many images, and by which method of `clipping.METHODS`."""

    ranges: Mapping[str, Range]
    images: int
    method: str = "minmax"

    @property
    def few(self) -> bool:
        """Whether there are too few images: rarer ones may exceed the ranges."""
        return self.images < FEW_IMAGES


@dataclass(frozen=True)
class Observations:
    """Histograms by tensor name, and over how many images; every method starts from them."""

    histograms: Mapping[str, Histogram]
    images: int

    def heavy_tailed(self, *, symmetric: bool) -> tuple[str, ...]:
        """The tensors whose typical value is within a few steps of their whole range.

        A few large values stretch such a range until the others round to zero.
        """
        return tuple(
            name
            for name, seen in self.histograms.items()
            if seen.counts.any() and seen.typical < FEW_STEPS * _step(seen, symmetric=symmetric)
        )

    def calibration(self, method: str, *, symmetric: bool) -> Calibration:
        """The ranges by a method of `clipping.METHODS`: for s8 where `symmetric`, or u8."""
        ranges = {
            name: Range(*limits(method, seen, symmetric=symmetric))
            for name, seen in self.histograms.items()
        }
        return Calibration(ranges, self.images, method)


def observe(
    model: ir.Model,
    tensors: Iterable[str],
    batches: Iterable[NDArray[Any]],
    *,
    threads: int,
    progress: Progress = None,
    method: str = "minmax",
    symmetric: bool = False,
) -> Calibration:
    """The range of each named tensor over all batches of the graph's input.

    `method` is one of `clipping.METHODS`, `symmetric` for s8 instead of u8. Raises
    `ConversionError` naming a tensor with a value that is not finite, and `UsageError` without
    images.
    """
    names = tuple(tensors)
    if method != "minmax":
        seen = observe_histograms(model, names, batches, threads=threads, progress=progress)
        return seen.calibration(method, symmetric=symmetric)
    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    images = 0
    for size, found in _summaries(model, names, batches, _extremes, threads, progress):
        images += size
        for name, (least, largest) in found.items():
            low[name] = float(np.minimum(low[name], least))  # keeps a NaN, which min may drop
            high[name] = float(np.maximum(high[name], largest))
    for name in names:
        _check_finite(name, low[name], high[name])
    return Calibration({name: Range(low[name], high[name]) for name in names}, images)


def observe_rescaled(
    model: ir.Model,
    tensors: Iterable[str],
    rescaled: Sequence[Scales],
    batches: Iterable[NDArray[Any]],
    *,
    threads: int,
) -> list[Observations]:
    """The histograms of a graph, and of what each rewrite makes of it, from one pass.

    A rewrite computes the same network with the channels of some tensors divided by `rescaled`:
    it is not run, the values of the graph are divided. Errors as for `observe`.
    """
    names = tuple(tensors)

    def summary(name: str, value: NDArray[Any], _: int) -> list[Histogram | None]:
        return [
            Histogram.of(value),
            *(
                Histogram.of(divided(value, scales[name])) if name in scales else None
                for scales in rescaled
            ),
        ]

    seen = [dict.fromkeys(names, Histogram()) for _ in (None, *rescaled)]
    images = 0
    for size, found in _summaries(model, names, batches, summary, threads, None):
        images += size
        for name, each in found.items():
            for histograms, one in zip(seen, each, strict=True):
                if one is not None:
                    histograms[name] += one
    first, *others = seen
    for histograms, scales in zip(others, rescaled, strict=True):
        histograms.update({name: first[name] for name in names if name not in scales})
    return [_checked(histograms, images) for histograms in seen]


def observe_histograms(
    model: ir.Model,
    tensors: Iterable[str],
    batches: Iterable[NDArray[Any]],
    *,
    threads: int,
    progress: Progress = None,
    sampled: bool = False,
) -> Observations:
    """As `observe`, for all methods at once.

    Where only `minmax` and `heavy_tailed` are asked for, `sampled` leaves the extremes as they are
    and counts a part of the values, which have about the same median.
    """
    names = tuple(tensors)
    histograms = dict.fromkeys(names, Histogram())
    images = 0

    def summary(_: str, value: NDArray[Any], number: int) -> Histogram:
        if not sampled:
            return Histogram.of(value)
        if number % SAMPLED:
            return Histogram.of_extremes(value)
        return Histogram.of(value, every=SAMPLED_VALUES if value.size >= LARGE else 1)

    for size, found in _summaries(model, names, batches, summary, threads, progress):
        images += size
        for name, seen in found.items():
            histograms[name] += seen
    return _checked(histograms, images)


def _checked(histograms: Mapping[str, Histogram], images: int) -> Observations:
    for name, seen in histograms.items():
        _check_finite(name, seen.low, seen.high)
    return Observations(histograms, images)


def _summaries(
    model: ir.Model,
    names: tuple[str, ...],
    batches: Iterable[NDArray[Any]],
    summary: Callable[[str, NDArray[Any], int], SummaryT],
    threads: int,
    progress: Progress,
) -> Iterator[tuple[int, dict[str, SummaryT]]]:
    """The size of each batch, and a summary of each named tensor."""
    images = 0
    for size, found in summarise(model, names, batches, summary, threads=threads):
        yield size, found
        images += size
        if progress is not None:
            progress(images)
    if not images:
        raise UsageError("INT8 needs calibration images", remedy="Give --calibration a folder.")


def _extremes(_: str, value: NDArray[Any], __: int) -> tuple[float, float]:
    return float(value.min()), float(value.max())


def _step(seen: Histogram, *, symmetric: bool) -> float:
    """The size of a step when nothing is clipped."""
    if symmetric:
        return max(-seen.low, seen.high) / 127
    return (max(0.0, seen.high) - min(0.0, seen.low)) / 255


def _check_finite(name: str, low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ConversionError("is not finite on the calibration images", where=name)
