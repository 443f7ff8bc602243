"""The JSON of a preprocessing: typed, without a field that has no effect, and published."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_images import noise

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing, document
from resnet_serve.preprocessing.geometry import RESAMPLING, RESIZE_MODES
from resnet_serve.preprocessing.rules import CHANNEL_ORDERS

DOCS = Path(__file__).parents[2] / "docs"
DIGITS = Preprocessing(resize=(32, 32), crop=(32, 32))
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

numbers = st.floats(-4, 4) | st.integers(-4, 4)
positive = st.floats(1e-3, 4) | st.integers(1, 4)
side = st.integers(1, 8000)
preprocessings = st.builds(
    Preprocessing,
    resize=side | st.tuples(side, side) | st.none(),
    crop=st.tuples(side, side),
    interpolation=st.sampled_from(sorted(RESAMPLING)),
    mean=st.tuples(numbers, numbers, numbers),
    std=st.tuples(positive, positive, positive),
    channel_order=st.sampled_from(CHANNEL_ORDERS),
)


@given(preprocessings)
def test_json_round_trip(how: Preprocessing) -> None:
    assert Preprocessing.from_json(how.to_json()) == how
    assert Preprocessing.from_json(json.loads(how.to_json())) == how
    assert hash(Preprocessing.from_json(how.to_json())) == hash(how)


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing(64, (48, 32), resize_mode="longest", fill=(1, 2, 3)),
        Preprocessing(64, (48, 32), antialias=False),
        Preprocessing(None, (48, 32), mean=(0.5,), std=(0.25,), fill=9),
    ],
)
def test_json_round_trip_of_the_rarer_fields(how: Preprocessing) -> None:
    assert Preprocessing.from_json(how.to_json()) == how


def test_missing_fields_are_the_defaults() -> None:
    assert Preprocessing.from_json("{}") == Preprocessing()
    assert Preprocessing.from_json({"resize": 232}) == Preprocessing(resize=232)


# What a file says over weights whose images are resized to 32 × 32.
MEANT = [
    ({}, DIGITS),
    ({"resize": 36, "crop": [32, 32]}, Preprocessing(36, (32, 32))),
    ({"resize": 36}, Preprocessing(36, (32, 32))),
    ({"resize": [36, 36]}, Preprocessing((36, 36), (32, 32))),
    ({"resize": [36, 36], "crop": 24}, Preprocessing((36, 36), (24, 24))),
    ({"resize": [36, 40], "resize_mode": "exact"}, Preprocessing((36, 40), (32, 32))),
    ({"resize": None}, Preprocessing(None, (32, 32))),
    ({"resize_mode": "none"}, Preprocessing(None, (32, 32))),
    ({"crop": 48}, Preprocessing((48, 48), (48, 48))),
    ({"crop": [48, 32]}, Preprocessing((48, 32), (48, 32))),
    ({"crop_pct": 0.875}, Preprocessing(36, (32, 32))),
    ({"crop": 224, "crop_pct": 0.95}, Preprocessing(235, (224, 224))),
    (
        {"crop": [224, 112], "crop_pct": 0.5, "resize_mode": "exact"},
        Preprocessing((448, 224), (224, 112)),
    ),
    (
        {"resize": 40, "resize_mode": "longest", "fill": [1, 2, 3]},
        Preprocessing(40, (32, 32), resize_mode="longest", fill=(1, 2, 3)),
    ),
    ({"resize": 32, "crop": [32, 32], "resize_mode": "exact"}, DIGITS),  # of resnet-serve 0.1
    ({"crop": [48, 32], "resize_mode": "exact"}, Preprocessing((48, 32), (48, 32))),
]


@pytest.mark.parametrize(("data", "meant"), MEANT, ids=[str(each[0]) for each in MEANT])
def test_geometry_over_that_of_the_weights(data: dict[str, Any], meant: Preprocessing) -> None:
    assert Preprocessing.from_json(data, DIGITS) == meant


def test_resize_and_crop_over_an_exact_resize_are_not_a_squeeze() -> None:
    """`Resize(36)`, `CenterCrop(32)` of an oblong image keep its shape."""
    image = noise(50, 80)
    found = Preprocessing.from_json({"resize": 36, "crop": [32, 32]}, DIGITS).pixels(image)
    np.testing.assert_array_equal(found, np.asarray(image.resize((57, 36), 2))[2:34, 12:44])


@pytest.mark.parametrize("rescale", [1, 1 / 127.5, 1 / 255, 2.5])
def test_rescale_is_folded_into_mean_and_std(rescale: float) -> None:
    data = {"rescale": rescale, "mean": MEAN, "std": STD}
    scale = rescale  # mean and std of the scale that a rescaled pixel is on
    data["mean"] = [value * scale for value in MEAN]
    data["std"] = [value * scale for value in STD]
    found = Preprocessing.from_json(data)
    pixels = np.asarray(noise(4, 5))
    expected = (pixels * np.float64(rescale) - data["mean"]) / data["std"]
    np.testing.assert_allclose(found.normalize(pixels), np.moveaxis(expected, -1, 0), atol=2e-6)


def test_the_remedies_for_the_scale_of_0_to_255_work() -> None:
    wrong = {"mean": list(MEAN), "std": list(STD)}
    with pytest.raises(InputFileError, match="not in units of") as caught:
        Preprocessing.from_json(wrong)
    remedy = str(caught.value.remedy)
    assert '"rescale": 1' in remedy
    added = Preprocessing.from_json({**wrong, "rescale": 1})
    mean, std = map(json.loads, re.findall(r"\[[^\]]+\]", remedy.partition("the same as")[2]))
    divided = Preprocessing.from_json({"mean": mean, "std": std})
    np.testing.assert_allclose(added.mean, divided.mean, rtol=1e-5)
    np.testing.assert_allclose(added.std, divided.std, rtol=1e-5)
    np.testing.assert_allclose(added.mean, (0.485, 0.456, 0.406), rtol=1e-5)


CONTRADICTIONS = [
    ({"resize": 36, "crop_pct": 0.9}, "resize and crop_pct say the same thing twice"),
    ({"crop_pct": 0.9, "resize_mode": "none"}, "crop_pct has no effect"),
    ({"crop": [32, 48], "crop_pct": 0.9}, "crop_pct is for square crops"),
    ({"resize_mode": "shorter"}, "'shorter' needs resize"),
    ({"resize_mode": "longest"}, "'longest' needs resize"),
    ({"resize": 36, "resize_mode": "exact"}, "Give resize [height, width]"),
    ({"resize": None, "interpolation": "box"}, "interpolation has no effect without a resize"),
    ({"resize_mode": "none", "antialias": True}, "antialias has no effect without a resize"),
    (
        {"rescale": 1 / 255, "mean": list(MEAN), "std": list(STD)},
        "do not fit rescale 0.00392157: white would be 1, and the largest of them is 123.675",
    ),
    ({"rescale": 1}, "give all three"),
    ({"rescale": 1, "mean": [0, 0, 0]}, "give all three"),
]


@pytest.mark.parametrize(
    ("data", "message"), CONTRADICTIONS, ids=[str(each[0]) for each in CONTRADICTIONS]
)
def test_fields_that_contradict_each_other_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputFileError) as caught:
        Preprocessing.from_json(data, DIGITS)
    assert message in str(caught.value)


NONSENSE = {
    "interpolation": ["cubic", "", None, 2],
    "resize_mode": ["longer", 3],
    "resize": [0, -1, 2.5, "256", True, 10**9, [36], [36, 36, 3], [36, 0], {}],
    "crop": [[224], [224, 224, 3], [0, 1], [-3, 4], [1.5, 2], "ab", None, 0, [10**6, 10**6]],
    "crop_pct": [0, 11, "0.9", True, [0.9]],
    "mean": [[0.5], [1, 2, 3, 4], ["a", "b", "c"], [float("nan"), 0, 0], None, [1e999, 0, 0], 0.5],
    "std": [[0, 1, 1], [-1, 1, 1], [1, 1], [float("nan")] * 3, [float("inf")] * 3, "abc"],
    "antialias": [1, "yes", None, [False]],
    "channel_order": ["brg", "BGR", None],
    "fill": [-1, 256, 0.5, "black", [1, 2], [True, 0, 0], None],
    "rescale": [0, -1, "1/255", None, float("nan")],
    "colour": ["red"],
    "do_flip_channel_order": [True],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in NONSENSE.items() for value in values]
)
def test_nonsense_is_refused_in_one_line(field: str, value: object) -> None:
    with pytest.raises(InputFileError) as caught:
        Preprocessing.from_json(json.dumps({field: value}))
    assert caught.value.where == "preprocessing"
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{", "[" * 100_000, '"x"'])
def test_text_that_is_no_preprocessing_is_refused(text: str) -> None:
    with pytest.raises(InputFileError, match="not a preprocessing"):
        Preprocessing.from_json(text)


def test_the_published_schema_is_that_of_the_model() -> None:
    published = (DOCS / "preprocessing.schema.json").read_text(encoding="utf-8")
    assert published == document.schema(), "resnet-serve schema preprocessing > docs/…"


def test_the_table_of_fields_is_that_of_the_model() -> None:
    text = (DOCS / "preprocessing.md").read_text(encoding="utf-8")
    assert document.table() in text
    limits = document.LimitsDocument.model_fields
    assert document.table().count("\n") == len(document.FIELDS) + len(limits)


def test_the_choices_are_those_of_the_code() -> None:
    found = json.loads(document.schema())["properties"]
    assert found["interpolation"]["enum"] == list(RESAMPLING)
    assert found["channel_order"]["enum"] == list(CHANNEL_ORDERS)
    assert found["resize_mode"]["anyOf"][0]["enum"] == list(RESIZE_MODES)


def test_every_field_of_the_value_is_in_the_document() -> None:
    assert set(json.loads(Preprocessing().to_json())) < set(document.FIELDS)
    assert json.loads(document.schema())["additionalProperties"] is False
