"""Configurations that resnet-convert wrote, and others, read by the client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnet_client.contract import read
from resnet_client.errors import ModelError
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config

GEOMETRY = Preprocessing(resize=20, crop=(16, 24))


def classifier(kind: str, classes: int = 7, activation: Activation | None = None) -> Any:
    return config.classifier(
        "resnet18",
        target=TARGETS["onnxruntime"],
        input_kind=kind,
        preprocessing=GEOMETRY,
        classes=classes,
        activation=activation,
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


@pytest.mark.parametrize(
    ("activation", "classes"),
    [
        (SOFTMAX, 7),
        (Activation(Kind.SIGMOID, (0.5,)), 7),
        (Activation(Kind.SIGMOID, (0.3,), "cat"), 1),
        (Activation(Kind.NONE), 1),
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
def test_the_activation_is_the_deployed_one(
    activation: Activation, classes: int, encoded: bool
) -> None:
    made = classifier("uint8", classes, activation)
    if encoded:
        made = config.image_ensemble(
            "a_image",
            preprocess_name="a_preprocess",
            classifier_name="a",
            classes=classes,
            activation=activation,
            serving=config.Serving(max_batch_size=4, instances=1, threads=1),
        )
    found = read("a", "1", config.parse(config.to_text(made)), "client")
    assert found.activation == activation


def test_several_classes_without_a_stated_activation_are_a_softmax() -> None:
    assert read("resnet18", "1", classifier("uint8"), "client").activation == SOFTMAX


@pytest.mark.parametrize(
    ("classes", "text", "message"),
    [
        (1, None, "has one output, and its configuration does not say"),
        (1, SOFTMAX.to_text(), "do not fit its softmax"),
        (7, Activation(Kind.SIGMOID, (0.5, 0.4)).to_text(), "has 7 outputs, which do not fit"),
        (7, '{"kind": "relu"}', "unreadable activation"),
        (7, "softmax", "unreadable activation"),
    ],
)
def test_an_activation_that_cannot_be_is_refused(
    classes: int, text: str | None, message: str
) -> None:
    made = classifier("uint8", classes)
    if text is not None:
        made.parameters["activation"].string_value = text
    with pytest.raises(ModelError, match=message):
        read("resnet18", "1", made, "client")
