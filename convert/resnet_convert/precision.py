"""Precision: bring the folded graph to the precision asked for, in the dialect of its target.

    onnxruntime (CPU)   int8: u8 activations × s8 weights          fp16: FP16 graph
    tensorrt            int8: symmetric s8 × s8 over an FP16 graph  bf16, fp16: typed graph
                        fp8: symmetric E4M3 over an FP16 graph (an experiment)

The order is fixed here: calibrate, search and quantize the folded FP32 graph, type the rest after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert.graph.half import Half, halve
from resnet_convert.graph.opset import FOR_BF16, raise_opset
from resnet_convert.graph.overflow import scan
from resnet_convert.parity import measure
from resnet_convert.parity.evaluator import Evaluator
from resnet_convert.quantization import mixed_precision, s8s8, u8s8
from resnet_convert.quantization.calibrate import Calibration, observe
from resnet_convert.quantization.calibration_search import (
    S8_OVER_FP16,
    U8S8,
    CalibrationSearch,
    Prepared,
    choose,
    split,
)
from resnet_convert.quantization.mixed_precision import MixedPrecisionSearch
from resnet_convert.quantization.s8s8 import SymmetricQuantization
from resnet_convert.quantization.sensitivity import Cost, rank
from resnet_convert.quantization.u8s8 import Quantization
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog
from resnet_serve import host
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.optional import optional
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir

    from resnet_convert.quantization.sensitivity import Quantize
else:
    ir = optional("onnx_ir", extra="convert")

QUANTIZED = ("int8", "fp8")
TYPED = ("fp16", "bf16")
SCANNED_IMAGES = 32
RANKED_IMAGES = 24
FEATURE_IMAGES = 32  # whose maps, of every method and the reference, fit the memory


@dataclass(frozen=True)
class Precise:
    """The graph in its precision, and what was done to it; None for what was not.

    `reference` is the FP32 graph that its layers are compared with.
    """

    model: ir.Model
    reference: ir.Model
    calibration: Calibration | None = None
    calibration_search: CalibrationSearch | None = None
    quantization: Quantization | SymmetricQuantization | None = None
    mixed_precision: MixedPrecisionSearch | None = None
    half: Half | None = None


def bring(
    folded: ir.Model,
    request: Request,
    loaded: Weights,
    images: Images | None,
    log: StageLog,
    evaluator: Evaluator | None = None,
) -> Precise:
    """A copy of `folded` in the request's precision; `images` are those to calibrate with."""
    if request.precision in QUANTIZED and images is not None:
        return _quantized(folded, request, loaded, images, log, evaluator)
    model = folded.clone()
    rest = typed(request)
    if rest is None:
        return Precise(model, folded)
    keep = _overflowing(folded, request, loaded, images, log) if rest == "fp16" else frozenset()
    return Precise(model, folded, half=_halve(model, rest, log, keep))


def _quantized(
    folded: ir.Model,
    request: Request,
    loaded: Weights,
    images: Images,
    log: StageLog,
    evaluator: Evaluator | None,
) -> Precise:
    prepared, calibration_search = _calibrate(folded, request, loaded, images, log)
    ranges = prepared.calibration.ranges
    rest = typed(request)

    def convert(model: ir.Model, keep: frozenset[str]) -> Quantization | SymmetricQuantization:
        if not request.for_tensorrt:
            return u8s8.quantize(model, ranges, keep=keep)
        return s8s8.quantize(model, ranges, request.precision, keep=keep)

    def finished(model: ir.Model, keep: frozenset[str]) -> Quantization | SymmetricQuantization:
        found = convert(model, keep)
        if rest is not None:
            halve(model, rest)
        return found

    searched = (
        None if evaluator is None else _repair(prepared.model, finished, evaluator, request, log)
    )
    keep: frozenset[str] = frozenset()
    if searched is not None and searched.chosen is not None:
        keep = frozenset(searched.chosen.kept)
    model = prepared.model.clone()
    with log.stage("quantize") as say:
        quantization = convert(model, keep)
        say(
            f"{quantization.layers} layers {request.precision.upper()}, "
            f"{quantization.activations} Q/DQ pairs"
        )
    half = None if rest is None else _halve(model, rest, log, frozenset())
    return Precise(
        model,
        prepared.reference,
        prepared.calibration,
        calibration_search,
        quantization,
        searched,
        half,
    )


