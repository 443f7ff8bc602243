"""What travels with a model so that its engine can be proved where there is no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_convert.head import HEADS
from resnet_convert.parity import reference_outputs
from resnet_convert.parity.compare import Logits
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_serve.architectures import with_head
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import Weights


def measured(count: int, labels: Any = None) -> Logits:
    logits = np.arange(10 * count, dtype=np.float32).reshape(count, 10)
    return Logits(logits, logits, labels)


STEPS = Preprocessing(crop=(4, 4), resize=4)
OUTPUTS = {"logits": (10,)}


def some(count: int = 5, *, labels: bool = True) -> ReferenceOutputs:
    random = np.random.default_rng(0)
    return ReferenceOutputs(
        name="digits",
        pixels=random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8),
        expected={"logits": random.standard_normal((count, 10)).astype(np.float32)},
        labels=np.arange(count) if labels else None,
        names=tuple(f"digit {index}" for index in range(count)),
        input_kind="uint8",
        preprocessing=STEPS,
    )


@pytest.mark.parametrize("labels", [True, False])
def test_it_survives_its_file(tmp_path: Path, labels: bool) -> None:
    written = some(labels=labels)
    (tmp_path / "e.npz").write_bytes(written.to_bytes())
    found = reference_outputs.read(tmp_path / "e.npz", OUTPUTS, "uint8", STEPS)
    assert (found.name, found.names, len(found)) == ("digits", written.names, 5)
    assert found.digest() == written.digest()
    np.testing.assert_array_equal(found.pixels, written.pixels)
    if labels:
        np.testing.assert_array_equal(found.labels, written.labels)
    else:
        assert found.labels is None
    assert found.name_of(3) == "digit 3"


def test_the_images_are_those_that_were_measured(digits: Weights) -> None:
    images = spread(Digits(held_out=True), 20)
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    found = ReferenceOutputs.collect(reference, images, measured(20, images.labels))
    assert len(found) == 20
    np.testing.assert_array_equal(found.pixels[7], digits.preprocessing.pixels(images.image(7)))
    np.testing.assert_array_equal(found.labels, images.labels)
    assert found.names[7] == images.name_of(7)


def test_more_than_the_file_may_hold_is_chosen_evenly(
    digits: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_outputs, "LARGEST_BYTES", 4 * 32 * 32 * 3)
    images = spread(Digits(held_out=True), 20)
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    found = ReferenceOutputs.collect(reference, images, measured(20, images.labels))
    assert len(found) == 4
    np.testing.assert_array_equal(found.logits[:, 0], [0, 50, 100, 150])
    np.testing.assert_array_equal(found.labels, images.labels[[0, 5, 10, 15]])
    np.testing.assert_array_equal(found.pixels[2], digits.preprocessing.pixels(images.image(10)))
    assert found.names[3] == images.name_of(15)


def test_outputs_cover_it_in_order() -> None:
    found = some(19)
    pixels, outputs = zip(*found.outputs(found), strict=True)
    assert [len(batch) for batch in pixels] == [8, 8, 3]
    np.testing.assert_array_equal(
        np.concatenate([each["logits"] for each in outputs]), found.logits
    )


def test_a_recording_is_what_the_reference_outputs(digits: Weights) -> None:
    reference = Reference(digits.network(), digits, "float32", threads=1)
    images = spread(Digits(held_out=True), 10)
    found = ReferenceOutputs.record(reference, images)
    assert (found.name, len(found)) == (images.name, 10)
    assert found.names == tuple(map(images.name_of, range(10)))
    expected = np.concatenate([each["logits"] for _, each in reference.outputs(images)])
    np.testing.assert_array_equal(found.logits, expected)
    np.testing.assert_array_equal(
        found.to_input(found.pixels), digits.preprocessing.normalize(found.pixels)
    )


@pytest.mark.parametrize("head", ["features", "pyramid"])
def test_the_outputs_of_other_heads_are_recorded_for_few_images(
    digits: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, head: str
) -> None:
    reference = Reference(with_head(digits.network(), head), digits, "uint8", 1, head)
    images = spread(Digits(held_out=True), 20)
    monkeypatch.setattr(reference_outputs, "LARGEST_BYTES", 1)
    found = ReferenceOutputs.collect(reference, images, None)
    assert (len(found), found.classifies) == (8, False)
    assert found.output_kind == HEADS[head]
    _, expected = next(reference.outputs(spread(images, 8)))
    assert list(found.expected) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found.expected[name], values)
    (tmp_path / "e.npz").write_bytes(found.to_bytes())
    outputs = {name: values.shape[1:] for name, values in expected.items()}
    again = reference_outputs.read(
        tmp_path / "e.npz", outputs, "uint8", digits.preprocessing, None, head
    )
    assert again.digest() == found.digest()
    assert again.head == head
    wrong = {**outputs, next(iter(outputs)): (3,)}
    for other in (wrong, {**outputs, "c9": (3,)}):
        with pytest.raises(InputFileError):
            reference_outputs.read(tmp_path / "e.npz", other, "uint8", STEPS, None, head)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": np.zeros((5, 4, 4, 3), np.float32)},
        {"pixels": np.zeros((5, 4, 4), np.uint8)},
        {"logits": np.zeros((4, 10), np.float32)},
        {"pixels": np.zeros((0, 4, 4, 3), np.uint8), "logits": np.zeros((0, 10), np.float32)},
        {"logits": np.zeros((5, 9), np.float32)},
        {"names": np.asarray(["one"])},
        {"names": np.asarray([{"a": 1}] * 5, dtype=object)},
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    good = some()
    arrays: dict[str, Any] = {
        "name": np.asarray("x"),
        "pixels": good.pixels,
        "logits": good.logits,
        "names": np.asarray(good.names),
        **changes,
    }
    with pytest.raises(InputFileError) as refusal:
        reference_outputs.read(saved(tmp_path / "e.npz", **arrays), OUTPUTS, "uint8", STEPS)
    assert refusal.value.exit_code == 5


@pytest.mark.parametrize("data", [b"", b"PK", b"not a file of arrays", b"\x93NUMPY"])
def test_what_is_no_file_of_arrays_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "e.npz").write_bytes(data)
    with pytest.raises(InputFileError, match="Convert again"):
        reference_outputs.read(tmp_path / "e.npz", OUTPUTS, "uint8", STEPS)
    with pytest.raises(InputFileError):
        reference_outputs.read(tmp_path / "missing.npz", OUTPUTS, "uint8", STEPS)
    whole = some().to_bytes()
    (tmp_path / "e.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputFileError):
        reference_outputs.read(tmp_path / "e.npz", OUTPUTS, "uint8", STEPS)
