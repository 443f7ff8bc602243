"""Configurations that resnet-convert wrote, and others, read by the client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnet_client.contract import read
from resnet_client.errors import ModelError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config

GEOMETRY = Preprocessing(resize=20, crop=(16, 24))


def classifier(kind: str) -> Any:
    return config.classifier(
        "resnet18",
        target=TARGETS["onnxruntime"],
        input_kind=kind,
        preprocessing=GEOMETRY,
        classes=7,
        serving=config.Serving(max_batch_size=4, instances=1, threads=1),
    )


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_pixels_are_the_stored_preprocessings(picture: np.ndarray) -> None:
    contract = read("resnet18", "3", classifier("uint8"), "client")
    assert (contract.version, contract.classes, contract.max_batch_size) == ("3", 7, 4)
    prepared = contract.prepare(picture)
    assert prepared.dtype == np.uint8
    np.testing.assert_array_equal(prepared, GEOMETRY.pixels(picture))


def test_planes_are_normalised_by_it(picture: np.ndarray) -> None:
    prepared = read("resnet18", "1", classifier("float32"), "client").prepare(picture)
    assert prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared, GEOMETRY.normalize(GEOMETRY.pixels(picture)))


def broken(**changes: Any) -> Any:
    """Our configuration with fields replaced."""
    made = classifier("uint8")
    for name, value in changes.items():
        if name == "max_batch_size":
            made.max_batch_size = value
        elif name == "dims":
            made.input[0].dims[:] = value
        elif name == "output":
            made.output[0].name = value
        elif name == "classes":
            made.output[0].dims[:] = value
        elif name == "second_input":
            made.input.add(name=value)
        elif name == "preprocessing":
            made.parameters["preprocessing"].string_value = value
        elif name == "without":
            del made.parameters[value]
    return made


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_batch_size": 0}, "does not support batches"),
        ({"second_input": "mask"}, "has 2 inputs"),
        (
            {"dims": [24, 16, 3]},
            r"expects UINT8 \[24, 16, 3\], but .* gives 16 × 24",
        ),
        ({"dims": [-1, -1, 3]}, r"expects UINT8 \[-1, -1, 3\]"),
        ({"output": "scores"}, "has no output 'logits'"),
        ({"classes": [7, 1]}, "has no output 'logits' with one number per class"),
        ({"classes": [-1]}, "has no output 'logits' with one number per class"),
        ({"without": "preprocessing"}, "has no preprocessing in its configuration"),
        ({"preprocessing": "{not json"}, "unreadable preprocessing"),
        ({"preprocessing": '{"gamma": 2.2}'}, "unreadable preprocessing .*'gamma'"),
    ],
)
def test_other_configurations_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=f"^model 'resnet18': .*{reason}"):
        read("resnet18", "1", broken(**changes), "client")


def test_a_tensor_model_decodes_nothing() -> None:
    with pytest.raises(ModelError, match=r"expects UINT8 \[16, 24, 3\], not encoded images"):
        read("resnet18_image", "1", classifier("uint8"), "server")
