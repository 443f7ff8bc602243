"""Check a request: refuse, before anything is read, what cannot work."""

from __future__ import annotations

from resnet_convert.head import check_head
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.request.options import ACCELERATORS, ADAPTIVE, AIMS, AUTO, FORMATS, INPUTS
from resnet_convert.request.request import DEFAULTS, Request, flag
from resnet_serve import host
from resnet_serve.activation import Kind
from resnet_serve.errors import UsageError
from resnet_serve.runtimes import onnxruntime_cuda
from resnet_serve.triton import releases
from resnet_serve.triton.repository import check_name

# Options that mean nothing where no TensorRT engine is made.
_ENGINE_OPTIONS = (
    "batch",
    "triton",
    "workspace",
    "optimization_level",
    "hardware_compat",
    "version_compatible",
)


def check(request: Request) -> None:
    """Raise `UsageError` for a request that cannot be carried out."""
    _check_network(request)
    _check_cuda(request)
    check_name(request.model_name)
    if request.input not in INPUTS:
        raise UsageError(f"unknown input {request.input!r}", remedy="Use uint8 or float32.")
    if request.optimize not in AIMS:
        raise UsageError(f"unknown aim {request.optimize!r}", remedy=f"Use {' or '.join(AIMS)}.")
    check_head(
        request.head,
        need_classes={
            "--labels": request.labels is not None,
            "--activation": request.activation is not None,
            "--threshold": request.threshold is not None,
            "a budget": request.budgeted,
            "--expect-top1": request.expect_top1 is not None,
        },
    )
    _check_activation(request)
    _check_expectation(request)
    _check_quantization(request)
    _check_autoselect(request)
    _check_accelerator(request)
    _check_engine(request)
    request.serving(host.cores())
    request.read_patch(host.cores())
    for images in (request.calibration_images, request.validation_images):
        if images is not None and images < 1:
            raise UsageError(f"{images} images are too few", remedy="Give 1 or more.")
    if request.precision_row.quantized and request.calibration is None:
        raise UsageError(
            f"{request.precision.upper()} needs calibration images: ranges taken from noise lose "
            "accuracy",
            remedy="Give --calibration a folder of images like those to be classified.",
        )


def _check_expectation(request: Request) -> None:
    if request.expect_top1 is None:
        return
    if not 0 <= request.expect_top1 <= 100:
        raise UsageError(f"--expect-top1 is 0 to 100, not {request.expect_top1:g}")
    if request.validation is None:
        raise UsageError(
            "--expect-top1 needs images whose classes are known",
            remedy="Give --validation a folder with one folder per class.",
        )


def _check_network(request: Request) -> None:
    if request.module is None and request.arch is None:
        raise UsageError(
            "no network is named",
            remedy="Give --arch (--help lists them), --module, or a file with --weights.",
        )
    if request.module is None:
        request.reading.check(request.weights_spec, inferring=request.architecture is None)
        return
    if request.arch is not None:
        raise UsageError(
            f"--arch {request.arch} and --module {request.module} name two networks",
            remedy="Leave out one of them.",
        )
    request.reading.check(request.weights or "random")


def _check_activation(request: Request) -> None:
    if request.activation is not None and request.activation not in list(Kind):
        raise UsageError(
            f"unknown activation {request.activation!r}", remedy=f"Use {', '.join(Kind)}."
        )
    if request.threshold is not None and request.activation not in (None, Kind.SIGMOID):
        raise UsageError(
            f"--threshold is for sigmoids, and the activation is {request.activation}",
            remedy="Use --activation sigmoid, or leave --threshold out.",
        )
    if request.activation == Kind.NONE and request.budgeted:
        raise UsageError(
            "a budget is of decisions, and --activation none makes none",
            remedy="Leave the budget out.",
        )


def _check_quantization(request: Request) -> None:
    method = request.calibration_method
    quantizes = request.precision == AUTO or request.precision_row.quantized
    if method not in (ADAPTIVE, AUTO, *METHODS):
        raise UsageError(
            f"unknown calibration method {method!r}",
            remedy=f"Use {ADAPTIVE}, {AUTO}, {', '.join(METHODS)}.",
        )
    if not quantizes and method != DEFAULTS["calibration_method"]:
        raise UsageError(
            f"{request.precision} has no ranges to choose",
            remedy="Use --calibration-method with --precision int8.",
        )
    if request.precision == "fp8" and method == AUTO:
        raise UsageError(
            "--calibration-method auto compares INT8 networks",
            remedy="Name a calibration method for FP8.",
        )
    for name, value in (
        ("budget-top1", request.budget_top1),
        ("budget-agreement", request.budget_agreement),
    ):
        if value is not None and not 0 <= value <= 100:
            raise UsageError(f"--{name} is 0 to 100, not {value:g}")
    if request.budget_top1 is not None and request.validation is None:
        raise UsageError(
            "--budget-top1 needs images whose classes are known",
            remedy="Give --validation a folder with one folder per class.",
        )


