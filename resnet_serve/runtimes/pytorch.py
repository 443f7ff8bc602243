"""The reference runtime: the PyTorch network itself, FP32, eager, on the CPU or on a GPU.

On a GPU its convolutions and products keep 23 bits (no TF32), and CUDA events can time it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.optional import optional
from resnet_serve.runtimes import LOGITS, RunnableModel

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")


def load(
    network: nn.Module, *, threads: int, channels_last: bool = False, device: str = "cpu"
) -> PyTorchModel:
    """Wrap a network in evaluation mode; input FP32 [N,3,H,W], normalised.

    `channels_last` and `device` "cuda" wrap a copy; the caller's network is not changed.
    """
    return PyTorchModel(network, threads=threads, channels_last=channels_last, device=device)


def gpu_available() -> bool:
    """Whether this PyTorch can compute on a GPU here."""
    return bool(torch.cuda.is_available())


def only_known_modules(network: nn.Module) -> bool:
    """Whether all modules are PyTorch's layers or ours, with no hooks.

    None of them keeps anything between calls, or minds how its input lies in memory.
    """
    return all(
        type(module).__module__.startswith(("torch.nn.", "resnet_serve."))
        and not (module._forward_hooks or module._forward_pre_hooks)
        for module in network.modules()
    )


def outputs_of(network: nn.Module, images: torch.Tensor) -> dict[str, NDArray[np.float32]]:
    """The outputs of a network by name; a network that returns one tensor has logits alone."""
    with torch.inference_mode():
        found = network(images)
        named = found if isinstance(found, dict) else {LOGITS: found}
        return {str(name): tensor.cpu().numpy() for name, tensor in named.items()}


class PyTorchModel(RunnableModel):
    """See `load`."""

    def __init__(
        self, network: nn.Module, *, threads: int, channels_last: bool, device: str
    ) -> None:
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._device = torch.device(device)
        if channels_last or self._device.type == "cuda":
            network = copy.deepcopy(network)
        if self._device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self._network = network.eval().to(self._device)
        self._network = self._network.to(memory_format=self._format)  # type: ignore[call-overload]
        self._threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The network's first output for one batch."""
        return next(iter(self.run_all(batch).values()))

    def run_all(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Every output of one batch, by name."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        image = torch.from_numpy(batch).to(device=self._device, memory_format=self._format)
        return outputs_of(self._network, image)

    def timed(self, batch: NDArray[Any]) -> float:
        """Run once and return the milliseconds on the GPU, copies in and out included."""
        event: Any = torch.cuda.Event
        started, ended = event(enable_timing=True), event(enable_timing=True)
        started.record()
        self.run(batch)
        ended.record()
        ended.synchronize()
        return float(started.elapsed_time(ended))

    def describe(self) -> dict[str, object]:
        """PyTorch's version, threads, memory format and device."""
        return {
            "runtime": "pytorch",
            "version": torch.version.__version__,
            "threads": self._threads,
            "channels_last": self._format is torch.channels_last,
            "device": str(self._device),
        }

    def close(self) -> None:
        """Nothing to release: the network belongs to the caller."""
