"""The `tensorrt_rtx` backend: plans of TensorRT-RTX behind Triton; there is no native one.

The contract is that of the `tensorrt` backend, and so is all of it but the library. It has never
run on a GPU.
"""

from __future__ import annotations

from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX
from resnet_serve.triton.backends.tensorrt import model


class TritonPythonModel(model.TritonPythonModel):
    """One instance of a model; see the backend `tensorrt`."""

    flavour = TENSORRT_RTX
