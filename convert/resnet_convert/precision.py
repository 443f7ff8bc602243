"""Precision: bring the folded graph to the precision asked for, in the dialect of its target.

    onnxruntime (CPU)   int8: u8 activations × s8 weights          fp16: FP16 graph
    tensorrt            int8: symmetric s8 × s8 over an FP16 graph  bf16, fp16: typed graph
                        fp8: symmetric E4M3 over an FP16 graph (an experiment)

The order is fixed here: calibrate and quantize the folded FP32 graph, type the rest after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert import measure, quantize, symmetric
from resnet_convert.calibrate import Calibration, observe
from resnet_convert.half import Half, halve
from resnet_convert.journey import Journey
from resnet_convert.opset import FOR_BF16, raise_opset
from resnet_convert.quantize import Quantization
from resnet_convert.request import Request
from resnet_convert.symmetric import SymmetricQuantization
from resnet_serve import host
from resnet_serve.datasets import Images
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir

QUANTIZED = ("int8", "fp8")
TYPED = ("fp16", "bf16")


@dataclass(frozen=True)
class Precise:
    """What was done to the graph; all None for FP32."""

    calibration: Calibration | None = None
    quantization: Quantization | SymmetricQuantization | None = None
    half: Half | None = None


def bring(
    model: ir.Model, request: Request, loaded: Weights, images: Images | None, journey: Journey
) -> Precise:
    """Change `model` in place; `images` are those to calibrate with."""
    precision = request.precision
    calibration = None
    quantization: Quantization | SymmetricQuantization | None = None
    if precision in QUANTIZED and images is not None:
        calibration = _calibrate(model, request, loaded, images, journey)
        with journey.stage("quantize") as say:
            if request.for_tensorrt:
                quantization = symmetric.quantize(model, calibration.ranges, precision)
            else:
                quantization = quantize.quantize(model, calibration.ranges)
            say(
                f"{quantization.layers} layers {precision.upper()}, "
                f"{quantization.activations} Q/DQ pairs"
            )
    rest = typed(request)
    if rest is None:
        return Precise(calibration, quantization)
    with journey.stage("half") as say:
        half = halve(model, rest)
        if rest == "bf16":
            raise_opset(model, *FOR_BF16)
        say(f"{half.tensors} tensors typed {rest.upper()}, {half.flushed_to_zero} became zero")
    return Precise(calibration, quantization, half)


def typed(request: Request) -> str | None:
    """The floating type of what is not quantized; None where it stays FP32."""
    if request.for_tensorrt and request.precision in QUANTIZED:
        return "fp16"
    return request.precision if request.precision in TYPED else None


def _calibrate(
    model: ir.Model, request: Request, loaded: Weights, images: Images, journey: Journey
) -> Calibration:
    skipped = len(getattr(images, "skipped", ()))
    if skipped:
        journey.warnings.append(f"{skipped} files in {images.name} are no images and were skipped")
    dialect = symmetric if request.for_tensorrt else quantize
    with journey.stage("calibrate") as say:
        calibration = observe(
            model,
            dialect.activations(model),
            measure.inputs(images, loaded, request),
            threads=host.cores(),
            progress=lambda done: journey.progress.advance(done, len(images)),
        )
        say(f"{len(calibration.ranges)} ranges over {calibration.images} images")
    if calibration.few:
        journey.warnings.append(
            f"only {calibration.images} calibration images: rarer images may exceed the ranges; "
            "give 128 or more"
        )
    return calibration
