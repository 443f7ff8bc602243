"""Activation functions, as ONNX operators of opset 17 that every runtime here has.

GELU is written as ONNX Runtime and OpenVINO recognise it; Swish, Mish and the others as the product
that defines them. Sums inside of them have a scalar as their second operand, by which the INT8
passes know them from residual additions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from resnet_convert.graph.operators.emitter import (
    Arguments,
    Emitter,
    Row,
    axis_of,
    constant_of,
    is_number,
    number,
    operand,
    rank,
    sides,
    sliced,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def _unary(op_type: str) -> Row:
    return lambda to, a: to.emit(op_type, [a["self"]])


def _clip(to: Emitter, a: Arguments) -> Any:
    bounds = [
        a.get(low) if low in a else a.get(high)
        for low, high in (("min", "min_val"), ("max", "max_val"))
    ]
    if any(bound is not None and not is_number(bound) for bound in bounds):
        value = a["self"]
        for op_type, bound in zip(("Max", "Min"), bounds, strict=True):
            value = value if bound is None else to.emit(op_type, [value, operand(to, bound)])
        return value
    inputs = [
        None if bound is None else number(to, bound, name)
        for name, bound in zip(("min", "max"), bounds, strict=True)
    ]
    return to.emit("Clip", [a["self"], *(inputs if inputs[1] is not None else inputs[:1])])


def _relu6(to: Emitter, a: Arguments) -> Any:
    return _clip(to, {"self": a["self"], "min": 0, "max": 6})


def _leaky_relu(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("LeakyRelu", [a["self"]], alpha=float(a["negative_slope"]))


def _prelu(to: Emitter, a: Arguments) -> ir.Value:
    slopes = constant_of(to, a["weight"], "slopes")
    shape = (-1,) + (1,) * max(rank(a["self"]) - 2, 0)
    return to.emit("PRelu", [a["self"], to.constant("slope", slopes.reshape(shape))])


def _elu(to: Emitter, a: Arguments) -> ir.Value:
    if (a["scale"], a["input_scale"]) != (1, 1):
        raise to.refusal("ELU with a scale")
    return to.emit("Elu", [a["self"]], alpha=float(a["alpha"]))


def _celu(to: Emitter, a: Arguments) -> ir.Value:
    """α·ELU(x/α): ONNX's Celu is of FP32 only."""
    alpha = number(to, a["alpha"], "alpha")
    return to.emit("Mul", [to.emit("Elu", [to.emit("Div", [a["self"], alpha])]), alpha])


def _gelu(to: Emitter, a: Arguments) -> ir.Value:
    x = a["self"]
    if a["approximate"] == "tanh":  # x³ as x·x², so that no sum has two tensors
        cubic = to.emit("Mul", [to.emit("Mul", [x, x]), number(to, 0.044715)])
        inner = to.emit("Mul", [x, to.emit("Add", [cubic, number(to, 1.0)])])
        curve = to.emit("Tanh", [to.emit("Mul", [inner, number(to, math.sqrt(2 / math.pi))])])
    else:
        curve = to.emit("Erf", [to.emit("Div", [x, number(to, math.sqrt(2))])])
    product = to.emit("Mul", [x, to.emit("Add", [curve, number(to, 1.0)])])
    return to.emit("Mul", [product, number(to, 0.5)])


def _silu(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Mul", [a["self"], to.emit("Sigmoid", [a["self"]])])


def _hardsigmoid(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("HardSigmoid", [a["self"]], alpha=1 / 6, beta=0.5)


def _hardswish(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Mul", [a["self"], _hardsigmoid(to, a)])


def _softplus(to: Emitter, a: Arguments) -> ir.Value:
    beta = float(a.get("beta", 1))
    if beta == 1:
        return to.emit("Softplus", [a["self"]])
    scaled = to.emit("Mul", [a["self"], number(to, beta, "beta")])
    return to.emit("Div", [to.emit("Softplus", [scaled]), number(to, beta, "beta")])


def _mish(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Mul", [a["self"], to.emit("Tanh", [to.emit("Softplus", [a["self"]])])])


def _log_sigmoid(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Neg", [to.emit("Softplus", [to.emit("Neg", [a["self"]])])])


def _glu(to: Emitter, a: Arguments) -> ir.Value:
    axis = axis_of(a["self"], a["dim"])
    side = sides(a["self"])[axis]
    if not isinstance(side, int):
        raise to.refusal("a gate over the images of a batch")
    value, gate = (sliced(to, a["self"], axis, at, at + side // 2) for at in (0, side // 2))
    return to.emit("Mul", [value, to.emit("Sigmoid", [gate])])


def _softmax(op_type: str) -> Row:
    def row(to: Emitter, a: Arguments) -> ir.Value:
        if a.get("dtype") is not None:
            raise to.refusal(f"a softmax in {a['dtype']}")
        axis = axis_of(a["self"], a["dim"])
        if not isinstance(sides(a["self"])[axis], int):
            raise to.refusal("a softmax over the images of a batch")
        return to.emit(op_type, [a["self"]], axis=axis)

    return row


def _rsqrt(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Reciprocal", [to.emit("Sqrt", [a["self"]])])


def _square(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("Mul", [a["self"], a["self"]])


_SIMPLE = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "neg": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
ROWS: Mapping[str, Row] = MappingProxyType(
    {
        **{f"aten::{name}": _unary(op_type) for name, op_type in _SIMPLE.items()},
        "aten::celu": _celu,
        "aten::clamp": _clip,
        "aten::clamp_max": _clip,
        "aten::clamp_min": _clip,
        "aten::elu": _elu,
        "aten::gelu": _gelu,
        "aten::glu": _glu,
        "aten::hardsigmoid": _hardsigmoid,
        "aten::hardswish": _hardswish,
        "aten::hardtanh": _clip,
        "aten::leaky_relu": _leaky_relu,
        "aten::log_sigmoid": _log_sigmoid,
        "aten::log_softmax": _softmax("LogSoftmax"),
        "aten::mish": _mish,
        "aten::prelu": _prelu,
        "aten::relu6": _relu6,
        "aten::rsqrt": _rsqrt,
        "aten::silu": _silu,
        "aten::softmax": _softmax("Softmax"),
        "aten::softplus": _softplus,
        "aten::square": _square,
    }
)
