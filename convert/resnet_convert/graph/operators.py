"""From an ATen operator, as torch.export writes it, to ONNX: one row per operator.

A row takes the emitter and the call's arguments by their schema names, and returns the ONNX value
(or `BATCH`). A tensor argument is an `ir.Value`. There is a row for every operator of the family's
networks, and for those of similar classifiers.
References: the ATen schemas (native_functions.yaml) and the ONNX operators at opset 17.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import ConversionError

if TYPE_CHECKING:
    import onnx_ir as ir

_END = 2**63 - 1


class Batch:
    """The type of `BATCH`, the number of images: what `x.size(0)` and `x.shape[0]` return."""


BATCH = Batch()


class Emitter(Protocol):
    """What a row writes with; `writer.Writer` is one."""

    def emit(self, op_type: str, inputs: Sequence[Any], /, **attributes: Any) -> ir.Value:
        """Add a node for the current call; returns its output."""

    def constant(self, suffix: str, value: NDArray[Any]) -> ir.Value:
        """Add a constant of the current call."""

    def refusal(self, why: str) -> ConversionError:
        """The error to raise for arguments that have no ONNX form here."""


Arguments = Mapping[str, Any]
Row = Callable[[Emitter, Arguments], Any]


def _pair(value: Any) -> list[int]:
    """Two numbers: ATen writes a square window as one number or as two."""
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def _conv2d(to: Emitter, a: Arguments) -> ir.Value:
    inputs = [a["input"], a["weight"]] + ([a["bias"]] if a["bias"] is not None else [])
    if isinstance(a["padding"], str):
        raise to.refusal(f"padding={a['padding']!r}; give the padding in pixels")
    return to.emit(
        "Conv",
        inputs,
        kernel_shape=list(a["weight"].shape.numpy())[2:],
        strides=_pair(a["stride"]),
        pads=_pair(a["padding"]) * 2,
        dilations=_pair(a["dilation"]),
        group=a["groups"],
    )


def _batch_norm(to: Emitter, a: Arguments) -> ir.Value:
    if a["training"] or a["running_mean"] is None:
        raise to.refusal("BatchNorm without running statistics; put the network in eval mode")
    channels = a["running_mean"].shape[0]
    weight = a["weight"]
    if weight is None:
        weight = to.constant("weight", np.ones(channels, np.float32))
    bias = a["bias"]
    if bias is None:
        bias = to.constant("bias", np.zeros(channels, np.float32))
    return to.emit(
        "BatchNormalization",
        [a["input"], weight, bias, a["running_mean"], a["running_var"]],
        epsilon=a["eps"],
    )


def _relu(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Relu", [a["self"]])


def _max_pool2d(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit(
        "MaxPool",
        [a["self"]],
        kernel_shape=_pair(a["kernel_size"]),
        strides=_pair(a["stride"] or a["kernel_size"]),
        pads=_pair(a["padding"]) * 2,
        dilations=_pair(a["dilation"]),
        ceil_mode=int(a["ceil_mode"]),
    )


def _avg_pool2d(to: Emitter, a: Arguments) -> ir.Value:
    if a["divisor_override"] is not None:
        raise to.refusal("divisor_override")
    return to.emit(
        "AveragePool",
        [a["self"]],
        kernel_shape=_pair(a["kernel_size"]),
        strides=_pair(a["stride"] or a["kernel_size"]),
        pads=_pair(a["padding"]) * 2,
        ceil_mode=int(a["ceil_mode"]),
        count_include_pad=int(a["count_include_pad"]),
    )


def _adaptive_avg_pool2d(to: Emitter, a: Arguments) -> Any:
    sides, wanted = list(a["self"].shape)[2:], _pair(a["output_size"])
    if wanted == [1, 1]:
        return to.emit("GlobalAveragePool", [a["self"]])
    if sides == wanted:
        return a["self"]
    if any(side % part for side, part in zip(sides, wanted, strict=True)):
        raise to.refusal(f"adaptive pooling of {sides} to {wanted}; only to a divisor of it")
    windows = [side // part for side, part in zip(sides, wanted, strict=True)]
    return to.emit("AveragePool", [a["self"]], kernel_shape=windows, strides=windows)


def _mean(to: Emitter, a: Arguments) -> ir.Value:
    rank = len(a["self"].shape)
    axes = sorted(axis % rank for axis in a.get("dim") or range(rank))
    if 0 in axes:
        raise to.refusal("a mean over the images of a batch")
    if a["dtype"] is not None:
        raise to.refusal(f"a mean in {a['dtype']}")
    if rank == 4 and axes == [2, 3]:
        pooled = to.emit("GlobalAveragePool", [a["self"]])
        return pooled if a["keepdim"] else to.emit("Flatten", [pooled], axis=1)
    return to.emit("ReduceMean", [a["self"]], axes=axes, keepdims=int(a["keepdim"]))


def _flatten(to: Emitter, a: Arguments) -> ir.Value:
    rank = len(a["self"].shape)
    if a["start_dim"] != 1 or a["end_dim"] not in (-1, rank - 1):
        raise to.refusal("flattening other than from dimension 1 to the last")
    return to.emit("Flatten", [a["self"]], axis=1)


def _sym_size(to: Emitter, a: Arguments) -> Any:
    if a["dim"] != 0:
        raise to.refusal(f"the size of dimension {a['dim']}; only that of the batch, 0")
    return BATCH


def _reshape(to: Emitter, a: Arguments) -> Any:
    """`x.view(x.size(0), -1)` and the like: the images stay separate."""
    given = [int(side) for side in list(a["self"].shape)[1:]]
    first, *rest = a["shape"] if "shape" in a else a["size"]
    first_is_batch = isinstance(first, Batch) or first == -1
    if not first_is_batch or any(isinstance(side, Batch) for side in rest):
        raise to.refusal("a reshape across images; keep dimension 0")
    if -1 in rest:
        known = math.prod(side for side in rest if side != -1)
        rest = [math.prod(given) // known if side == -1 else side for side in rest]
    if math.prod(rest) != math.prod(given):
        raise to.refusal("a reshape across images; keep dimension 0")
    if rest == given:
        return a["self"]
    if len(rest) == 1:
        return to.emit("Flatten", [a["self"]], axis=1)
    shape = to.constant("shape", np.asarray([0, *rest], np.int64))
    return to.emit("Reshape", [a["self"], shape])


def _squeeze(to: Emitter, a: Arguments) -> Any:
    shape = list(a["self"].shape)
    dims = a.get("dim", range(1, len(shape)))
    axes = [dim % len(shape) for dim in ([dims] if isinstance(dims, int) else dims)]
    if 0 in axes:
        raise to.refusal("squeezing the images of a batch")
    axes = [axis for axis in axes if shape[axis] == 1]
    if not axes:
        return a["self"]
    if len(axes) == len(shape) - 2 and 1 not in axes:
        return to.emit("Flatten", [a["self"]], axis=1)
    return to.emit("Squeeze", [a["self"], to.constant("axes", np.asarray(axes, np.int64))])


def _linear(to: Emitter, a: Arguments) -> ir.Value:
    if len(a["input"].shape) != 2:
        raise to.refusal(f"a linear layer over {len(a['input'].shape)} dimensions; only over 2")
    inputs = [a["input"], a["weight"]] + ([a["bias"]] if a["bias"] is not None else [])
    return to.emit("Gemm", inputs, transB=1)


def _add(to: Emitter, a: Arguments) -> ir.Value:
    if a["alpha"] != 1:
        raise to.refusal(f"add with alpha={a['alpha']}")
    return to.emit("Add", [a["self"], _operand(to, a["other"])])


def _mul(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Mul", [a["self"], _operand(to, a["other"])])


def _operand(to: Emitter, value: Any) -> Any:
    if isinstance(value, int | float):
        return to.constant("other", np.asarray(value, np.float32))
    return value


def _cat(to: Emitter, a: Arguments) -> ir.Value:
    axis = a["dim"] % len(a["tensors"][0].shape)
    if axis == 0:
        raise to.refusal("a concatenation of images")
    return to.emit("Concat", list(a["tensors"]), axis=axis)


def _slice(to: Emitter, a: Arguments) -> Any:
    start, end, step = a["start"] or 0, a["end"], a["step"]
    end = _END if end is None else end
    if (start, step) == (0, 1) and end >= _END:
        return a["self"]
    bounds = {"starts": start, "ends": end, "axes": a["dim"], "steps": step}
    inputs = [to.constant(name, np.asarray([value], np.int64)) for name, value in bounds.items()]
    return to.emit("Slice", [a["self"], *inputs])


def _pad(to: Emitter, a: Arguments) -> ir.Value:
    if a.get("mode", "constant") != "constant":
        raise to.refusal(f"{a['mode']} padding; only constant")
    # ATen lists (before, after) from the last dimension; ONNX all befores, then all afters.
    pads = list(a["pad"]) + [0] * (2 * len(a["self"].shape) - len(a["pad"]))
    befores, afters = pads[0::2][::-1], pads[1::2][::-1]
    amounts = to.constant("pads", np.asarray(befores + afters, np.int64))
    value = to.constant("value", np.asarray(a["value"] or 0, np.float32))
    return to.emit("Pad", [a["self"], amounts, value], mode="constant")


def _same(to: Emitter, a: Arguments) -> Any:
    """The argument itself: dropout in evaluation, copies and memory formats change no value."""
    if a.get("train") is True:
        raise to.refusal("dropout in training mode; put the network in eval mode")
    return a["input"] if "input" in a else a["self"]


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::conv2d": _conv2d,
        "aten::batch_norm": _batch_norm,
        "aten::relu": _relu,
        "aten::max_pool2d": _max_pool2d,
        "aten::avg_pool2d": _avg_pool2d,
        "aten::adaptive_avg_pool2d": _adaptive_avg_pool2d,
        "aten::mean": _mean,
        "aten::flatten": _flatten,
        "aten::linear": _linear,
        "aten::add": _add,
        "aten::mul": _mul,
        "aten::cat": _cat,
        "aten::sym_size": _sym_size,
        "aten::view": _reshape,
        "aten::reshape": _reshape,
        "aten::squeeze": _squeeze,
        "aten::slice": _slice,
        "aten::pad": _pad,
        "aten::constant_pad_nd": _pad,
        "aten::dropout": _same,
        "aten::clone": _same,
        "aten::contiguous": _same,
        "aten::detach": _same,
        "aten::lift_fresh_copy": _same,
    }
)
