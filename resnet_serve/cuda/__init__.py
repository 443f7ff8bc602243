"""The GPU as a TensorRT runtime needs it: streams, memory, copies, events and CUDA graphs.

    device = open_device()
    with device.current():
        stream = device.stream()
        memory = device.allocate(4096)

One small interface, `Device`; `with_pycuda` implements it, or `with_cuda_python` where pycuda is
absent. Both work in the device's primary context, which torch and TensorRT use as well.
"""

from __future__ import annotations

import ctypes
import importlib.util

from resnet_serve.cuda.device import Device, Event, Gpu, Graph, Memory, Stream
from resnet_serve.errors import HostError

__all__ = ["Device", "Event", "Gpu", "Graph", "Memory", "Stream", "open_device"]

DRIVER = "libcuda.so.1"


def open_device(index: int = 0) -> Device:
    """The GPU of that number, through pycuda or else cuda-python.

    Raises `HostError` when this host has no driver, no such GPU, or neither package.
    """
    try:
        ctypes.CDLL(DRIVER)
    except OSError as error:
        raise HostError(
            f"this host has no NVIDIA driver ({error})",
            remedy="Work on a GPU host where nvidia-smi answers "
            "(in a container: docker run --gpus all).",
        ) from error
    if _installed("pycuda.driver"):
        from resnet_serve.cuda.with_pycuda import PyCudaDevice

        return PyCudaDevice.open(index, DRIVER)
    if _installed("cuda.bindings.runtime"):
        from resnet_serve.cuda.with_cuda_python import CudaPythonDevice

        return CudaPythonDevice.open(index)
    raise HostError(
        "neither pycuda nor cuda-python is installed here, and one of them drives the GPU",
        remedy="pip install 'resnet-serve[tensorrt]' (cuda-python) or 'resnet-serve[pycuda]'",
    )


def _installed(module: str) -> bool:
    """Whether the package has this module, without running what the module does at import."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # a parent package is missing
        return False
