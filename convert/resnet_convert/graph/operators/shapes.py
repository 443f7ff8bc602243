"""Shapes: reshapes, transpositions, repetitions and copies; no value is computed.

The images stay separate: no reshape mixes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from resnet_convert.graph.operators.emitter import (
    BATCH,
    Arguments,
    Batch,
    Emitter,
    Row,
    Side,
    axis_of,
    integers,
    rank,
    reshaped,
    sides,
    size_of,
    transposed,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def _sym_size(_: Emitter, a: Arguments) -> Side:
    return sides(a["self"])[axis_of(a["self"], a["dim"])]


def _reshape(to: Emitter, a: Arguments) -> Any:
    wanted = list(a["shape"] if "shape" in a else a["size"])
    return _to_shape(to, a["self"], wanted)


def _to_shape(to: Emitter, x: ir.Value, wanted: Sequence[Any]) -> Any:
    given = sides(x)
    known, images = size_of(given)
    if -1 in wanted:
        rest = [side for side in wanted if side != -1]
        other, others = size_of(rest)
        if known % max(other, 1) or others > images:
            raise to.refusal("a reshape across images")
        side: Side = known // other if images == others else Batch(known // other)
        wanted = [side if each == -1 else each for each in wanted]
    if size_of(wanted) != (known, images):
        raise to.refusal("a reshape across images")
    return x if list(wanted) == given else reshaped(to, x, list(wanted))


def _flatten(to: Emitter, a: Arguments) -> Any:
    x = a["self"]
    start, end = axis_of(x, a["start_dim"]), axis_of(x, a["end_dim"])
    given = sides(x)
    if (start, end) == (1, rank(x) - 1) and given[0] == BATCH:
        return to.emit("Flatten", [x], axis=1)
    return _to_shape(
        to, x, [*given[:start], _joined(to, given[start : end + 1]), *given[end + 1 :]]
    )


def _joined(to: Emitter, parts: Sequence[Side]) -> Side:
    known, images = size_of(parts)
    if images > 1:
        raise to.refusal("a reshape across images")
    return Batch(known) if images else known


def _unflatten(to: Emitter, a: Arguments) -> Any:
    x = a["self"]
    given, axis = sides(x), axis_of(x, a["dim"])
    parts = list(a["sizes"])
    if -1 in parts:
        known, images = size_of([given[axis]])
        rest = math.prod(side for side in parts if side != -1)
        parts = [
            (Batch(known // rest) if images else known // rest) if s == -1 else s for s in parts
        ]
    return _to_shape(to, x, [*given[:axis], *parts, *given[axis + 1 :]])


def _squeeze(to: Emitter, a: Arguments) -> Any:
    x = a["self"]
    given = sides(x)
    dims = a.get("dim", range(1, len(given)))
    axes = [axis_of(x, dim) for dim in ([dims] if isinstance(dims, int) else dims)]
    if any(isinstance(given[axis], Batch) for axis in axes):
        raise to.refusal("squeezing the images of a batch")
    axes = [axis for axis in axes if given[axis] == 1]
    if not axes:
        return x
    if len(axes) == len(given) - 2 and 1 not in axes and given[0] == BATCH:
        return to.emit("Flatten", [x], axis=1)
    return to.emit("Squeeze", [x, integers(to, "axes", axes)])


def _unsqueeze(to: Emitter, a: Arguments) -> ir.Value:
    axis = a["dim"] % (rank(a["self"]) + 1)
    return to.emit("Unsqueeze", [a["self"], integers(to, "axes", [axis])])


def _permute(to: Emitter, a: Arguments) -> Any:
    return transposed(to, a["self"], [axis_of(a["self"], dim) for dim in a["dims"]])


def _transpose(to: Emitter, a: Arguments) -> Any:
    order = list(range(rank(a["self"])))
    first, second = axis_of(a["self"], a["dim0"]), axis_of(a["self"], a["dim1"])
    order[first], order[second] = second, first
    return transposed(to, a["self"], order)


def _expand(to: Emitter, a: Arguments) -> Any:
    """By broadcasting; the number of images is read from the graph where it is asked for."""
    x = a["self"]
    if "other" in a:
        wanted = sides(a["other"])
    else:
        padded: list[Side] = [*[1] * (len(a["size"]) - rank(x)), *sides(x)]
        wanted = [p if w == -1 else w for p, w in zip(padded, a["size"], strict=True)]
    given: list[Side] = [*[1] * (len(wanted) - rank(x)), *sides(x)]
    if given == wanted and rank(x) == len(wanted):
        return x
    images = [w for g, w in zip(given, wanted, strict=True) if isinstance(w, Batch) and g != w]
    if not images:
        shape = [side if isinstance(side, int) else 1 for side in wanted]
        return to.emit("Expand", [x, integers(to, "shape", shape)])
    if images != [BATCH] or wanted[0] != BATCH:
        raise to.refusal("an expansion to a multiple of the number of images")
    rest = integers(to, "shape", [side for side in wanted[1:] if isinstance(side, int)])
    return to.emit("Expand", [x, to.emit("Concat", [to.batch(), rest], axis=0)])


def _pixel_shuffle(to: Emitter, a: Arguments) -> ir.Value:
    return to.emit("DepthToSpace", [a["self"]], blocksize=a["upscale_factor"], mode="CRD")


def _pixel_unshuffle(to: Emitter, a: Arguments) -> ir.Value:
    """By hand: ONNX's SpaceToDepth orders the channels otherwise."""
    r, (_, c, h, w) = a["downscale_factor"], sides(a["self"])
    if not (isinstance(c, int) and isinstance(h, int) and isinstance(w, int)):
        raise to.refusal("blocks of pixels across images")
    blocks = to.emit("Reshape", [a["self"], integers(to, "blocks", [0, c, h // r, r, w // r, r])])
    ordered = to.emit("Transpose", [blocks], perm=[0, 1, 3, 5, 2, 4])
    shape = integers(to, "shape", [0, c * r * r, h // r, w // r])
    return to.emit("Reshape", [ordered, shape])


def _channel_shuffle(to: Emitter, a: Arguments) -> ir.Value:
    groups, (_, c, h, w) = a["groups"], sides(a["self"])
    if not (isinstance(c, int) and isinstance(h, int) and isinstance(w, int)):
        raise to.refusal("channels across images")
    grouped = integers(to, "grouped", [0, groups, c // groups, h, w])
    turned = to.emit("Transpose", [to.emit("Reshape", [a["self"], grouped])], perm=[0, 2, 1, 3, 4])
    return to.emit("Reshape", [turned, integers(to, "shape", [0, c, h, w])])


def _same(to: Emitter, a: Arguments) -> Any:
    """The argument itself: dropout in evaluation, copies and memory formats change no value."""
    if a.get("train") is True:
        raise to.refusal("dropout in training mode; put the network in eval mode")
    return a["input"] if "input" in a else a["self"]


def _to(to: Emitter, a: Arguments) -> Any:
    dtype = str(a.get("dtype"))
    if dtype not in ("None", "torch.float32"):
        raise to.refusal(f"a conversion to {dtype}")
    return a["self"]


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::alias": _same,
        "aten::channel_shuffle": _channel_shuffle,
        "aten::clone": _same,
        "aten::contiguous": _same,
        "aten::detach": _same,
        "aten::dropout": _same,
        "aten::expand": _expand,
        "aten::expand_as": _expand,
        "aten::feature_dropout": _same,
        "aten::flatten": _flatten,
        "aten::permute": _permute,
        "aten::pixel_shuffle": _pixel_shuffle,
        "aten::pixel_unshuffle": _pixel_unshuffle,
        "aten::reshape": _reshape,
        "aten::squeeze": _squeeze,
        "aten::sym_size": _sym_size,
        "aten::to": _to,
        "aten::transpose": _transpose,
        "aten::type_as": _same,
        "aten::unflatten": _unflatten,
        "aten::unsqueeze": _unsqueeze,
        "aten::view": _reshape,
    }
)
