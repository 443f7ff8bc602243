"""The stages of a conversion: one table, for the pipeline and for `--dry-run`.

    weights ─► (reference) ─► trace ─► fold ─► pixels ─► (autoselect) ─► calibrate … half ─► lint
            ─► (engine ─► inspect) ─► parity ─► latency ─► deploy

This order is the only one: quantizing before folding, narrowing before quantizing, or deploying
before the gate are classes of bugs. `applies` says whether a request has the stage, `does` what it
does there, `packages` the imports it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType

from resnet_convert.request import Request
from resnet_convert.request.options import AUTO
from resnet_convert.stage_log import StageName
from resnet_serve.errors import HostError
from resnet_serve.runtimes import onnxruntime_cuda


@dataclass(frozen=True)
class Stage:
    """A row of the table."""

    name: StageName
    does: Callable[[Request], str]
    packages: tuple[str, ...] = ()
    applies: Callable[[Request], bool] = lambda _: True


def quantizes(request: Request) -> bool:
    """Whether the graph gets Q/DQ pairs; false while autoselect has not decided."""
    return request.precision != AUTO and request.precision_row.quantized


def builds_plan(request: Request) -> bool:
    """Whether a TensorRT plan is built in this conversion, given a GPU."""
    return request.makes_plan and not request.prepare_only


def runs_on_cuda(request: Request) -> bool:
    """Whether ONNX Runtime's CUDA provider runs the model in this conversion: given a GPU."""
    return request.for_cuda and not request.prepare_only and onnxruntime_cuda.gpu_here()


def timed(request: Request) -> bool:
    """Whether what will be served runs here: emulations are not timed."""
    if request.for_cuda:
        return runs_on_cuda(request)
    return (builds_plan(request) and not request.built_for) or not request.for_tensorrt


def _traced(request: Request) -> str:
    row = request.architecture
    return f"{'its' if row is None else row.convolutions} convolutions to ONNX"


def _quantized(request: Request) -> str:
    grid = "symmetric" if request.for_tensorrt else "u8 activations,"
    return f"{grid} {request.precision.upper()} weights per channel"


def _built(request: Request) -> str:
    profiles = ", ".join(map(str, request.build_options.profiles))
    gpus = f", compute capability {', '.join(request.built_for)}" if request.built_for else ""
    return f"plan for batches {profiles}{gpus}"


def _deployed(request: Request) -> str:
    known = request.name is not None or request.architecture is not None or request.module
    return f"{request.model_name if known else 'it'} as the next version"


STAGES: Mapping[StageName, Stage] = MappingProxyType(
    {
        row.name: row
        for row in (
            Stage(StageName.WEIGHTS, lambda _: "the checkpoint, strictly"),
            Stage(
                StageName.REFERENCE,
                lambda _: "PyTorch's own accuracy, against chance and other preprocessings",
                ("torch",),
                lambda request: request.validation is not None,
            ),
            Stage(StageName.TRACE, _traced, ("torch", "onnx_ir")),
            Stage(
                StageName.FOLD,
                lambda _: "BatchNorm into the convolutions, in float64",
                ("onnx_ir",),
            ),
            Stage(
                StageName.PIXELS,
                lambda _: "normalisation into the graph",
                ("onnx_ir",),
                lambda request: request.input == "uint8",
            ),
            Stage(
                StageName.AUTOSELECT,
                lambda request: f"the fastest that keeps parity, for {request.optimize}",
                applies=lambda request: request.autoselects,
            ),
            Stage(
                StageName.CALIBRATE,
                lambda request: f"≤ {request.calibration_images} images",
                applies=quantizes,
            ),
            Stage(
                StageName.MIXED_PRECISION,
                lambda request: f"the fewest layers floating, for {request.budgets}",
                ("onnxruntime",),
                lambda request: quantizes(request) and request.budgeted,
            ),
            Stage(StageName.QUANTIZE, _quantized, ("onnx_ir",), quantizes),
            Stage(
                StageName.RANGE,
                lambda _: "activations against FP16's 65504",
                ("onnxruntime",),
                lambda request: request.floating_type == "fp16" and not quantizes(request),
            ),
            Stage(
                StageName.HALF,
                lambda request: f"{str(request.floating_type).upper()} graph, FP32 logits",
                ("onnx_ir",),
                lambda request: request.floating_type is not None,
            ),
            Stage(
                StageName.LINT,
                lambda request: (
                    "TensorRT's rules" if request.for_tensorrt else "the rules of u8 × s8"
                ),
                ("onnx_ir",),
                lambda request: request.for_tensorrt or quantizes(request),
            ),
            Stage(StageName.ENGINE, _built, applies=builds_plan),
            Stage(
                StageName.INSPECT,
                lambda _: "the precision of every convolution in the engine",
                applies=builds_plan,
            ),
            Stage(
                StageName.PARITY,
                lambda request: (
                    "logits, decisions, accuracy" if request.classifies else "every output"
                ),
            ),
            Stage(
                StageName.LATENCY,
                lambda request: "against PyTorch on this " + ("GPU" if request.for_gpu else "host"),
                applies=timed,
            ),
            Stage(StageName.DEPLOY, _deployed),
        )
    }
)


def applies(name: StageName, request: Request) -> bool:
    """Whether a request has the stage."""
    return STAGES[name].applies(request)


def planned(request: Request) -> tuple[Stage, ...]:
    """The stages of a request, in order."""
    return tuple(row for row in STAGES.values() if row.applies(request))


_RUN = (StageName.ENGINE, StageName.INSPECT, StageName.PARITY, StageName.LATENCY)


def packages_of(row: Stage, request: Request) -> tuple[str, ...]:
    """The packages of a stage: those of what runs in it, or its own."""
    if row.name is StageName.PARITY and request.for_tensorrt and not timed(request):
        return ("onnxruntime",)  # the emulation
    return (request.row.package,) if row.name in _RUN else row.packages


def check_packages(row: Stage, request: Request) -> None:
    """Raise `HostError` where a package of a stage is not installed."""
    for name in packages_of(row, request):
        if find_spec(name) is None:
            extra = request.row.extra if name == request.row.package else "convert"
            raise HostError(
                f"this needs {name}, which is not installed here",
                remedy=f"pip install 'resnet-serve[{extra}]'",
            )