def _halve(model: ir.Model, rest: str, log: StageLog, keep: frozenset[str]) -> Half:
    with log.stage("half") as say:
        half = halve(model, rest, keep=keep)
        if rest == "bf16":
            raise_opset(model, *FOR_BF16)
        say(f"{half.tensors} tensors typed {rest.upper()}, {half.flushed_to_zero} became zero")
    return half


def _overflowing(
    folded: ir.Model, request: Request, loaded: Weights, images: Images | None, log: StageLog
) -> frozenset[str]:
    """The modules that FP16 cannot hold, on real images where there are any."""
    seen = SyntheticImages(side=max(loaded.preprocessing.crop)) if images is None else images
    with log.stage("range") as say:
        found = scan(
            folded,
            measure.inputs(spread(seen, SCANNED_IMAGES), loaded, request),
            threads=host.cores(),
        )
        names = ", ".join(each.module for each in found)
        say(f"kept in FP32: {names}" if found else "everything fits FP16")
    log.warnings += [f"{each}; it stays FP32" for each in found]
    return frozenset(each.module for each in found)


def _repair(
    folded: ir.Model, convert: Quantize, evaluator: Evaluator, request: Request, log: StageLog
) -> MixedPrecisionSearch:
    """Keep what costs most, until the budgets hold."""

    def ranked() -> Iterator[Cost]:
        """Computed when it is first asked for: not when INT8 holds the budget as it is."""
        yield from rank(
            folded,
            convert,
            evaluator.batches,
            threads=evaluator.threads,
            images=RANKED_IMAGES,
            progress=log.progress.advance,
        )

    with log.stage("mixed precision") as say:
        found = mixed_precision.search(
            folded, convert, ranked(), evaluator.evaluate, request.budgets
        )
        say(found.summary)
    if found.chosen is None:
        log.warnings.append(found.summary)
    return found


def typed(request: Request) -> str | None:
    """The floating type of what is not quantized; None where it stays FP32."""
    if request.for_tensorrt and request.precision in QUANTIZED:
        return "fp16"
    if request.precision == "bf16" and not request.for_tensorrt:
        return None  # a CPU's runtime takes BF16 when it compiles the FP32 graph
    return request.precision if request.precision in TYPED else None


def _calibrate(
    folded: ir.Model, request: Request, loaded: Weights, images: Images, log: StageLog
) -> tuple[Prepared, CalibrationSearch | None]:
    skipped = len(getattr(images, "skipped", ()))
    if skipped:
        log.warnings.append(f"{skipped} files in {images.name} are no images and were skipped")
    calibration_search = None
    with log.stage("calibrate") as say:
        if request.calibration_method == "auto":
            calibration_search = _try_all(folded, request, loaded, images)
            prepared = calibration_search.kept
            say(
                f"{calibration_search.chosen.name}, the best of {len(calibration_search.rows)} ways"
            )
        else:
            dialect = s8s8 if request.for_tensorrt else u8s8
            calibration = observe(
                folded,
                dialect.activations(folded),
                measure.inputs(images, loaded, request),
                threads=host.cores(),
                progress=lambda done: log.progress.advance(done, len(images)),
                method=request.calibration_method,
                symmetric=request.for_tensorrt,
            )
            prepared = Prepared(folded, calibration, folded)
            say(f"{len(calibration.ranges)} ranges over {calibration.images} images")
    if prepared.calibration.few:
        log.warnings.append(
            f"only {prepared.calibration.images} calibration images: rarer images may exceed the "
            "ranges; give 128 or more"
        )
    return prepared, calibration_search


def _try_all(
    folded: ir.Model, request: Request, loaded: Weights, images: Images
) -> CalibrationSearch:
    held_in, held_out = split(images)
    if held_out is not None and not request.classifies:
        held_out = spread(held_out, FEATURE_IMAGES)
    return choose(
        folded,
        S8_OVER_FP16 if request.for_tensorrt else U8S8,
        lambda: measure.inputs(held_in, loaded, request),
        None if held_out is None else lambda: measure.inputs(held_out, loaded, request),
        threads=host.cores(),
        decides=request.classifies,
    )
