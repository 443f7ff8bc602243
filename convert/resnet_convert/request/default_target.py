"""Default target: what no `--target`, or "auto", means on this host."""

from __future__ import annotations

from dataclasses import replace

from resnet_convert.request.options import AUTO
from resnet_convert.request.options.engines import CUDA
from resnet_convert.request.request import Request
from resnet_convert.tensorrt.builder import open_build_host
from resnet_serve.errors import HostError
from resnet_serve.runtimes import TARGETS, onnxruntime_cuda


def _cuda_can_run(request: Request) -> bool:
    if request.precision not in onnxruntime_cuda.PRECISIONS or not onnxruntime_cuda.gpu_here():
        return False
    try:
        onnxruntime_cuda.check_installed()
    except HostError:
        return False
    return True


def default_target(request: Request) -> tuple[Request, str | None]:
    """The request with the target TensorRT where it and a GPU are, else as it is.

    "auto" stays where TensorRT is and a CPU has the precision too: TensorRT enters that comparison.
    It takes ONNX Runtime's CUDA provider on a GPU host that has it and no TensorRT; those two are
    not compared. The sentence says why TensorRT cannot be used, where that decided.
    """
    decided = request.target not in (None, AUTO) or request.accelerator is not None
    row = TARGETS["tensorrt"]
    if decided or request.prepare_only or request.precision not in row.precisions:
        return request, None
    with open_build_host() as (build_host, missing):
        if build_host is not None:
            cpus = [each for each in TARGETS.values() if not each.gpu]
            if request.target == AUTO and any(request.precision in cpu.precisions for cpu in cpus):
                return request, None
            chosen = replace(request, target=row.name).decided()
            if chosen.optimize == request.optimize:
                return chosen, None
            return chosen, (
                "the target is TensorRT, so that --optimize, which compares the runtimes of a "
                "CPU, has no effect: --target onnxruntime or openvino is a CPU's"
            )
    if request.target == AUTO and _cuda_can_run(request):
        reason = f"TensorRT cannot be used here ({missing.what})" if missing else "no TensorRT"
        return replace(request, target="onnxruntime", accelerator=CUDA).decided(), (
            f"{reason}, so the GPU runs it in ONNX Runtime's CUDA provider; the runtimes of the "
            "CPU were not compared: --target onnxruntime or openvino is a CPU's"
        )
    if missing is None or not row.installed:
        return request, None
    return request, f"TensorRT is installed and cannot be used, so this is for CPUs: {missing}"
