"""Calibration: how the ranges of a conversion are chosen, as its request says.

a method    that one, over all images
auto        the search over all methods on held-out images (`quantization/calibration_search.py`)
adaptive    the default: minmax, which clips nothing, unless a few large values stretch a range
            until the others round to zero; then as auto, or mse with too few images to search
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from resnet_convert.quantization import calibration_search
from resnet_convert.quantization.calibrate import FEW_IMAGES, observe, observe_histograms
from resnet_convert.quantization.calibration_search import CalibrationSearch
from resnet_convert.quantization.trials import CalibratedGraph
from resnet_convert.request import Request
from resnet_convert.request.options import ADAPTIVE, AUTO
from resnet_convert.stage_log import StageLog, StageName
from resnet_serve.activation import Activation
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread

if TYPE_CHECKING:
    import onnx_ir as ir

    from resnet_convert.quantization.dialects import Dialect


class Inputs(Protocol):
    """What gives images as the graph takes them: the reference."""

    @property
    def threads(self) -> int:
        """For a runtime on this CPU."""

    @property
    def classifies(self) -> bool:
        """Whether the network has logits."""

    @property
    def activation(self) -> Activation | None:
        """How they are read; None without them."""

    def inputs(self, images: Images) -> Iterator[NDArray[Any]]:
        """Batches of the graph's input."""


# Of so many images a few show how large typical values are; the extremes are those of all.
SAMPLED = 64
FEATURE_IMAGES = 32  # whose maps, of every method and the reference, fit the memory


def choose_ranges(
    folded: ir.Model,
    dialect: Dialect,
    request: Request,
    source: Inputs,
    images: Images,
    log: StageLog,
) -> tuple[CalibratedGraph, CalibrationSearch | None]:
    """The graph to quantize with the range of each activation, and the search where one was made.

    Raises `ConversionError` for a tensor that is not finite.
    """
    search = None
    method = request.calibration_method
    if method == ADAPTIVE and request.precision == "fp8":  # a float holds large and small values
        method = "minmax"
    with log.stage(StageName.CALIBRATE) as say:
        if method == AUTO:
            search = _search_calibration(folded, dialect, source, images)
            calibrated = search.kept
            say(f"{search.chosen.name}, the best of {len(search.rows)} methods")
        elif method == ADAPTIVE:
            calibrated, search, summary = _adapt(folded, dialect, source, images, log)
            say(summary)
        else:
            calibration = observe(
                folded,
                dialect.activations(folded),
                source.inputs(images),
                threads=source.threads,
                progress=lambda done: log.progress.advance(done, len(images)),
                method=method,
                symmetric=dialect.symmetric,
            )
            calibrated = CalibratedGraph(folded, calibration, folded)
            say(f"{len(calibration.ranges)} ranges over {calibration.images} images, {method}")
    if calibrated.calibration.few:
        log.warn(_few(calibrated.calibration.images, 0 if search is None else search.held_out))
    return calibrated, search


def _few(images: int, held_out: int) -> str:
    """The warning of too few images for the ranges, with how many are enough."""
    enough, every = FEW_IMAGES, calibration_search.EVERY
    if held_out:  # n - ⌊n / every⌋ of n remain
        enough = (FEW_IMAGES - 1) * every // (every - 1) + 1
    without = f" beside {held_out} held-out ones" if held_out else ""
    return (
        f"only {images} calibration images{without}: rarer images may exceed the ranges; give "
        f"{enough} or more"
    )


def _adapt(
    folded: ir.Model, dialect: Dialect, source: Inputs, images: Images, log: StageLog
) -> tuple[CalibratedGraph, CalibrationSearch | None, str]:
    """Minmax, which is exact where it can be; the search where a few values stretch a range."""
    seen = observe_histograms(
        folded,
        dialect.activations(folded),
        source.inputs(images),
        threads=source.threads,
        progress=lambda done: log.progress.advance(done, len(images)),
        sampled=len(images) >= SAMPLED,
    )
    heavy, total = seen.heavy_tailed(symmetric=dialect.symmetric), len(seen.histograms)
    method, why = "minmax", ""
    if heavy:
        why = f": {len(heavy)} of {total} ranges are stretched by a few large values ({heavy[0]})"
        search = _search_calibration(folded, dialect, source, images)
        if not search.untested:
            summary = f"{search.chosen.name}, the best of {len(search.rows)} methods{why}"
            return search.kept, search, summary
        method = "mse"
    calibration = seen.calibration(method, symmetric=dialect.symmetric)
    summary = f"{total} ranges over {calibration.images} images, {method}{why}"
    return CalibratedGraph(folded, calibration, folded), None, summary


def _search_calibration(
    folded: ir.Model, dialect: Dialect, source: Inputs, images: Images
) -> CalibrationSearch:
    held_in, held_out = calibration_search.split(images)
    if held_out is not None and not source.classifies:
        held_out = spread(held_out, FEATURE_IMAGES)
    return calibration_search.choose(
        folded,
        dialect,
        lambda: source.inputs(held_in),
        None if held_out is None else lambda: source.inputs(held_out),
        threads=source.threads,
        activation=source.activation,
    )
