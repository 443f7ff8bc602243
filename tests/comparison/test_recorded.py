"""A model that runs here against recorded outputs, which come from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.comparison import distances, recorded
from resnet_serve.comparison.recorded import Compared, Recorded
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import RunnableModel

STEPS = Preprocessing(resize=4, crop=(4, 4))
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
MATRIX = np.random.default_rng(1).standard_normal((48, 5)).astype(np.float32)


def logits(batch: NDArray[Any]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = batch.reshape(len(batch), -1).astype(np.float32) @ MATRIX
    return found


class Linear(RunnableModel):
    """One layer; `wrong_by` is added to what it computes of batches of `only_at`."""

    def __init__(self, wrong_by: float = 0.0, only_at: tuple[int, ...] = (1, 4, 8)) -> None:
        self.wrong_by, self.only_at = wrong_by, only_at
        self.batches: list[int] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.batches.append(len(batch))
        noise = np.random.default_rng(2).standard_normal((len(batch), 5)).astype(np.float32)
        return logits(batch) + self.wrong_by * noise * (len(batch) in self.only_at)

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None: ...


def kept(input_kind: str = "uint8") -> Recorded:
    taken = recorded.to_input(input_kind, PIXELS, STEPS)
    names = tuple(map(str, range(len(PIXELS))))
    return Recorded("noise", PIXELS, {"logits": logits(taken)}, None, names)


def compared(
    model: Linear,
    *,
    largest: int = 8,
    activation: Activation | None = SOFTMAX,
    input_kind: str = "uint8",
) -> Compared:
    return recorded.compare(
        model,
        kept(input_kind),
        input_kind=input_kind,
        preprocessing=STEPS,
        activation=activation,
        largest=largest,
        of="logits",
        runtime="tensorrt-rtx",
    )


def passes(found: Compared) -> bool:
    verdict = distances.judge(
        PRECISIONS["fp16"].budget,
        found.numerics,
        found.decisions,
        found.label_decisions,
        trained=True,
        of=found.output_kind,
    )
    return verdict.passed


@pytest.mark.parametrize("input_kind", ["uint8", "float32"])
def test_equal_outputs_pass(input_kind: str) -> None:
    model = Linear()
    found = compared(model, input_kind=input_kind)
    assert passes(found)
    assert found.summary == "100.00 % of 20 decisions agree"
    assert {size: each.images for size, each in found.numerics.items()} == {1: 8, 8: 20}
    assert model.batches == [8, *[1] * 8, 8, 4]
    assert (found.images, found.runtime) == ("noise", "tensorrt-rtx")


@pytest.mark.parametrize("size", [1, 8])
def test_wrong_at_one_batch_size_alone_does_not(size: int) -> None:
    assert not passes(compared(Linear(wrong_by=3000.0, only_at=(size,))))


def test_a_smaller_largest_batch_is_kept_to() -> None:
    model = Linear()
    assert passes(compared(model, largest=4))
    assert max(model.batches) == 4
    singly = Linear()
    found = compared(singly, largest=1)
    assert set(singly.batches) == {1}
    assert {size: each.images for size, each in found.numerics.items()} == {1: 20}


def test_decisions_are_those_of_the_activation() -> None:
    assert compared(Linear(), activation=Activation(Kind.NONE)).decisions is None
    about = compared(Linear(), activation=Activation(Kind.SIGMOID, (0.5,)))
    assert about.decisions is None
    assert about.label_decisions is not None
    assert passes(about)
    assert "cosine" in compared(Linear(), activation=None).summary


def test_the_digest_is_of_images_and_outputs(tmp_path: Path) -> None:
    first = kept()
    path = tmp_path / recorded.FILE_NAME
    np.savez(path, name="noise", pixels=PIXELS, names=first.names, **first.expected)
    again = recorded.read(path, {"logits": (5,)})
    assert recorded.digest(again.pixels, again.expected) == compared(Linear()).images_sha256
    other = {"logits": again.expected["logits"] + 1}
    assert recorded.digest(again.pixels, other) != compared(Linear()).images_sha256
