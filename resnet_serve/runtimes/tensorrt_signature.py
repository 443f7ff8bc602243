"""Signature of a TensorRT engine: one input of images, its outputs, and its batch profiles.

The checks of `runtimes.tensorrt` on a loaded plan; this file does not import TensorRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.runtimes.profiles import Profile

if TYPE_CHECKING:
    import tensorrt as trt

_INPUT_TYPES = (np.dtype(np.uint8), np.dtype(np.float32))


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine; a dynamic batch is -1."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def shown(shape: Sequence[object]) -> str:
    """A shape as text: `[8,224,224,3]`."""
    return "[" + ",".join(map(str, shape)) + "]"


def image_and_outputs(
    inputs: Sequence[EngineTensor], outputs: Sequence[EngineTensor], where: str | Path
) -> tuple[EngineTensor, tuple[EngineTensor, ...]]:
    """The one input, and the outputs: logits, features, or the maps of a pyramid.

    The input is uint8 or float32 with four dimensions, of which only the batch may be dynamic, and
    the outputs float32 [N,channels] or [N,channels,H,W] of one size; raises `InputFileError` for
    anything else.
    """
    if len(inputs) != 1 or not outputs:
        names = ", ".join(tensor.name for tensor in (*inputs, *outputs))
        raise InputFileError(
            f"a network has one input and at least one output, this engine has {names}",
            where=where,
        )
    image = inputs[0]
    if image.dtype not in _INPUT_TYPES or len(image.shape) != 4 or -1 in image.shape[1:]:
        raise InputFileError(
            f"the input {image.name!r} is {image.dtype} {shown(image.shape)}, "
            "not uint8 or float32 images of one size",
            where=where,
        )
    for each in outputs:
        sides = each.shape[1:]
        if each.dtype != np.float32 or len(sides) not in (1, 3) or min(sides) < 1:
            raise InputFileError(
                f"the output {each.name!r} is {each.dtype} {shown(each.shape)}, "
                "not float32 [N,channels] or [N,channels,H,W] of one size",
                where=where,
            )
    return image, tuple(outputs)


def profiles(
    engine: trt.ICudaEngine, image: EngineTensor, where: str | Path
) -> tuple[Profile, ...]:
    """The optimization profiles of the engine, in its order; a fixed batch is one profile.

    Raises `InputFileError` for a profile without batch sizes.
    """
    if image.shape[0] != -1:
        return (Profile(*(image.shape[0],) * 3),)
    found = []
    for index in range(engine.num_optimization_profiles):
        shapes = engine.get_tensor_profile_shape(image.name, index)
        if len(shapes) != 3:
            raise InputFileError(f"its profile {index} has no batch sizes", where=where)
        found.append(Profile(*(int(shape[0]) for shape in shapes)))
    return tuple(found)


def chosen(indices: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The profiles to serve, of `count`: each index once, all of them when None.

    Raises `UsageError` for an index that the engine does not have, and for none at all.
    """
    if indices is None:
        return tuple(range(count))
    for index in indices:
        if not 0 <= index < count:
            raise UsageError(f"the engine has profiles 0 to {count - 1}, none of index {index}")
    if not indices:
        raise UsageError("an engine is served in at least one profile")
    return tuple(dict.fromkeys(indices))
