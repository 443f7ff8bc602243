"""Convolutions, transposed convolutions and linear layers: the operators that have weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from resnet_convert.graph.operators.emitter import (
    Arguments,
    Batch,
    Emitter,
    Row,
    constant_of,
    pair,
    rank,
    reshaped,
    sides,
    size_of,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def _inputs(to: Emitter, a: Arguments) -> list[Any]:
    constant_of(to, a["weight"], "weights")
    return [a["input"], a["weight"]] + ([a["bias"]] if a["bias"] is not None else [])


def _repeated(value: Any, count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _conv(to: Emitter, a: Arguments) -> ir.Value:
    kernel = list(a["weight"].shape.numpy())[2:]
    dilations = _repeated(a["dilation"], len(kernel))
    if a["padding"] == "same":  # as PyTorch: the odd one goes behind
        total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        before = [each // 2 for each in total]
        pads = before + [each - first for each, first in zip(total, before, strict=True)]
    else:
        padding = 0 if a["padding"] == "valid" else a["padding"]
        pads = _repeated(padding, len(kernel)) * 2
    return to.emit(
        "Conv",
        _inputs(to, a),
        kernel_shape=kernel,
        strides=_repeated(a["stride"], len(kernel)),
        pads=pads,
        dilations=dilations,
        group=a["groups"],
    )


def _conv_transpose2d(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit(
        "ConvTranspose",
        _inputs(to, a),
        kernel_shape=list(a["weight"].shape.numpy())[2:],
        strides=pair(a["stride"]),
        pads=pair(a["padding"]) * 2,
        output_padding=pair(a["output_padding"]),
        dilations=pair(a["dilation"]),
        group=a["groups"],
    )


def _linear(to: Emitter, a: Arguments) -> ir.Value:
    """Over more than two dimensions: the same layer over every position, as one Gemm."""
    inputs = _inputs(to, a)
    dimensions = rank(a["input"])
    if dimensions < 2:
        raise to.refusal(f"a linear layer over {dimensions} dimension")
    if dimensions == 2:
        return to.emit("Gemm", inputs, transB=1)
    *positions, read = sides(a["input"])
    known, images = size_of(positions)
    count = Batch(known) if images else known
    flat = to.emit("Flatten", [a["input"]], axis=dimensions - 1)
    inputs[0] = to.shaped(flat, [count, read])
    written = int(a["weight"].shape[0])
    rows = to.shaped(to.emit("Gemm", inputs, transB=1), [count, written])
    return reshaped(to, rows, [*positions, written])


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::conv1d": _conv,
        "aten::conv2d": _conv,
        "aten::conv_transpose2d": _conv_transpose2d,
        "aten::linear": _linear,
    }
)
