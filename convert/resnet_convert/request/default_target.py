"""Default target: what no `--target`, or "auto", means on this host."""

from __future__ import annotations

from dataclasses import replace

from resnet_convert.request.options import AUTO
from resnet_convert.request.request import Request
from resnet_convert.tensorrt.builder import open_build_host
from resnet_serve.runtimes import TARGETS


def default_target(request: Request) -> tuple[Request, str | None]:
    """The request with the target TensorRT where it and a GPU are, else as it is.

    The sentence says why not, where TensorRT is installed and cannot be used.
    """
    decided = request.target not in (None, AUTO) or request.accelerator is not None
    row = TARGETS["tensorrt"]
    if decided or request.prepare_only or request.precision not in row.precisions:
        return request, None
    with open_build_host() as (build_host, missing):
        if build_host is not None:
            chosen = replace(request, target=row.name).decided()
            if chosen.optimize == request.optimize:
                return chosen, None
            return chosen, (
                "the target is TensorRT, so that --optimize, which compares the runtimes of a "
                "CPU, has no effect: --target onnxruntime or openvino is a CPU's"
            )
    if missing is None or not row.installed:
        return request, None
    return request, f"TensorRT is installed and cannot be used, so this is for CPUs: {missing}"
