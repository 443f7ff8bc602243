"""The signature that an engine must have to be served, and the choice of its profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_signature import (
    EngineTensor,
    chosen,
    image_and_outputs,
    profiles,
    shown,
)


def tensor(name: str, dtype: str, *shape: int) -> EngineTensor:
    return EngineTensor(name, np.dtype(dtype), shape)


PIXELS = tensor("image", "uint8", -1, 8, 8, 3)
PLANES = tensor("image", "float32", 4, 3, 8, 8)
LOGITS = tensor("logits", "float32", -1, 10)
MAPS = (tensor("c2", "float32", -1, 16, 8, 8), tensor("c3", "float32", -1, 32, 4, 4))


@pytest.mark.parametrize("image", [PIXELS, PLANES])
@pytest.mark.parametrize("outputs", [(LOGITS,), MAPS])
def test_images_in_and_outputs_in_their_order(
    image: EngineTensor, outputs: tuple[EngineTensor, ...]
) -> None:
    assert image_and_outputs([image], outputs, "plan") == (image, outputs)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        (
            [PIXELS, PIXELS],
            [LOGITS],
            "one input and at least one output, this engine has image, image",
        ),
        ([PIXELS], [], "one input and at least one output"),
        ([tensor("image", "float16", -1, 3, 8, 8)], [LOGITS], "'image' is float16"),
        ([tensor("image", "uint8", -1, -1, 8, 3)], [LOGITS], r"uint8 \[-1,-1,8,3\], not"),
        ([tensor("image", "uint8", -1, 8)], [LOGITS], "images of one size"),
        ([PIXELS], [tensor("logits", "float16", -1, 10)], "'logits' is float16"),
        ([PIXELS], [tensor("logits", "float32", -1, 10, 1)], r"not float32 \[N,channels\]"),
        ([PIXELS], [tensor("logits", "float32", -1, -1)], r"not float32 \[N,channels\]"),
        ([PIXELS], [tensor("logits", "float32", -1)], r"not float32 \[N,channels\]"),
        ([PIXELS], [MAPS[0], tensor("c3", "float16", -1, 32, 4, 4)], "'c3' is float16"),
        ([PIXELS], [*MAPS, tensor("c4", "float32", -1, 64, -1, 2)], r"'c4' .* of one size"),
    ],
)
def test_other_engines_are_refused(
    inputs: list[EngineTensor], outputs: list[EngineTensor], reason: str
) -> None:
    with pytest.raises(InputFileError, match=f"^plan: .*{reason}"):
        image_and_outputs(inputs, outputs, "plan")


class Engine:
    """The two calls of an engine that `profiles` makes."""

    num_optimization_profiles = 2

    def __init__(self, *shapes: Any) -> None:
        self.shapes = shapes

    def get_tensor_profile_shape(self, _: str, index: int) -> Any:
        return self.shapes[index]


def batches(*sizes: int) -> list[tuple[int, ...]]:
    return [(size, 8, 8, 3) for size in sizes]


def test_a_profile_is_its_batch_sizes() -> None:
    engine: Any = Engine(batches(1, 2, 4), batches(5, 8, 8))
    assert profiles(engine, PIXELS, "plan") == (Profile(1, 2, 4), Profile(5, 8, 8))
    assert profiles(engine, PLANES, "plan") == (Profile(4, 4, 4),)
    broken: Any = Engine(batches(1, 2, 4), [])
    with pytest.raises(InputFileError, match="profile 1 has no batch sizes"):
        profiles(broken, PIXELS, "plan")


def test_profiles_are_chosen_by_index() -> None:
    assert chosen(None, 3) == (0, 1, 2)
    assert chosen([2, 0, 2], 3) == (2, 0)
    for wrong in ([3], [-1]):
        with pytest.raises(UsageError, match="profiles 0 to 2, none of index"):
            chosen(wrong, 3)
    with pytest.raises(UsageError, match="at least one profile"):
        chosen([], 3)


def test_a_shape_as_text() -> None:
    assert shown(("N", 8, 8, 3)) == "[N,8,8,3]"
