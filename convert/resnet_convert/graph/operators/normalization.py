"""Normalizations: over the batch as it was trained, and over each image's own values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_convert.graph.operators.emitter import (
    Arguments,
    Emitter,
    Row,
    axes_of,
    constant_of,
    integers,
    number,
    rank,
    sides,
    size_of,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def _or_constant(to: Emitter, value: Any, name: str, fill: float, shape: Any) -> Any:
    return to.constant(name, np.full(shape, fill, np.float32)) if value is None else value


def _batch_norm(to: Emitter, a: Arguments) -> ir.Value:
    if a["training"] or a["running_mean"] is None:
        raise to.refusal("BatchNorm without running statistics; put the network in eval mode")
    channels = int(a["running_mean"].shape[0])
    weight = _or_constant(to, a["weight"], "weight", 1, channels)
    bias = _or_constant(to, a["bias"], "bias", 0, channels)
    return to.emit(
        "BatchNormalization",
        [a["input"], weight, bias, a["running_mean"], a["running_var"]],
        epsilon=a["eps"],
    )


def _instance_norm(to: Emitter, a: Arguments) -> ir.Value:
    if not a["use_input_stats"]:
        return _batch_norm(to, {**a, "training": False})
    channels = sides(a["input"])[1]
    weight = _or_constant(to, a["weight"], "weight", 1, channels)
    bias = _or_constant(to, a["bias"], "bias", 0, channels)
    return to.emit("InstanceNormalization", [a["input"], weight, bias], epsilon=a["eps"])


def _layer_norm(to: Emitter, a: Arguments) -> ir.Value:
    shape = list(a["normalized_shape"])
    inputs = [a["input"], _or_constant(to, a["weight"], "weight", 1, shape)]
    inputs += [] if a["bias"] is None else [a["bias"]]
    return to.emit("LayerNormalization", inputs, axis=-len(shape), epsilon=a["eps"])


def _group_norm(to: Emitter, a: Arguments) -> ir.Value:
    """Each group as one channel of an InstanceNormalization, then the channels' own affine."""
    groups, given = a["num_groups"], sides(a["input"])
    flat = to.emit("Reshape", [a["input"], integers(to, "groups", [0, groups, -1])])
    ones, zeros = (
        to.constant(n, np.full(groups, v, np.float32)) for n, v in (("ones", 1), ("zeros", 0))
    )
    normal = to.emit("InstanceNormalization", [flat, ones, zeros], epsilon=a["eps"])
    shape = [0, *(-1 if not isinstance(side, int) else side for side in given[1:])]
    result = to.emit("Reshape", [normal, integers(to, "shape", shape)])
    per_channel = (-1,) + (1,) * (len(given) - 2)
    for op_type, name in (("Mul", "weight"), ("Add", "bias")):
        if a[name] is not None:
            numbers = constant_of(to, a[name], "parameters").reshape(per_channel)
            result = to.emit(op_type, [result, to.constant(f"{name}.channels", numbers)])
    return result


def _rms_norm(to: Emitter, a: Arguments) -> ir.Value:
    x, dimensions = a["input"], len(a["normalized_shape"])
    eps = float(np.finfo(np.float32).eps) if a["eps"] is None else a["eps"]
    axes = list(range(rank(x) - dimensions, rank(x)))
    mean = to.emit("ReduceMean", [to.emit("Mul", [x, x])], axes=axes, keepdims=1)
    root = to.emit("Sqrt", [to.emit("Add", [mean, number(to, eps, "eps")])])
    normal = to.emit("Div", [x, root])
    return normal if a["weight"] is None else to.emit("Mul", [normal, a["weight"]])


def _vector_norm(to: Emitter, a: Arguments) -> ir.Value:
    order = a["ord"] if "ord" in a else a["p"]
    order = 2 if order is None else order
    if order not in (1, 2) or a.get("dtype") is not None:
        raise to.refusal(f"a norm of order {order}; only 1 and 2")
    axes = axes_of(to, a["self"], a["dim"], what="a norm")
    return to.emit(f"ReduceL{order:.0f}", [a["self"]], axes=axes, keepdims=int(a["keepdim"]))


def _variance(to: Emitter, a: Arguments) -> ir.Value:
    """Σ(x − mean)² / (n − correction)."""
    x = a["self"]
    axes = axes_of(to, x, a.get("dim"), what="a variance")
    correction = a.get("correction", 1 if a.get("unbiased", True) else 0)
    correction = 1 if correction is None else correction
    count, _ = size_of([sides(x)[axis] for axis in axes])
    centred = to.emit("Sub", [x, to.emit("ReduceMean", [x], axes=axes, keepdims=1)])
    squares = to.emit("Mul", [centred, centred])
    mean = to.emit("ReduceMean", [squares], axes=axes, keepdims=int(a.get("keepdim", False)))
    factor = count / (count - correction) if count > correction else float("nan")
    return mean if factor == 1 else to.emit("Mul", [mean, number(to, factor, "correction")])


def _deviation(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Sqrt", [_variance(to, a)])


def _variance_and_mean(to: Emitter, a: Arguments) -> tuple[ir.Value, ir.Value]:
    axes = axes_of(to, a["self"], a.get("dim"), what="a variance")
    keep = int(a.get("keepdim", False))
    return _variance(to, a), to.emit("ReduceMean", [a["self"]], axes=axes, keepdims=keep)


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::batch_norm": _batch_norm,
        "aten::group_norm": _group_norm,
        "aten::instance_norm": _instance_norm,
        "aten::layer_norm": _layer_norm,
        "aten::linalg_vector_norm": _vector_norm,
        "aten::norm": _vector_norm,
        "aten::rms_norm": _rms_norm,
        "aten::std": _deviation,
        "aten::var": _variance,
        "aten::var_mean": _variance_and_mean,
    }
)
