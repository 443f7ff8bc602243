"""Precision: a copy of the folded graph in the precision of the request, for its target.

    onnxruntime (CPU)   int8: u8 activations × s8 weights          fp16: FP16 graph
    tensorrt            int8: symmetric s8 × s8 over an FP16 graph  bf16, fp16: typed graph
                        fp8: symmetric E4M3 over an FP16 graph (an experiment)

The order is fixed here: calibrate, search and quantize the folded FP32 graph, type the rest after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from resnet_convert import stages
from resnet_convert.calibration import choose_ranges
from resnet_convert.graph import model_file
from resnet_convert.graph.half import Half, halve
from resnet_convert.graph.opset import FOR_BF16, raise_opset
from resnet_convert.graph.overflow import scan
from resnet_convert.lint import cpu, rules, tensorrt
from resnet_convert.parity.evaluator import Evaluator
from resnet_convert.parity.reference import Reference
from resnet_convert.quantization import mixed_precision
from resnet_convert.quantization.calibrate import Calibration
from resnet_convert.quantization.calibration_search import CalibrationSearch
from resnet_convert.quantization.dialects import dialect_of
from resnet_convert.quantization.mixed_precision import MixedPrecisionSearch
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.sensitivity import Cost, rank
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog, StageName
from resnet_serve import durable, host
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages

if TYPE_CHECKING:
    import onnx_ir as ir

    from resnet_convert.quantization.sensitivity import Quantize

SCANNED_IMAGES = 32
RANKED_IMAGES = 24


@dataclass(frozen=True)
class Precise:
    """The graph in its precision, and what was done to it; None for what was not.

    `data` is `model` as the bytes of one ONNX file; `reference` is the FP32 graph that its layers
    are compared with.
    """

    model: ir.Model
    data: bytes
    reference: ir.Model
    calibration: Calibration | None = None
    calibration_search: CalibrationSearch | None = None
    quantization: Quantization | None = None
    mixed_precision: MixedPrecisionSearch | None = None
    half: Half | None = None

    @cached_property
    def sha256(self) -> str:
        """Of the ONNX file."""
        return durable.sha256(self.data)

    @property
    def opset(self) -> int:
        """The version of ONNX's operators that the graph uses."""
        return self.model.graph.opset_imports[""]

    @property
    def ir_version(self) -> int:
        """The version of the ONNX format."""
        return self.model.ir_version


def bring(
    folded: ir.Model,
    request: Request,
    reference: Reference,
    images: Images | None,
    log: StageLog,
    evaluator: Evaluator | None = None,
) -> Precise:
    """A copy of `folded` in the request's precision; `images` are those to calibrate with.

    With an `evaluator`, layers are kept in higher precision until the request's budgets hold.
    """
    if stages.quantizes(request) and images is not None:
        return _quantized(folded, request, reference, images, log, evaluator)
    model = folded.clone()
    half = None
    if request.floating_type is not None:
        keep = _overflowing(folded, request, reference, images, log)
        half = _halve(model, request.floating_type, log, keep)
    return Precise(model, model_file.serialize(model), folded, half=half)


def check_rules(precise: Precise, request: Request, log: StageLog) -> None:
    """Hold the finished graph to the rules of its target and of ONNX itself.

    Raises `ConversionError` for the first rule that it breaks.
    """
    if stages.applies(StageName.LINT, request):
        with log.stage(StageName.LINT) as say:
            table = tensorrt.RULES if request.for_tensorrt else cpu.RULES
            rules.refuse(rules.check(precise.model, table))
            name = "TensorRT's rules" if request.for_tensorrt else "the rules of u8 × s8"
            say(f"keeps {name}")
    model_file.check(precise.data, where=request.model_name)


def _quantized(
    folded: ir.Model,
    request: Request,
    reference: Reference,
    images: Images,
    log: StageLog,
    evaluator: Evaluator | None,
) -> Precise:
    vnni = host.describe().fast_int8
    dialect = dialect_of(for_tensorrt=request.for_tensorrt, vnni=vnni)
    calibrated, search = choose_ranges(folded, dialect, request, reference, images, log)
    ranges = calibrated.calibration.ranges
    found, keep = None, frozenset[str]()
    if evaluator is not None:

        def convert(model: ir.Model, kept: frozenset[str]) -> Quantization:
            return dialect.convert(model, ranges, request.precision, keep=kept)

        found = _mixed_precision(calibrated.model, convert, evaluator, request, log)
        keep = frozenset(found.chosen.kept if found.chosen else ())
    model = calibrated.model.clone()
    with log.stage(StageName.QUANTIZE) as say:
        quantization = dialect.quantize(model, ranges, request.precision, keep=keep)
        say(
            f"{quantization.layers} layers {request.precision.upper()}, "
            f"{quantization.activations} Q/DQ pairs"
            + (f"; floating: {', '.join(quantization.operators)}" if quantization.operators else "")
        )
    half = None if dialect.rest is None else _halve(model, dialect.rest, log, frozenset())
    return Precise(
        model,
        model_file.serialize(model),
        calibrated.reference,
        calibrated.calibration,
        search,
        quantization,
        found,
        half,
    )


def _halve(model: ir.Model, dtype: str, log: StageLog, keep: frozenset[str]) -> Half:
    with log.stage(StageName.HALF) as say:
        half = halve(model, dtype, keep=keep)
        if dtype == "bf16":
            raise_opset(model, *FOR_BF16)
        say(f"{half.tensors} tensors typed {dtype.upper()}, {half.flushed_to_zero} became zero")
    return half


def _overflowing(
    folded: ir.Model,
    request: Request,
    reference: Reference,
    images: Images | None,
    log: StageLog,
) -> frozenset[str]:
    """The modules that FP16 cannot hold, on real images where there are any."""
    if not stages.applies(StageName.RANGE, request):
        return frozenset()
    side = max(reference.preprocessing.crop)
    seen = SyntheticImages(side=side) if images is None else images
    with log.stage(StageName.RANGE) as say:
        found = scan(
            folded,
            reference.inputs(spread(seen, SCANNED_IMAGES)),
            threads=reference.threads,
        )
        names = ", ".join(each.module for each in found)
        say(f"kept in FP32: {names}" if found else "everything fits FP16")
    log.warn(*(f"{each}; it stays FP32" for each in found))
    return frozenset(each.module for each in found)


def _mixed_precision(
    folded: ir.Model, convert: Quantize, evaluator: Evaluator, request: Request, log: StageLog
) -> MixedPrecisionSearch:
    """Keep the layers that cost most, until the budgets hold."""

    def ranked() -> Iterator[Cost]:
        """Computed when it is first read: not when INT8 holds the budget as it is."""
        yield from rank(
            folded,
            convert,
            evaluator.batches,
            threads=evaluator.threads,
            images=RANKED_IMAGES,
            progress=log.progress.advance,
            activation=evaluator.recorded.activation,
        )

    with log.stage(StageName.MIXED_PRECISION) as say:
        found = mixed_precision.search(
            folded, convert, ranked(), evaluator.evaluate, request.budgets
        )
        say(found.summary)
    if found.chosen is None:
        log.warn(found.summary)
    return found
