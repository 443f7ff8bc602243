"""Default target: what no `--target`, or "auto", means on this host."""

from __future__ import annotations

from dataclasses import replace

from resnet_convert.request.options import AUTO
from resnet_convert.request.request import Request
from resnet_convert.tensorrt.builder import open_build_host
from resnet_serve.runtimes import TARGETS


def default_target(request: Request) -> tuple[Request, str | None]:
    """The request with the target TensorRT where it and a GPU are, else as it is.

    "auto" stays where a CPU has the precision too: then TensorRT and ONNX Runtime's CUDA provider
    enter the comparison. The sentence says why TensorRT cannot be used, where that decided.
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
                "the target is TensorRT, and nothing is compared with it, so that --optimize has "
                "no effect"
            )
    if missing is None or not row.installed:
        return request, None
    so = "" if request.target == AUTO else ", so this is for CPUs"
    return request, f"TensorRT is installed and cannot be used{so}: {missing}"
