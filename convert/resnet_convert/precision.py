"""Precision: bring the folded graph to the precision asked for, in the dialect of its target.

    onnxruntime (CPU)   int8: u8 activations × s8 weights          fp16: FP16 graph
    tensorrt            int8: symmetric s8 × s8 over an FP16 graph  bf16, fp16: typed graph
                        fp8: symmetric E4M3 over an FP16 graph (an experiment)

The order is fixed here: calibrate, repair and quantize the folded FP32 graph, type the rest after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert import measure, quantize, symmetric
from resnet_convert.calibrate import Calibration, observe
from resnet_convert.copied import copied
from resnet_convert.half import Half, halve
from resnet_convert.journey import Journey
from resnet_convert.jury import Jury
from resnet_convert.opset import FOR_BF16, raise_opset
from resnet_convert.overflow import scan
from resnet_convert.quantize import Quantization
from resnet_convert.repair import Repair, repair
from resnet_convert.request import Request
from resnet_convert.sensitivity import Cost, rank
from resnet_convert.symmetric import SymmetricQuantization
from resnet_convert.trials import S8_OVER_FP16, U8S8, Prepared, Trials, choose, split
from resnet_serve import host
from resnet_serve.datasets import Images
from resnet_serve.optional import optional
from resnet_serve.selection import spread
from resnet_serve.synthetic import SyntheticImages
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir

    from resnet_convert.sensitivity import Quantize
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
    trials: Trials | None = None
    quantization: Quantization | SymmetricQuantization | None = None
    repair: Repair | None = None
    half: Half | None = None


def bring(
    folded: ir.Model,
    request: Request,
    loaded: Weights,
    images: Images | None,
    journey: Journey,
    jury: Jury | None = None,
) -> Precise:
    """A copy of `folded` in the request's precision; `images` are those to calibrate with."""
    if request.precision in QUANTIZED and images is not None:
        return _quantized(folded, request, loaded, images, journey, jury)
    model = copied(folded)
    rest = typed(request)
    if rest is None:
        return Precise(model, folded)
    keep = _overflowing(folded, request, loaded, images, journey) if rest == "fp16" else frozenset()
    return Precise(model, folded, half=_halve(model, rest, journey, keep))


def _quantized(
    folded: ir.Model,
    request: Request,
    loaded: Weights,
    images: Images,
    journey: Journey,
    jury: Jury | None,
) -> Precise:
    prepared, trials = _calibrate(folded, request, loaded, images, journey)
    ranges = prepared.calibration.ranges
    rest = typed(request)

    def convert(model: ir.Model, keep: frozenset[str]) -> Quantization | SymmetricQuantization:
        if not request.for_tensorrt:
            return quantize.quantize(model, ranges, keep=keep)
        return symmetric.quantize(model, ranges, request.precision, keep=keep)

    def finished(model: ir.Model, keep: frozenset[str]) -> Quantization | SymmetricQuantization:
        found = convert(model, keep)
        if rest is not None:
            halve(model, rest)
        return found

    repaired = None if jury is None else _repair(prepared.model, finished, jury, request, journey)
    keep: frozenset[str] = frozenset()
    if repaired is not None and repaired.chosen is not None:
        keep = frozenset(repaired.chosen.kept)
    model = copied(prepared.model)
    with journey.stage("quantize") as say:
        quantization = convert(model, keep)
        say(
            f"{quantization.layers} layers {request.precision.upper()}, "
            f"{quantization.activations} Q/DQ pairs"
        )
    half = None if rest is None else _halve(model, rest, journey, frozenset())
    return Precise(
        model, prepared.reference, prepared.calibration, trials, quantization, repaired, half
    )


def _halve(model: ir.Model, rest: str, journey: Journey, keep: frozenset[str]) -> Half:
    with journey.stage("half") as say:
        half = halve(model, rest, keep=keep)
        if rest == "bf16":
            raise_opset(model, *FOR_BF16)
        say(f"{half.tensors} tensors typed {rest.upper()}, {half.flushed_to_zero} became zero")
    return half


def _overflowing(
    folded: ir.Model, request: Request, loaded: Weights, images: Images | None, journey: Journey
) -> frozenset[str]:
    """The modules that FP16 cannot hold, on real images where there are any."""
    seen = SyntheticImages(side=max(loaded.preprocessing.crop)) if images is None else images
    with journey.stage("range") as say:
        found = scan(
            folded,
            measure.inputs(spread(seen, SCANNED_IMAGES), loaded, request),
            threads=host.cores(),
        )
        names = ", ".join(each.module for each in found)
        say(f"kept in FP32: {names}" if found else "everything fits FP16")
    journey.warnings += [f"{each}; it stays FP32" for each in found]
    return frozenset(each.module for each in found)


def _repair(
    folded: ir.Model, convert: Quantize, jury: Jury, request: Request, journey: Journey
) -> Repair:
    """Keep what costs most, until the budgets hold."""

    def ranked() -> Iterator[Cost]:
        """Computed when it is first asked for: not when INT8 holds the budget as it is."""
        yield from rank(
            folded,
            convert,
            jury.batches,
            threads=jury.threads,
            images=RANKED_IMAGES,
            progress=journey.progress.advance,
        )

    with journey.stage("repair") as say:
        found = repair(folded, convert, ranked(), jury.judge, request.budgets)
        say(found.summary)
    if found.chosen is None:
        journey.warnings.append(found.summary)
    return found


def typed(request: Request) -> str | None:
    """The floating type of what is not quantized; None where it stays FP32."""
    if request.for_tensorrt and request.precision in QUANTIZED:
        return "fp16"
    if request.precision == "bf16" and not request.for_tensorrt:
        return None  # a CPU's runtime takes BF16 when it compiles the FP32 graph
    return request.precision if request.precision in TYPED else None


def _calibrate(
    folded: ir.Model, request: Request, loaded: Weights, images: Images, journey: Journey
) -> tuple[Prepared, Trials | None]:
    skipped = len(getattr(images, "skipped", ()))
    if skipped:
        journey.warnings.append(f"{skipped} files in {images.name} are no images and were skipped")
    trials = None
    with journey.stage("calibrate") as say:
        if request.calibration_method == "auto":
            trials = _try_all(folded, request, loaded, images)
            prepared = trials.kept
            say(f"{trials.chosen.name}, the best of {len(trials.rows)} ways")
        else:
            dialect = symmetric if request.for_tensorrt else quantize
            calibration = observe(
                folded,
                dialect.activations(folded),
                measure.inputs(images, loaded, request),
                threads=host.cores(),
                progress=lambda done: journey.progress.advance(done, len(images)),
                method=request.calibration_method,
                symmetric=request.for_tensorrt,
            )
            prepared = Prepared(folded, calibration, folded)
            say(f"{len(calibration.ranges)} ranges over {calibration.images} images")
    if prepared.calibration.few:
        journey.warnings.append(
            f"only {prepared.calibration.images} calibration images: rarer images may exceed the "
            "ranges; give 128 or more"
        )
    return prepared, trials


def _try_all(folded: ir.Model, request: Request, loaded: Weights, images: Images) -> Trials:
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
