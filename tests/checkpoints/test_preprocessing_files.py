"""--preprocessing FILE: our fields, or a library's, over those of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_configs import A1, CONVNEXT, written

from resnet_serve.checkpoints.preprocessing_files import override
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

BASE = Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")


def test_our_fields_go_over_those_of_the_weights(tmp_path: Path) -> None:
    path = written(tmp_path, {"mean": [0.5, 0.4, 0.3], "interpolation": "bicubic"}, "own.json")
    assert override(path, BASE) == Preprocessing(
        resize=(32, 32),
        crop=(32, 32),
        mean=(0.5, 0.4, 0.3),
        interpolation="bicubic",
    )


def test_what_we_write_we_read(tmp_path: Path) -> None:
    given = Preprocessing(resize=40, crop=(32, 28), mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    path = written(tmp_path, given.to_json(), "own.json")
    assert override(path, BASE) == given


def test_resize_and_crop_are_not_a_squeeze(tmp_path: Path) -> None:
    path = written(tmp_path, {"resize": 36, "crop": [32, 32]}, "own.json")
    assert override(path, BASE) == Preprocessing(resize=36, crop=(32, 32))


@pytest.mark.parametrize("data", [A1, A1["pretrained_cfg"]])
def test_timm_s_words_are_understood_too(tmp_path: Path, data: object) -> None:
    assert override(written(tmp_path, data, "own.json"), BASE).resize == 235


def test_transformers_words_are_understood_too(tmp_path: Path) -> None:
    found = override(written(tmp_path, CONVNEXT, "preprocessor_config.json"), BASE)
    assert (found.resize, found.crop, found.interpolation) == (256, (224, 224), "bicubic")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"size": 3},
            "has an unknown field 'size'. Its fields are antialias, channel_order, crop",
        ),
        ({}, "has no fields"),
        ([1], "is JSON, but not a mapping of fields"),
        ({"resize": -1}, "resize cannot be used: -1: input should be greater than 0"),
        ({"std": [0, 1, 1]}, "std above 0"),
    ],
)
def test_a_preprocessing_that_cannot_be_meant_is_refused(
    tmp_path: Path, data: object, message: str
) -> None:
    path = written(tmp_path, data, "own.json")
    with pytest.raises(InputFileError) as caught:
        override(path, BASE)
    assert message in str(caught.value)
    assert caught.value.where == str(path)


def test_a_preprocessing_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        override(tmp_path / "absent.json", BASE)
