"""Emitter: what a row of the table writes with, and what it may ask of its arguments.

A tensor argument is an `ir.Value`. The number of images is not known when a network is traced:
where PyTorch computes with it, a row gets a `Batch`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import ConversionError

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Batch:
    """A multiple of the number of images: `x.size(0)`, or `x.size(0) * windows`."""

    times: int = 1


BATCH = Batch()
Side = int | Batch


class Emitter(Protocol):
    """What a row writes with; `writer.Writer` is one."""

    def emit(self, op_type: str, inputs: Sequence[Any], /, **attributes: Any) -> ir.Value:
        """Add a node for the current call; returns its output."""

    def constant(self, suffix: str, value: NDArray[Any]) -> ir.Value:
        """Add a constant of the current call."""

    def shaped(self, value: ir.Value, wanted: Sequence[Side]) -> ir.Value:
        """Note the shape of a tensor between two operators of the current call; returns it."""

    def batch(self) -> ir.Value:
        """The number of images as a tensor, INT64 [1]."""

    def refusal(self, why: str) -> ConversionError:
        """The error to raise for arguments that have no ONNX form here."""


Arguments = Mapping[str, Any]
Row = Callable[[Emitter, Arguments], Any]


def sides(value: ir.Value) -> list[Side]:
    """The shape of a tensor; a side that depends on the number of images is a `Batch`."""
    found: list[Side] = []
    for side in value.shape or ():
        if isinstance(side, int):
            found.append(side)
        else:
            times, _, _ = str(side.value).rpartition("batch")
            found.append(Batch(int(times.rstrip("*")) if times else 1))
    return found


def rank(value: ir.Value) -> int:
    """The number of dimensions of a tensor."""
    return len(value.shape or ())


def axis_of(value: ir.Value, dim: int) -> int:
    """A dimension counted from the front."""
    return dim % max(rank(value), 1)


def axes_of(to: Emitter, value: ir.Value, dims: Any, *, what: str) -> list[int]:
    """The dimensions to reduce, all of them for None or none given, sorted.

    Refuses `what` over the images of a batch.
    """
    listed = [dims] if isinstance(dims, int) else list(dims or range(rank(value)))
    axes = sorted(axis_of(value, dim) for dim in listed)
    given = sides(value)
    if any(isinstance(given[axis], Batch) for axis in axes):
        raise to.refusal(f"{what} over the images of a batch")
    return axes


def pair(value: Any) -> list[int]:
    """Two numbers: ATen writes a square window as one number or as two."""
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def is_number(value: Any) -> bool:
    """Whether an argument is a number, not a tensor."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(to: Emitter, value: float, suffix: str = "constant") -> ir.Value:
    """A scalar FP32 constant."""
    return to.constant(suffix, np.asarray(value, np.float32))


def operand(to: Emitter, value: Any) -> Any:
    """A tensor, or a number as a constant; constants of other types become FP32, as in PyTorch."""
    if is_number(value):
        return number(to, value, "other")
    if isinstance(value, Batch):
        raise to.refusal("the number of images in a computation")
    array = array_of(value)
    if array is not None and array.dtype != np.float32:
        return to.constant("other", array.astype(np.float32))
    return value


def array_of(value: ir.Value) -> NDArray[Any] | None:
    """The numbers of a constant; None for a tensor that depends on the image."""
    return None if value.const_value is None else value.const_value.numpy()


def constant_of(to: Emitter, value: ir.Value, what: str) -> NDArray[Any]:
    """The numbers of a constant; refuses a tensor that depends on the image."""
    array = array_of(value)
    if array is None:
        raise to.refusal(f"{what} that depend on the image")
    return array


def integers(to: Emitter, suffix: str, values: Sequence[int]) -> ir.Value:
    """A list of integers as a constant, INT64."""
    return to.constant(suffix, np.asarray(values, np.int64))


def reshaped(to: Emitter, value: ir.Value, wanted: Sequence[Side]) -> ir.Value:
    """A reshape; at most one side may depend on the number of images."""
    if len(wanted) == 2 and wanted[0] == BATCH and sides(value)[:1] == [BATCH]:
        return to.emit("Flatten", [value], axis=1)
    if sum(isinstance(side, Batch) for side in wanted) > 1:
        raise to.refusal("a reshape to two sides that depend on the number of images")
    shape = [-1 if isinstance(side, Batch) else side for side in wanted]
    # A zero keeps the side: where the images stay in front, nothing has to be inferred.
    if wanted[:1] == [BATCH] and sides(value)[:1] == [BATCH]:
        shape[0] = 0
    return to.emit("Reshape", [value, integers(to, "shape", shape)])


def transposed(to: Emitter, value: ir.Value, order: Sequence[int]) -> ir.Value:
    """A permutation of the dimensions."""
    if list(order) == sorted(order):
        return value
    return to.emit("Transpose", [value], perm=list(order))


def sliced(
    to: Emitter, value: ir.Value, axis: int, start: int, end: int, step: int = 1
) -> ir.Value:
    """A part of a tensor along one dimension."""
    bounds = {"starts": start, "ends": end, "axes": axis, "steps": step}
    inputs = [integers(to, name, [bound]) for name, bound in bounds.items()]
    return to.emit("Slice", [value, *inputs])


def size_of(given: Sequence[Side]) -> tuple[int, int]:
    """The number of values: a factor, and how many sides depend on the number of images."""
    known = math.prod(side if isinstance(side, int) else side.times for side in given)
    return known, sum(isinstance(side, Batch) for side in given)
