"""Every field that changes pixels: the same in client, validation and the `image` backend."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_images import noise
from PIL import Image

from resnet_client import images
from resnet_serve.datasets import ImageFolder, pixel_batches
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton.backends.image.model import TritonPythonModel, read_preprocessing

KINDS = {
    "shorter": Preprocessing(20, (16, 24)),
    "two numbers": Preprocessing((20, 28), (16, 24), "bicubic"),
    "longest": Preprocessing(20, (24, 24), resize_mode="longest", fill=(9, 8, 7)),
    "none": Preprocessing(None, (16, 24), fill=5),
    "not antialiased": Preprocessing(20, (16, 24), antialias=False),
    "BGR": Preprocessing(20, (16, 24), channel_order="bgr"),
    "BGR, filled": Preprocessing(None, (50, 24), fill=(1, 2, 3), channel_order="bgr"),
    "grey": Preprocessing(20, (16, 24), mean=(0.4,), std=(0.2,)),
    "another scale": Preprocessing(20, (16, 24), mean=(0, 0, 0), std=(1 / 255,) * 3),
}


class Unmeasured:
    """The metrics of a process that has no server."""

    def took(self, seconds: float) -> None:
        assert seconds > 0


def backend(preprocessing: Preprocessing, folder: Path, normalised: bool) -> TritonPythonModel:
    """The backend with the preprocessing that is stored beside its version."""
    path = folder / "preprocessing.json"
    path.write_text(preprocessing.to_json())
    model = TritonPythonModel()
    model._preprocessing, model._crops = read_preprocessing(path), None
    model._outputs, model._normalised = ("pixels",), normalised
    model._metrics = Unmeasured()
    return model


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_are_the_same_everywhere(kind: str, tmp_path: Path) -> None:
    preprocessing = KINDS[kind]
    image = noise(31, 45)
    (tmp_path / "a.png").write_bytes(png(image))
    sent = np.array([png(image)], dtype=np.object_)
    served = backend(preprocessing, tmp_path, False)._pixels(sent)[0, 0]
    np.testing.assert_array_equal(served, images.pixels(image, preprocessing))
    (validated,) = pixel_batches(ImageFolder.scan(tmp_path), preprocessing, 1)
    np.testing.assert_array_equal(served, validated[0])
    planes = backend(preprocessing, tmp_path, True)._pixels(sent)[0, 0]
    np.testing.assert_array_equal(planes, preprocessing.normalize(served))


def test_each_kind_has_pixels_of_its_own() -> None:
    image = noise(31, 45)
    plain = KINDS["shorter"].pixels(image)
    for kind in ("two numbers", "none", "not antialiased", "BGR"):
        assert (KINDS[kind].pixels(image) != plain).any(), kind


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_for_images_of_any_size(
    kind: str, height: int, width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image, preprocessing = noise(height, width), KINDS[kind]
    model = backend(preprocessing, tmp_path_factory.getbasetemp(), False)
    served = model._pixels(np.array([png(image)], dtype=np.object_))[0, 0]
    np.testing.assert_array_equal(served, images.pixels(image, preprocessing))
