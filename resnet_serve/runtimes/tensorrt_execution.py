"""Run one TensorRT execution context after another in one stream, over the same memory.

    set shape ─► infer shapes ─► [copy in] ─► enqueue, or launch the captured graph ─► [copy out]

The half of `runtimes.tensorrt` that needs no TensorRT of its own: the contexts are given to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from resnet_serve.cuda import Device, Event, Graph, Memory, Stream
from resnet_serve.errors import HostError

if TYPE_CHECKING:
    import tensorrt as trt


class Errors(Protocol):
    """What TensorRT has logged as errors."""

    last_error: str


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine; a dynamic batch is -1."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def refused(what: str, log: Errors) -> HostError:
    """The error of a call that TensorRT answered with False or with nothing."""
    said = f" ({log.last_error})" if log.last_error else ""
    full = "out of memory" in log.last_error.lower()
    remedy = "Free the GPU (nvidia-smi shows who uses it), or build for smaller batches."
    return HostError(f"TensorRT {what}{said}", remedy=remedy if full else None)


def shown(shape: Sequence[object]) -> str:
    """[8,224,224,3]"""
    return "[" + ",".join(map(str, shape)) + "]"


class Buffers:
    """The stream and all memory of a model, sized for its largest batch."""

    def __init__(
        self, device: Device, given: Tensor, answer: Tensor, *, largest: int, scratch_bytes: int
    ) -> None:
        self._device = device
        with ExitStack() as stack:
            self.stream: Stream = stack.enter_context(closing(device.stream()))
            self.start: Event = stack.enter_context(closing(device.event()))
            self.end: Event = stack.enter_context(closing(device.event()))
            self.host_input = device.pinned((largest, *given.shape[1:]), given.dtype)
            self.host_output = device.pinned((largest, *answer.shape[1:]), answer.dtype)
            self.input: Memory = stack.enter_context(
                closing(device.allocate(self.host_input.nbytes))
            )
            self.output: Memory = stack.enter_context(
                closing(device.allocate(self.host_output.nbytes))
            )
            self.scratch_bytes = scratch_bytes
            self.scratch: Memory = stack.enter_context(
                closing(device.allocate(max(1, scratch_bytes)))
            )
            self.addresses = {given.name: self.input.handle, answer.name: self.output.handle}
            self.given, self.answer = given, answer
            self._closing = stack.pop_all()

    def close(self) -> None:
        with self._device.current():
            self._closing.close()
            # Page-locked memory goes with the last reference to it.
            self.host_input = self.host_output = np.empty(0)


class Execution:
    """An execution context in one profile; with `capturing`, one batch size and its graph."""

    def __init__(
        self,
        context: trt.IExecutionContext,
        profile: int,
        device: Device,
        buffers: Buffers,
        log: Errors,
        *,
        capturing: bool,
    ) -> None:
        self._device, self._buffers, self._log = device, buffers, log
        self._capturing = capturing
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
        elif self._capturing and self._ran and self._graph is None:
            self._graph = self._device.capture(self._buffers.stream, self._enqueue)

    def start(self) -> None:
        """Queue one run."""
        if self._graph is None:
            self._enqueue()
        else:
            self._device.launch(self._graph, self._buffers.stream)
        self._ran = True

    def close(self) -> None:
        if self._graph is not None:
            self._graph.close()

    def _set(self, shape: tuple[int, ...]) -> None:
        given, answer = self._buffers.given, self._buffers.answer
        self._shape = ()  # unknown until all of this has gone well
        if not self._context.set_input_shape(given.name, shape):
            raise refused(f"refuses an input of {shown(shape)}", self._log)
        missing = self._context.infer_shapes()
        if missing:
            raise refused(f"cannot tell the shapes, {', '.join(missing)} is unset", self._log)
        found = tuple(self._context.get_tensor_shape(answer.name))
        if found != (shape[0], *answer.shape[1:]):
            raise refused(f"answers {shown(found)} to {shown(shape)}", self._log)
        self._shape = shape

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._buffers.stream.handle):
            raise refused("did not run the engine", self._log)
