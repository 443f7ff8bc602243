"""RTX targets: the compute capabilities that `--for` means, and what their GPUs cannot compute.

    --for rtx-4090,l4        8.9
    --for t4                 7.5, FP16 alone
    (not given)              8.0, 8.6, 8.9 and 12.0 in one plan, of which FP8 has the last two

One plan for several capabilities costs bytes only, but for Turing, see `chosen`. Which precision
has kernels where is what the builder of TensorRT-RTX 1.7.1 said (docs/tensorrt-rtx.md).
"""

from __future__ import annotations

from resnet_convert.tensorrt.judging.verdict import DEFAULT_TARGETS as DEFAULT
from resnet_serve.cuda.gpu_names import capability
from resnet_serve.errors import UsageError
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

_TURING = "7.5"
_LEAST_FOR_FP8 = (8, 9)
_USE_FP16 = "Use --precision fp16, or name other GPUs with --for."


def chosen(gpus: str | None, precision: str) -> tuple[str, ...]:
    """The compute capabilities to build for, ascending.

    `gpus` is the value of `--for`: names or compute capabilities, separated by commas. Raises
    `UsageError` for a name that is not known, a GPU that TensorRT-RTX does not support, and one
    that cannot compute in `precision`:

    - Turing (7.5) has FP16 alone: the builder refuses FP32 ("FP32 GEMM is not supported") and
      BF16, and it dequantizes INT8 weights, in a plan with other targets for all of them.
    - FP8 needs 8.9.
    """
    if gpus is None:
        return tuple(each for each in DEFAULT if precision != "fp8" or _has_fp8(each))
    found = _named(gpus)
    for text, each in found.items():
        _check(_words(text, each), each, precision)
    return tuple(each for each in TENSORRT_RTX.targets if each in found.values())


def named(gpus: str) -> tuple[str, ...]:
    """The compute capabilities of these GPUs, ascending, whatever is to be computed on them.

    Raises `UsageError` for a name that is not known, and a GPU that TensorRT-RTX does not support.
    """
    found = _named(gpus).values()
    return tuple(each for each in TENSORRT_RTX.targets if each in found)


def _named(gpus: str) -> dict[str, str]:
    texts = [text.strip() for text in gpus.split(",")]
    found = {text: capability(text) for text in texts if text}
    if not found:
        raise UsageError(f"--for {gpus!r} names no GPU", remedy="Write for instance rtx-4090,l4.")
    for text, each in found.items():
        if each not in TENSORRT_RTX.targets:
            raise UsageError(
                f"{_words(text, each)} is not supported by {TENSORRT_RTX.title}, which has compute "
                f"capability {', '.join(TENSORRT_RTX.targets)}",
                remedy="Use --target tensorrt, on a host with that GPU.",
            )
    return found


def _words(gpu: str, target: str) -> str:
    return gpu if gpu == target else f"{gpu} ({target})"


def _check(what: str, target: str, precision: str) -> None:
    if target == _TURING and precision == "int8":
        raise UsageError(
            f"{what} computes INT8 networks in FP16 with {TENSORRT_RTX.title}, and in one plan "
            "with other GPUs these would lose INT8 too",
            remedy=_USE_FP16,
        )
    if target == _TURING and precision != "fp16":
        raise UsageError(
            f"{what} has no {precision.upper()} with {TENSORRT_RTX.title}, only FP16",
            remedy=_USE_FP16,
        )
    if precision == "fp8" and not _has_fp8(target):
        raise UsageError(f"{what} has no FP8, which needs compute capability 8.9", remedy=_USE_FP16)


def _has_fp8(target: str) -> bool:
    major, minor = target.split(".")
    return (int(major), int(minor)) >= _LEAST_FOR_FP8