def _check_autoselect(request: Request) -> None:
    if request.precision == AUTO and (request.row.gpu or request.accelerator is not None):
        raise UsageError(
            "--precision auto compares what a CPU can run",
            remedy="Name the precision of a GPU target.",
        )
    if request.optimize != DEFAULTS["optimize"] and not request.autoselects:
        raise UsageError(
            "--optimize is what --target auto optimizes",
            remedy="Use it with --target auto or --precision auto.",
        )
    if request.optimize == "throughput" and request.instances != DEFAULTS["instances"]:
        raise UsageError(
            "--optimize throughput measures how many instances are the fastest, and --instances "
            f"{request.instances} names the number",
            remedy="Leave --instances out, or use --optimize latency.",
        )


def _check_accelerator(request: Request) -> None:
    if request.accelerator is None:
        return
    if request.accelerator not in ACCELERATORS:
        raise UsageError(
            f"unknown accelerator {request.accelerator!r}",
            remedy=f"Use {', '.join(ACCELERATORS)}.",
        )
    if request.row.name != "onnxruntime":
        raise UsageError(
            f"the target {request.row.name} takes no accelerator",
            remedy="Use --accelerator with --target onnxruntime.",
        )


def _check_cuda(request: Request) -> None:
    """Before the target's own precisions: it is the provider that lacks one."""
    if not request.for_cuda or request.precision not in onnxruntime_cuda.LACKING:
        return
    raise UsageError(
        f"ONNX Runtime's CUDA provider {onnxruntime_cuda.LACKING[request.precision]}",
        remedy=f"Use --precision {' or '.join(onnxruntime_cuda.PRECISIONS)}, or --target tensorrt.",
    )


def _check_engine(request: Request) -> None:
    _check_targets(request)
    if request.prepare_only and not (request.makes_plan or request.for_cuda):
        raise UsageError(
            "--prepare-only leaves out the build of a TensorRT plan",
            remedy="Use it with --target tensorrt.",
        )
    if not request.for_tensorrt:
        for key in _ENGINE_OPTIONS:
            if request.for_cuda and key == "workspace":
                continue
            if getattr(request, key) != DEFAULTS[key]:
                raise UsageError(
                    f"{flag(key)} is for TensorRT engines",
                    remedy="Use it with --target tensorrt, or leave it out.",
                )
        return
    if request.flavour is not None:
        request.build_options.check(request.flavour)
    if request.batch and request.max_batch_size != DEFAULTS["max_batch_size"]:
        raise UsageError(
            "--batch and --max-batch-size both set the largest batch",
            remedy="Leave out one of them.",
        )
    image = releases.CURRENT if request.triton is None else releases.find(request.triton)
    if request.accelerator and request.precision == "int8" and image.tensorrt_major < 11:
        raise UsageError(
            f"{image.tag} has TensorRT {image.tensorrt}, for which ONNX Runtime cannot request "
            "INT8 with the rest in FP16",
            remedy="Use --target tensorrt, or a container from 26.06 on.",
        )


def _check_targets(request: Request) -> None:
    """What is only for a flavour that builds for GPUs which this host need not have."""
    if request.format not in FORMATS:
        raise UsageError(
            f"unknown format {request.format!r}", remedy=f"Use {' or '.join(FORMATS)}."
        )
    if request.built_for:
        without = {"--triton": request.triton, "--timing-cache": request.timing_cache}
        for name, value in without.items():
            if value is not None:
                raise UsageError(
                    f"{name} is for engines of --target tensorrt", remedy="Leave it out."
                )
        if request.prepare_only and request.format != DEFAULTS["format"]:
            raise UsageError(
                f"--format {request.format} holds the engine, and --prepare-only builds none",
                remedy="Leave out one of them.",
            )
        return
    for key in ("gpus", "format"):
        if getattr(request, key) != DEFAULTS[key]:
            raise UsageError(
                f"{flag(key)} is for engines that are built without their GPU",
                remedy="Use it with --target tensorrt-rtx, or leave it out.",
            )
