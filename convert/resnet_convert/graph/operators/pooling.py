"""Pools, and resizing: what changes the number of pixels without weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_convert.graph.operators.emitter import (
    Arguments,
    Emitter,
    Row,
    number,
    pair,
    sides,
    sliced,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def _max_pool2d(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit(
        "MaxPool",
        [a["self"]],
        kernel_shape=pair(a["kernel_size"]),
        strides=pair(a["stride"] or a["kernel_size"]),
        pads=pair(a["padding"]) * 2,
        dilations=pair(a["dilation"]),
        ceil_mode=int(a["ceil_mode"]),
    )


def _avg_pool2d(to: Emitter, a: Arguments) -> ir.Value:
    kernel, divisor = pair(a["kernel_size"]), a["divisor_override"]
    if divisor is not None and a["ceil_mode"]:
        raise to.refusal("divisor_override with ceil_mode")
    pooled = to.emit(
        "AveragePool",
        [a["self"]],
        kernel_shape=kernel,
        strides=pair(a["stride"] or kernel),
        pads=pair(a["padding"]) * 2,
        ceil_mode=int(a["ceil_mode"]),
        count_include_pad=int(a["count_include_pad"] or divisor is not None),
    )
    if divisor is None:
        return pooled
    return to.emit("Mul", [pooled, number(to, kernel[0] * kernel[1] / divisor, "divisor")])


def _windows(side: int, parts: int) -> list[tuple[int, int]]:
    """PyTorch's adaptive windows: they overlap where the parts do not divide the side."""
    return [(i * side // parts, -(-(i + 1) * side // parts)) for i in range(parts)]


def _planes(a: Arguments) -> tuple[list[int], list[int]]:
    """The sides of the images, and those asked for; None asks for the side as it is."""
    given = [side for side in sides(a["self"])[-2:] if isinstance(side, int)]
    wanted = a["output_size"]
    wanted = [wanted] * 2 if isinstance(wanted, int) else list(wanted)
    wanted = wanted * 2 if len(wanted) == 1 else wanted
    return given, [g if w is None else w for g, w in zip(given, wanted, strict=True)]


def _adaptive_avg_pool2d(to: Emitter, a: Arguments) -> Any:
    given, wanted = _planes(a)
    if wanted == [1, 1]:
        return to.emit("GlobalAveragePool", [a["self"]])
    if given == wanted:
        return a["self"]
    if not any(side % part for side, part in zip(given, wanted, strict=True)):
        windows = [side // part for side, part in zip(given, wanted, strict=True)]
        return to.emit("AveragePool", [a["self"]], kernel_shape=windows, strides=windows)
    # The mean of a rectangle is the mean of its rows' means: a product with a matrix on each side.
    rows, columns = (
        np.asarray(
            [[(b <= i < e) / (e - b) for i in range(side)] for b, e in _windows(side, part)],
            np.float32,
        )
        for side, part in zip(given, wanted, strict=True)
    )
    narrower = to.emit("MatMul", [a["self"], to.constant("columns", columns.T)])
    return to.emit("MatMul", [to.constant("rows", rows), narrower])


def _adaptive_max_pool2d(to: Emitter, a: Arguments) -> tuple[Any, None]:
    given, wanted = _planes(a)
    if given == wanted:
        return a["self"], None
    if not any(side % part for side, part in zip(given, wanted, strict=True)):
        windows = [side // part for side, part in zip(given, wanted, strict=True)]
        return to.emit("MaxPool", [a["self"]], kernel_shape=windows, strides=windows), None
    found = a["self"]
    for axis, side, part in zip((2, 3), given, wanted, strict=True):
        parts = [
            to.emit("ReduceMax", [sliced(to, found, axis, b, e)], axes=[axis], keepdims=1)
            for b, e in _windows(side, part)
        ]
        found = parts[0] if len(parts) == 1 else to.emit("Concat", parts, axis=axis)
    return found, None


def _adaptive_avg_pool1d(to: Emitter, a: Arguments) -> ir.Value:
    if list(a["output_size"]) != [1]:
        raise to.refusal(f"adaptive pooling of a sequence to {list(a['output_size'])}; only to 1")
    return to.emit("ReduceMean", [a["self"]], axes=[2], keepdims=1)


_COORDINATES = {True: "align_corners", False: "half_pixel"}


def _upsample(mode: str) -> Row:
    def row(to: Emitter, a: Arguments) -> ir.Value:
        x = a["input"] if "input" in a else a["self"]
        given = [side for side in sides(x)[2:] if isinstance(side, int)]
        factors = a.get("scale_factors") or [a.get("scales_h"), a.get("scales_w")]
        if a.get("output_size") is not None:
            wanted = list(a["output_size"])
        else:
            wanted = [int(side * f) for side, f in zip(given, factors, strict=True)]
        scales = [
            _scale(side, part, factor)
            for side, part, factor in zip(given, wanted, factors, strict=True)
        ]
        how: dict[str, Any] = {
            "nearest": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        }.get(mode, {"coordinate_transformation_mode": _COORDINATES[bool(a.get("align_corners"))]})
        if mode == "cubic":
            how["cubic_coeff_a"] = -0.75
        return to.emit(
            "Resize",
            [x, None, to.constant("scales", np.asarray([1, 1, *scales], np.float32))],
            mode=mode,
            **how,
        )

    return row


def _scale(side: int, wanted: int, factor: float | None) -> np.float32:
    """A factor in FP32 by which a runtime gets `wanted` pixels: floor(side · factor)."""
    scale = np.float32(wanted / side if factor is None else factor)
    while np.floor(np.float32(side) * scale) < wanted:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::adaptive_avg_pool1d": _adaptive_avg_pool1d,
        "aten::adaptive_avg_pool2d": _adaptive_avg_pool2d,
        "aten::adaptive_max_pool2d": _adaptive_max_pool2d,
        "aten::avg_pool2d": _avg_pool2d,
        "aten::max_pool2d": _max_pool2d,
        "aten::upsample_bicubic2d": _upsample("cubic"),
        "aten::upsample_bilinear2d": _upsample("linear"),
        "aten::upsample_nearest2d": _upsample("nearest"),
    }
)
