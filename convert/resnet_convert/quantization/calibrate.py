"""Calibrate: the range of every activation over real images, streamed.

One pass of the folded FP32 graph, a segment of it at a time (`segments.py`). For minmax only two
numbers per tensor are kept, for all the methods at once a histogram (`histogram.py`): activations
take no more memory for more images, nor for a deeper network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.segments import walk
from resnet_convert.quantization.clipping import limits
from resnet_convert.quantization.histogram import Histogram
from resnet_convert.quantization.ranges import Range
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

FEW_IMAGES = 128
Told = Callable[[int], None] | None


@dataclass(frozen=True)
class Calibration:
    """Ranges by tensor name, over how many images they were seen, and how they were cut."""

    ranges: Mapping[str, Range]
    images: int
    method: str = "minmax"

    @property
    def few(self) -> bool:
        """Too few images to trust: INT8 ranges would miss what rarer images need."""
        return self.images < FEW_IMAGES


@dataclass(frozen=True)
class Observations:
    """Histograms by tensor name, and over how many images: what every method starts from."""

    histograms: Mapping[str, Histogram]
    images: int

    def calibration(self, method: str, *, symmetric: bool) -> Calibration:
        """The ranges by a method of `clipping.METHODS`, for s8 around zero or for u8."""
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
    progress: Told = None,
    method: str = "minmax",
    symmetric: bool = False,
) -> Calibration:
    """Run `batches` of the graph's input through it and note the range of each named tensor."""
    names = tuple(tensors)
    if method != "minmax":
        seen = observe_histograms(model, names, batches, threads=threads, progress=progress)
        return seen.calibration(method, symmetric=symmetric)
    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    images = 0
    for done, values in _streamed(model, names, batches, threads, progress):
        images = done
        for name, value in values.items():  # numpy's minimum keeps a NaN, Python's min may drop it
            low[name] = float(np.minimum(low[name], value.min()))
            high[name] = float(np.maximum(high[name], value.max()))
    for name in names:
        _check_finite(name, low[name], high[name])
    return Calibration({name: Range(low[name], high[name]) for name in names}, images)


def observe_histograms(
    model: ir.Model,
    tensors: Iterable[str],
    batches: Iterable[NDArray[Any]],
    *,
    threads: int,
    progress: Told = None,
) -> Observations:
    """As `observe`, for all the methods at once."""
    names = tuple(tensors)
    histograms = dict.fromkeys(names, Histogram())
    images = 0
    for done, values in _streamed(model, names, batches, threads, progress):
        images = done
        for name, value in values.items():
            histograms[name] += Histogram.of(value)
    for name, seen in histograms.items():
        _check_finite(name, seen.low, seen.high)
    return Observations(histograms, images)


def _streamed(
    model: ir.Model,
    names: tuple[str, ...],
    batches: Iterable[NDArray[Any]],
    threads: int,
    progress: Told,
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """The named tensors, a segment of one batch after another, with the images so far."""
    images = 0
    with walk(model, names, threads=threads) as segments:
        for batch in batches:
            images += len(batch)
            for seen in segments.run(batch):
                yield images, seen.shown
            if progress is not None:
                progress(images)
    if not images:
        raise UsageError("INT8 needs calibration images", remedy="Give --calibration a folder.")


def _check_finite(name: str, low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ConversionError("is not finite on the calibration images", where=name)
