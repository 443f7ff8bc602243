"""Parts of a tensor and what is put together: slices, concatenations, padding.

The images stay separate: a side that depends on the number of images is never cut, joined or
padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_convert.graph.operators.emitter import (
    Arguments,
    Batch,
    Emitter,
    Row,
    axis_of,
    integers,
    rank,
    sides,
    sliced,
)

if TYPE_CHECKING:
    import onnx_ir as ir

_END = 2**63 - 1


def _slice(to: Emitter, a: Arguments) -> Any:
    start, end, step = a["start"] or 0, a["end"], a["step"]
    end = _END if end is None else end
    if isinstance(end, Batch) or isinstance(sides(a["self"])[axis_of(a["self"], a["dim"])], Batch):
        if start == 0 and step == 1 and (isinstance(end, Batch) or end >= _END):
            return a["self"]
        raise to.refusal("a part of the images of a batch")
    if (start, step) == (0, 1) and end >= _END:
        return a["self"]
    return sliced(to, a["self"], a["dim"], start, end, step)


def _select(to: Emitter, a: Arguments) -> ir.Value:
    x, axis, index = a["self"], axis_of(a["self"], a["dim"]), a["index"]
    side = sides(x)[axis]
    if not isinstance(side, int):
        raise to.refusal("one of the images of a batch")
    index %= side
    part = sliced(to, x, axis, index, index + 1)
    return to.emit("Squeeze", [part, integers(to, "axes", [axis])])


def _parts(to: Emitter, x: ir.Value, axis: int, lengths: Sequence[int]) -> list[ir.Value]:
    starts = np.cumsum([0, *lengths]).tolist()
    pairs = pairwise(starts)
    return [x] if len(lengths) == 1 else [sliced(to, x, axis, b, e) for b, e in pairs]


def _split(to: Emitter, a: Arguments) -> list[ir.Value]:
    x, axis = a["self"], axis_of(a["self"], a["dim"])
    side = sides(x)[axis]
    if not isinstance(side, int):
        raise to.refusal("a part of the images of a batch")
    if "chunks" in a:
        length = -(-side // a["chunks"])
    else:
        length = a["split_size"] if "split_size" in a else a["split_sizes"]
    if isinstance(length, int):
        length = [min(length, side - start) for start in range(0, side, length)]
    return _parts(to, x, axis, length)


def _unbind(to: Emitter, a: Arguments) -> list[ir.Value]:
    x, axis = a["self"], axis_of(a["self"], a["dim"])
    side = sides(x)[axis]
    if not isinstance(side, int):
        raise to.refusal("the images of a batch one by one")
    return [_select(to, {"self": x, "dim": axis, "index": index}) for index in range(side)]


def _cat(to: Emitter, a: Arguments) -> ir.Value:
    axis = axis_of(a["tensors"][0], a["dim"])
    if any(isinstance(sides(each)[axis], Batch) for each in a["tensors"]):
        raise to.refusal("a concatenation of images")
    return to.emit("Concat", list(a["tensors"]), axis=axis)


def _stack(to: Emitter, a: Arguments) -> ir.Value:
    axis = a["dim"] % (rank(a["tensors"][0]) + 1)
    axes = integers(to, "axes", [axis])
    return to.emit("Concat", [to.emit("Unsqueeze", [x, axes]) for x in a["tensors"]], axis=axis)


def _roll(to: Emitter, a: Arguments) -> Any:
    found = a["self"]
    if not a["dims"]:
        raise to.refusal("rolling without dimensions")
    for shift, dim in zip(a["shifts"], a["dims"], strict=True):
        axis = axis_of(a["self"], dim)
        side = sides(a["self"])[axis]
        if not isinstance(side, int):
            raise to.refusal("rolling the images of a batch")
        at = -shift % side
        if at:
            parts = [sliced(to, found, axis, at, side), sliced(to, found, axis, 0, at)]
            found = to.emit("Concat", parts, axis=axis)
    return found


def _flip(to: Emitter, a: Arguments) -> Any:
    found = a["self"]
    for dim in a["dims"]:
        if not isinstance(sides(found)[axis_of(a["self"], dim)], int):
            raise to.refusal("reversing the images of a batch")
        found = sliced(to, found, axis_of(a["self"], dim), -1, -_END, -1)
        found.shape = a["self"].shape
    return found


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


def _pad(to: Emitter, a: Arguments) -> Any:
    mode = a.get("mode", "constant")
    # ATen lists (before, after) from the last dimension; ONNX all befores, then all afters.
    pads = list(a["pad"]) + [0] * (2 * rank(a["self"]) - len(a["pad"]))
    befores, afters = pads[0::2][::-1], pads[1::2][::-1]
    if any(
        p and isinstance(s, Batch)
        for p, s in zip((*befores, *afters), sides(a["self"]) * 2, strict=True)
    ):
        raise to.refusal("padding the images of a batch")
    if mode == "circular":
        return _wrapped(to, a["self"], befores, afters)
    inputs = [a["self"], integers(to, "pads", befores + afters)]
    if mode == "constant":
        inputs.append(to.constant("value", np.asarray(a["value"] or 0, np.float32)))
    return to.emit("Pad", inputs, mode=_PAD_MODES[mode])


def _wrapped(to: Emitter, x: ir.Value, befores: Sequence[int], afters: Sequence[int]) -> Any:
    found = x
    for axis, (before, after) in enumerate(zip(befores, afters, strict=True)):
        side = sides(x)[axis]
        parts = [found]
        if before and isinstance(side, int):
            parts.insert(0, sliced(to, found, axis, side - before, side))
        if after:
            parts.append(sliced(to, found, axis, 0, after))
        found = to.emit("Concat", parts, axis=axis) if len(parts) > 1 else found
    return found


def _pad_as(mode: str) -> Row:
    return lambda to, a: _pad(to, {"self": a["self"], "pad": a["padding"], "mode": mode})


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "aten::cat": _cat,
        "aten::chunk": _split,
        "aten::constant_pad_nd": _pad,
        "aten::flip": _flip,
        "aten::pad": _pad,
        "aten::reflection_pad2d": _pad_as("reflect"),
        "aten::replication_pad2d": _pad_as("replicate"),
        "aten::roll": _roll,
        "aten::select": _select,
        "aten::slice": _slice,
        "aten::split": _split,
        "aten::split_with_sizes": _split,
        "aten::stack": _stack,
        "aten::unbind": _unbind,
    }
)
