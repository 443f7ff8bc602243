"""What is sent to which model: its bytes, their encoding, and the models that are refused."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_serve.errors import InputFileError, UnavailableError, UsageError
from resnet_serve.loadtest.inputs import Samples, describe, samples, signature_of
from resnet_serve.preprocessing import Preprocessing, decode

ENCODED = signature_of("m", "1", "triton", [("image", "BYTES", (-1, 1))], 8)
PIXELS = signature_of("m", "1", "triton", [("image", "UINT8", (-1, 24, 32, 3))], 8)
PLANES = signature_of("m", "1", "triton", [("image", "FP32", (-1, 3, 24, 32))], 8)


def entries(text: str) -> list[dict[str, object]]:
    return [step["image"] for step in json.loads(text)["data"]]


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4))
def test_encoded_images_carry_their_length_in_front(images: list[bytes]) -> None:
    sent = entries(Samples("", tuple(images)).to_json(ENCODED))
    for image, entry in zip(images, sent, strict=True):
        raw = base64.b64decode(str(entry["b64"]))
        assert struct.unpack("<I", raw[:4]) == (len(image),)
        assert raw[4:] == image
        assert entry["shape"] == [1]


def test_synthetic_photographs_are_the_same_every_time() -> None:
    first, second = samples(ENCODED), samples(ENCODED)
    assert first == second
    assert len(set(first.images)) == 8
    assert all(decode(image).size == (500, 375) for image in first.images)
    assert "synthetic" in first.description
    # About what a photograph of this size takes; decoding noise or a flat colour would mislead.
    assert 30_000 < np.mean([len(image) for image in first.images]) < 120_000


def test_tensors_are_the_scaled_and_normalised_images(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    pixels, planes = samples(PIXELS, tmp_path), samples(PLANES, tmp_path / "a.png")
    assert pixels.images == (picture.tobytes(),)
    expected = Preprocessing().normalize(picture)
    np.testing.assert_array_equal(planes.batch(PLANES, 1)[0], expected)
    assert entries(pixels.to_json(PIXELS))[0]["shape"] == [24, 32, 3]


def test_encoded_images_are_sent_as_they_are(tmp_path: Path) -> None:
    for index in range(40):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / f"{index:02}.png")
    sent = samples(ENCODED, tmp_path)
    assert len(sent.images) == 32
    assert sent.images[3] == (tmp_path / "03.png").read_bytes()


def test_a_batch_repeats_the_images_as_needed() -> None:
    batch = Samples("", (b"a", b"b")).batch(ENCODED, 3)
    assert batch.tolist() == [[b"a"], [b"b"], [b"a"]]
    unbatched = signature_of("m", "1", "triton", [("image", "BYTES", (1,))], 0)
    assert Samples("", (b"a",)).batch(unbatched, 1).shape == (1,)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [("a", "FP32", (-1, 3, 8, 8)), ("b", "FP32", (-1, 3, 8, 8))],
        [("a", "INT64", (-1, 16))],
        [("a", "FP32", (-1, 3, -1, -1))],
        [("a", "UINT8", (-1, 3, 8, 8))],
        [("a", "BYTES", (-1, 2))],
    ],
)
def test_models_that_do_not_take_one_image(inputs: list[tuple[str, str, tuple[int, ...]]]) -> None:
    with pytest.raises(UsageError, match="which is not one image") as caught:
        signature_of("bert", "1", "triton", inputs, 8)
    assert caught.value.exit_code == 2
    assert "bert" in str(caught.value)


def test_broken_and_missing_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such image"):
        samples(PIXELS, tmp_path / "none")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    for signature in (PIXELS, ENCODED):
        with pytest.raises(InputFileError, match=r"broken\.jpg"):
            samples(signature, tmp_path)


def test_nobody_there() -> None:
    with pytest.raises(UnavailableError, match=r"no server answers at 127\.0\.0\.1:9") as caught:
        describe("127.0.0.1:9", "toy")
    assert caught.value.exit_code == 4


def test_an_address_with_a_scheme() -> None:
    with pytest.raises(UsageError, match="host:port"):
        describe("http://localhost:8001", "toy")


@pytest.mark.parametrize(
    ("datatype", "shape", "size_bytes"), [("UINT8", (24, 32, 1), 768), ("FP32", (1, 24, 32), 3072)]
)
def test_a_network_of_grey_images_is_sent_one_channel(
    datatype: str, shape: tuple[int, ...], size_bytes: int
) -> None:
    signature = signature_of("m", "1", "triton", [("image", datatype, (-1, *shape))], 8)
    assert {len(tensor) for tensor in samples(signature).images} == {size_bytes}
