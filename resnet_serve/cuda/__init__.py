"""The device interface of the TensorRT runtime: streams, memory, copies, events, CUDA graphs.

    device = open_device()
    with device.current():
        stream = device.stream()
        memory = device.allocate(4096)

`Device` is the interface; `with_pycuda` implements it, and `with_cuda_python` where pycuda is not
installed. Both work in the device's primary context, which torch and TensorRT use as well.
"""

from __future__ import annotations

import ctypes
import importlib.util

from resnet_serve.cuda.device import Device, Event, Gpu, Graph, Memory, Stream
from resnet_serve.errors import HostError

__all__ = ["Device", "Event", "Gpu", "Graph", "Memory", "Stream", "open_device"]

DRIVER = "libcuda.so.1"


def open_device(index: int = 0) -> Device:
    """GPU number `index`, through pycuda or else cuda-python.

    Raises `HostError` when this host has no driver, no such GPU, or neither package.
    """
    try:
        ctypes.CDLL(DRIVER)
    except OSError as error:
        raise HostError(
            f"this host has no NVIDIA driver ({error})",
            remedy="Use a GPU host where nvidia-smi works (in a container: docker run --gpus all).",
        ) from error
    if _installed("pycuda.driver"):
        from resnet_serve.cuda.with_pycuda import PyCudaDevice

        return PyCudaDevice.open(index, DRIVER)
    if _installed("cuda.bindings.runtime"):
        from resnet_serve.cuda.with_cuda_python import CudaPythonDevice

        return CudaPythonDevice.open(index)
    raise HostError(
        "neither pycuda nor cuda-python is installed here, and the GPU needs one of them",
        remedy="pip install 'resnet-serve[tensorrt]' (cuda-python) or 'resnet-serve[pycuda]'",
    )


def _installed(module: str) -> bool:
    """Whether the module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # its parent package is missing
        return False
