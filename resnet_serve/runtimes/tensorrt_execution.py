"""Execution contexts of one TensorRT engine: one after another in one stream, over shared memory.

    set shape ─► infer shapes ─► [copy in] ─► enqueue, or launch the captured graph ─► [copy out]

Used by `runtimes.tensorrt`, which creates the contexts; this file does not import TensorRT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_serve.cuda import Device, Event, Graph, Memory, Stream
from resnet_serve.errors import HostError
from resnet_serve.runtimes.tensorrt_signature import EngineTensor, shown

if TYPE_CHECKING:
    import tensorrt as trt


class Errors(Protocol):
    """What a TensorRT, called `title`, has logged."""

    title: str

    @property
    def last_error(self) -> str:
        """The newest error; "" when there is none."""


def refused(what: str, log: Errors) -> HostError:
    """The error of a call for which TensorRT returned False or null, with its logged reason."""
    reason = f" ({log.last_error})" if log.last_error else ""
    full = "out of memory" in log.last_error.lower()
    remedy = "Free the GPU (nvidia-smi shows what uses it), or build for smaller batches."
    return HostError(f"{log.title} {what}{reason}", remedy=remedy if full else None)


class Buffers:
    """The stream and all memory of a model, sized for its largest batch.

    `host_outputs` is page-locked memory and `outputs` that of the GPU, both by the output's name.
    """

    def __init__(
        self,
        device: Device,
        image: EngineTensor,
        outputs: Sequence[EngineTensor],
        *,
        largest: int,
        scratch_bytes: int,
    ) -> None:
        self._device = device
        with ExitStack() as stack:
            self.stream: Stream = stack.enter_context(closing(device.stream()))
            self.start: Event = stack.enter_context(closing(device.event()))
            self.end: Event = stack.enter_context(closing(device.event()))
            self.host_input = device.pinned((largest, *image.shape[1:]), image.dtype)
            self.host_outputs = {
                each.name: device.pinned((largest, *each.shape[1:]), each.dtype) for each in outputs
            }
            self.input: Memory = stack.enter_context(
                closing(device.allocate(self.host_input.nbytes))
            )
            self.outputs: dict[str, Memory] = {
                name: stack.enter_context(closing(device.allocate(host.nbytes)))
                for name, host in self.host_outputs.items()
            }
            self.scratch_bytes = scratch_bytes
            self.scratch: Memory = stack.enter_context(
                closing(device.allocate(max(1, scratch_bytes)))
            )
            self.addresses = {image.name: self.input.handle} | {
                name: memory.handle for name, memory in self.outputs.items()
            }
            self.image, self.results = image, tuple(outputs)
            self._closing = stack.pop_all()

    def copy_out(self, count: int) -> dict[str, NDArray[np.float32]]:
        """Queue copies of `count` rows of each output, whole once the stream is synchronised."""
        found = {name: host[:count] for name, host in self.host_outputs.items()}
        for name, host in found.items():
            self._device.copy_out(host, self.outputs[name], self.stream)
        return found

    def close(self) -> None:
        """Release the stream, the events and the memory."""
        with self._device.current():
            self._closing.close()
            # Page-locked memory is freed with the last reference to it.
            self.host_input, self.host_outputs = np.empty(0), {}


class EngineExecution:
    """An execution context of one profile; with `capturable`, for one batch size and its graph.

    `capturable` says whether a graph of the context can be captured in a stream by now.
    """

    def __init__(
        self,
        context: trt.IExecutionContext,
        profile: int,
        device: Device,
        buffers: Buffers,
        log: Errors,
        *,
        capturable: Callable[[trt.IExecutionContext, int], bool] | None,
    ) -> None:
        self._device, self._buffers, self._log = device, buffers, log
        self._capturable = capturable
        self._shape: tuple[int, ...] = ()
        self._ran = False
        self._graph: Graph | None = None
        self._context: trt.IExecutionContext = context
        context.set_device_memory(buffers.scratch.handle, buffers.scratch_bytes)
        if not context.set_optimization_profile_async(profile, buffers.stream.handle):
            raise refused(f"refuses the plan's own profile {profile}", log)
        for name, address in buffers.addresses.items():
            if not context.set_tensor_address(name, address):
                raise refused(f"refuses the memory of {name!r}", log)

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Set the input's shape; after a first run at it, capture the graph."""
        if shape != self._shape:
            self._set(shape)
        elif self._capturable is not None and self._ran and self._graph is None:
            stream = self._buffers.stream
            if self._capturable(self._context, stream.handle):
                self._graph = self._device.capture(stream, self._enqueue)

    def start(self) -> None:
        """Queue one run."""
        if self._graph is None:
            self._enqueue()
        else:
            self._device.launch(self._graph, self._buffers.stream)
        self._ran = True

    def close(self) -> None:
        """Release the captured graph; the context is freed with its last reference."""
        if self._graph is not None:
            self._graph.close()

    def _set(self, shape: tuple[int, ...]) -> None:
        image = self._buffers.image
        self._shape = ()  # unknown until all of this has succeeded
        if not self._context.set_input_shape(image.name, shape):
            raise refused(f"refuses an input of {shown(shape)}", self._log)
        missing = self._context.infer_shapes()
        if missing:
            raise refused(f"cannot infer the shapes: {', '.join(missing)} is unset", self._log)
        for each in self._buffers.results:
            found = tuple(self._context.get_tensor_shape(each.name))
            if found != (shape[0], *each.shape[1:]):
                what = f"gives {each.name!r} as {shown(found)} for an input of {shown(shape)}"
                raise refused(what, self._log)
        self._shape = shape

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._buffers.stream.handle):
            raise refused("did not run the engine", self._log)
