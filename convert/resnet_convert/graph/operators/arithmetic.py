"""Arithmetic between tensors, reductions, products of matrices, and attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_convert.graph.operators.emitter import (
    BATCH,
    Arguments,
    Emitter,
    Row,
    array_of,
    axes_of,
    is_number,
    number,
    operand,
    rank,
    sides,
)

if TYPE_CHECKING:
    import onnx_ir as ir


# What masks a score: its exponential is 0, and FP16 holds it, unlike −∞.
_MASKED = -30_000.0


def _binary(op_type: str) -> Row:
    def row(to: Emitter, a: Arguments) -> ir.Value:
        if a.get("rounding_mode") is not None:
            raise to.refusal(f"a division with rounding_mode={a['rounding_mode']!r}")
        other = operand(to, a["other"])
        if a.get("alpha", 1) != 1:
            other = to.emit("Mul", [other, number(to, a["alpha"], "alpha")])
        return to.emit(op_type, [operand(to, a["self"]), other])

    return row


def _rsub(to: Emitter, a: Arguments) -> ir.Value:
    found: ir.Value = _binary("Sub")(to, {**a, "self": a["other"], "other": a["self"]})
    return found


def _pow(to: Emitter, a: Arguments) -> ir.Value:
    base, exponent = operand(to, a["self"]), a["exponent"]
    array = None if is_number(exponent) else array_of(exponent)
    if array is not None and array.size == 1 and rank(exponent) <= rank(base):
        exponent = float(array.item())
    if exponent == 2:
        return to.emit("Mul", [base, base])
    if exponent == 0.5:
        return to.emit("Sqrt", [base])
    return to.emit("Pow", [base, operand(to, exponent)])


def _mean(to: Emitter, a: Arguments) -> ir.Value:
    x = a["self"]
    axes = axes_of(to, x, a.get("dim"), what="a mean")
    if a["dtype"] is not None:
        raise to.refusal(f"a mean in {a['dtype']}")
    if rank(x) == 4 and axes == [2, 3] and sides(x)[:1] == [BATCH]:
        pooled = to.emit("GlobalAveragePool", [x])
        return pooled if a["keepdim"] else to.emit("Flatten", [pooled], axis=1)
    return to.emit("ReduceMean", [x], axes=axes, keepdims=int(a["keepdim"]))


def _sum(to: Emitter, a: Arguments) -> ir.Value:
    """As a mean, whose axes are written as those of the other reductions."""
    axes = axes_of(to, a["self"], a.get("dim"), what="a sum")
    if a["dtype"] is not None:
        raise to.refusal(f"a sum in {a['dtype']}")
    keep = int(a.get("keepdim", False))
    mean = to.emit("ReduceMean", [a["self"]], axes=axes, keepdims=keep)
    count = math.prod(side for axis in axes if isinstance(side := sides(a["self"])[axis], int))
    return to.emit("Mul", [mean, number(to, count, "count")])


def _extreme(op_type: str) -> Row:
    def row(to: Emitter, a: Arguments) -> ir.Value:
        axes = axes_of(to, a["self"], a["dim"], what="a maximum")
        return to.emit(op_type, [a["self"]], axes=axes, keepdims=int(a["keepdim"]))

    return row


def _max(to: Emitter, a: Arguments) -> Any:
    """`x.max(dim)`, whose second result, the positions, nothing may read; or of two tensors."""
    if "other" in a:
        return _binary("Max")(to, a)
    if "dim" not in a:
        raise to.refusal("a maximum over the images of a batch")
    return _extreme("ReduceMax")(to, a), None


def _matmul(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("MatMul", [a["self"], a["other"] if "other" in a else a["mat2"]])


def _baddbmm(to: Emitter, a: Arguments) -> ir.Value:
    product = to.emit("MatMul", [a["batch1"], a["batch2"]])
    if a["alpha"] != 1:
        product = to.emit("Mul", [product, number(to, a["alpha"], "alpha")])
    added = a["self"]
    if a["beta"] != 1:
        added = to.emit("Mul", [added, number(to, a["beta"], "beta")])
    return to.emit("Add", [product, added])


def _einsum(to: Emitter, a: Arguments) -> ir.Value:
    equation = "".join(a["equation"].split())
    return to.emit("Einsum", [operand(to, each) for each in a["tensors"]], equation=equation)


def _attention(to: Emitter, a: Arguments) -> ir.Value:
    """softmax(q·kᵀ/√d + mask)·v over the last two dimensions."""
    query, key, value = a["query"], a["key"], a["value"]
    if a.get("enable_gqa"):
        raise to.refusal("attention with grouped queries")
    dimensions = rank(key)
    order = [*range(dimensions - 2), dimensions - 1, dimensions - 2]
    width, length, source = sides(query)[-1], sides(query)[-2], sides(key)[-2]
    if not (isinstance(width, int) and isinstance(length, int) and isinstance(source, int)):
        raise to.refusal("attention between the images of a batch")
    scale = 1 / math.sqrt(width) if a.get("scale") is None else a["scale"]
    scaled = to.emit("Mul", [query, number(to, scale, "scale")])
    scores = to.emit("MatMul", [scaled, to.emit("Transpose", [key], perm=order)])
    mask = a.get("attn_mask")
    if mask is not None:
        numbers = array_of(mask)
        if numbers is not None:
            added = np.where(numbers, 0, -np.inf) if numbers.dtype == np.bool_ else numbers
            mask = to.constant("mask", np.maximum(added, _MASKED).astype(np.float32))
        scores = to.emit("Add", [scores, operand(to, mask)])
    if a.get("is_causal"):
        later = np.triu(np.full((length, source), _MASKED, np.float32), 1)
        scores = to.emit("Add", [scores, to.constant("causal", later)])
    shares = to.emit("Softmax", [scores], axis=dimensions - 1)
    return to.emit("MatMul", [shares, value])


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::add": _binary("Add"),
        "aten::amax": _extreme("ReduceMax"),
        "aten::amin": _extreme("ReduceMin"),
        "aten::baddbmm": _baddbmm,
        "aten::bmm": _matmul,
        "aten::div": _binary("Div"),
        "aten::einsum": _einsum,
        "aten::matmul": _matmul,
        "aten::max": _max,
        "aten::maximum": _binary("Max"),
        "aten::mean": _mean,
        "aten::minimum": _binary("Min"),
        "aten::mul": _binary("Mul"),
        "aten::pow": _pow,
        "aten::rsub": _rsub,
        "aten::scaled_dot_product_attention": _attention,
        "aten::sub": _binary("Sub"),
        "aten::sum": _sum,
    }
)
