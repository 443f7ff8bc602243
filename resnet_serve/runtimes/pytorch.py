"""The reference runtime: the PyTorch network itself, FP32, eager, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.optional import optional
from resnet_serve.runtimes import RunnableModel

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")


def load(network: nn.Module, *, threads: int, channels_last: bool = False) -> PyTorchModel:
    """Wrap a network in evaluation mode; input FP32 [N,3,H,W], normalised."""
    return PyTorchModel(network, threads=threads, channels_last=channels_last)


class PyTorchModel(RunnableModel):
    """See `load`."""

    def __init__(self, network: nn.Module, *, threads: int, channels_last: bool) -> None:
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._network = network.eval().to(memory_format=self._format)  # type: ignore[call-overload]
        self._threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            image = torch.from_numpy(batch).to(memory_format=self._format)
            logits: NDArray[np.float32] = self._network(image).numpy()
        return logits

    def describe(self) -> dict[str, object]:
        return {
            "runtime": "pytorch",
            "version": torch.version.__version__,
            "threads": self._threads,
            "channels_last": self._format is torch.channels_last,
        }

    def close(self) -> None:
        """Nothing to release: the network belongs to the caller."""
