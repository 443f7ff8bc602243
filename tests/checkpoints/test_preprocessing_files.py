"""timm's numbers and --preprocessing: read as timm would, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_serve.checkpoints.preprocessing_files import Beside, of_timm, override
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# What matters of the config.json of timm/resnet18.a1_in1k on the hub.
A1 = {
    "architecture": "resnet18",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def written(folder: Path, data: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def beside(folder: Path, data: object, classes: int = 1000) -> Beside:
    written(folder, data)
    return of_timm(folder / "model.safetensors", classes)


def test_timm_s_config_is_read_as_timm_reads_it(tmp_path: Path) -> None:
    assert beside(tmp_path, A1).preprocessing == Preprocessing(
        resize=235,  # ⌊224 / 0.95⌋
        crop=(224, 224),
        interpolation="bicubic",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def test_what_timm_leaves_out_has_timm_s_defaults(tmp_path: Path) -> None:
    found = beside(tmp_path, {"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "crop_pct": None}})
    assert found.preprocessing == Preprocessing(
        resize=256, interpolation="bicubic", mean=(0.5, 0.5, 0.5)
    )


def test_squash_at_full_size_resizes_both_sides(tmp_path: Path) -> None:
    config = {"input_size": [3, 96, 128], "crop_pct": 1.0, "crop_mode": "squash"}
    found = beside(tmp_path, {"pretrained_cfg": config}).preprocessing
    assert found is not None
    assert (found.resize_mode, found.crop) == ("exact", (96, 128))


@pytest.mark.parametrize(
    "data", [{}, {"architectures": ["ResNetForImageClassification"]}, {"model_type": "resnet"}]
)
def test_the_config_of_another_library_is_none_of_ours(tmp_path: Path, data: object) -> None:
    assert beside(tmp_path, data) == Beside()
    assert of_timm(tmp_path / "elsewhere" / "net.pth", 10) == Beside()


@pytest.mark.parametrize(("classes", "taken"), [(2, ("a", "b c")), (3, None)])
def test_class_names_are_taken_when_they_are_as_many(
    tmp_path: Path, classes: int, taken: object
) -> None:
    assert beside(tmp_path, {**A1, "label_names": ["a", " b  c "]}, classes).labels == taken


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_mode": "border"}, "the crop_mode 'border' has no counterpart here"),
        ({"crop_mode": "squash", "crop_pct": 0.9}, "'squash' of 224 × 224 at 0.9 has no"),
        ({"input_size": [3, 96, 128]}, "'center' of 96 × 128 at 0.875 has no counterpart"),
        ({"input_size": [224, 224]}, "input_size must be [channels, height, width]"),
        ({"input_size": [3, 0, 0]}, "input_size must be"),
        ({"crop_pct": "0.9"}, "crop_pct '0.9' is no share"),
        ({"crop_pct": 1e-9}, "crop_pct 1e-09 is no share"),
        ({"interpolation": "random"}, "unknown interpolation 'random'"),
        ({"mean": [0.5]}, "mean"),
        ({"mean": "abc"}, "mean and std must be numbers"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_the_file(
    tmp_path: Path, config: object, message: str
) -> None:
    with pytest.raises(InputFileError) as caught:
        beside(tmp_path, {"pretrained_cfg": config})
    assert message in str(caught.value)
    assert caught.value.where == str(tmp_path / "config.json")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_a_broken_config_is_not_passed_over(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputFileError, match=r"is not valid JSON .* give --preprocessing"):
        beside(tmp_path, text)


BASE = Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")


def test_our_fields_go_over_those_of_the_weights(tmp_path: Path) -> None:
    path = written(tmp_path, {"mean": [0.5, 0.4, 0.3], "interpolation": "bicubic"}, "own.json")
    assert override(path, BASE) == Preprocessing(
        resize=32,
        crop=(32, 32),
        resize_mode="exact",
        mean=(0.5, 0.4, 0.3),
        interpolation="bicubic",
    )


def test_what_we_write_we_read(tmp_path: Path) -> None:
    given = Preprocessing(resize=40, crop=(32, 28), mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    path = written(tmp_path, given.to_json(), "own.json")
    assert override(path, BASE) == given


@pytest.mark.parametrize("data", [A1, A1["pretrained_cfg"]])
def test_timm_s_words_are_understood_too(tmp_path: Path, data: object) -> None:
    assert override(written(tmp_path, data, "own.json"), BASE).resize == 235


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"size": 3}, "does not know 'size'. Fields are crop, interpolation, mean, resize"),
        ({}, "says nothing"),
        ([1], "is JSON, but not a mapping of fields"),
        ({"resize": -1}, "whole numbers of pixels"),
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
