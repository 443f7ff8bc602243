"""The files beside weights: read as the library that wrote them would, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_configs import A1, CONVNEXT, RESNET_50, written

from resnet_serve.checkpoints.sidecar_files import Sidecar, read
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing


def beside(folder: Path, data: object, processor: object = None) -> Sidecar:
    written(folder, data)
    if processor is not None:
        written(folder, processor, "preprocessor_config.json")
    return read(folder / "model.safetensors")


def test_timm_s_config_has_its_preprocessing(tmp_path: Path) -> None:
    found = beside(tmp_path, A1).preprocessing
    assert found is not None
    assert found.resize == 235  # ⌊224 / 0.95⌋


@pytest.mark.parametrize(
    "data", [{}, {"architectures": ["ViTForImageClassification"]}, {"model_type": "vit"}]
)
def test_the_config_of_another_library_is_none_of_ours(tmp_path: Path, data: object) -> None:
    assert beside(tmp_path, data) == Sidecar()
    assert read(tmp_path / "elsewhere" / "net.pth") == Sidecar()


def test_timm_s_class_names_are_each_on_one_line(tmp_path: Path) -> None:
    found = beside(tmp_path, {**A1, "label_names": ["a", " b  c "]})
    assert (found.labels, found.recorded) == (("a", "b c"), True)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_a_broken_config_is_not_passed_over(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputFileError, match=r"is not valid JSON .* give --preprocessing"):
        beside(tmp_path, text)


def test_transformers_files_say_how_images_are_seen_and_what_the_classes_are(
    tmp_path: Path,
) -> None:
    found = beside(tmp_path, RESNET_50, CONVNEXT)
    assert found.preprocessing == Preprocessing(
        resize=256, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    assert found.labels == ("tench", "gold fish")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"downsample_in_bottleneck": True}, "1x1"),
        ({"downsample_in_bottleneck": False}, "3x3"),
        ({}, "3x3"),
        ({"layer_type": "basic"}, None),
    ],
)
def test_transformers_config_says_where_bottlenecks_stride(
    tmp_path: Path, change: dict[str, object], expected: str | None
) -> None:
    assert beside(tmp_path, RESNET_50 | change).strided == expected


@pytest.mark.parametrize(
    ("config", "doubts"),
    [
        (A1, ()),
        (A1 | {"architecture": "resnet50d.ra2_in1k"}, ()),
        (A1 | {"model_args": {"num_classes": 3, "drop_rate": 0.1}, "global_pool": "avg"}, ()),
        (
            A1 | {"architecture": "resnetaa50d"},
            ("timm calls it 'resnetaa50d', which is not in the family",),
        ),
        (
            A1 | {"model_args": {"act_layer": "gelu", "output_stride": 8}, "global_pool": "max"},
            (
                "timm builds it with 'act_layer'",
                "timm builds it with 'output_stride'",
                "its pooling is 'max'",
            ),
        ),
        (RESNET_50, ()),
        (RESNET_50 | {"hidden_act": "relu", "downsample_in_first_stage": False}, ()),
        (RESNET_50 | {"hidden_act": "gelu"}, ("its activation is 'gelu'",)),
        (
            RESNET_50 | {"downsample_in_first_stage": True},
            ("its first stage also halves the image",),
        ),
    ],
)
def test_what_tensors_do_not_show_is_doubted(
    tmp_path: Path, config: object, doubts: tuple[str, ...]
) -> None:
    assert beside(tmp_path, config).doubts == doubts


@pytest.mark.parametrize("names", [None, [], {}, {"0": ""}, {"1": "a"}, {"0": 3}])
def test_names_that_are_none_are_passed_over(tmp_path: Path, names: object) -> None:
    assert beside(tmp_path, RESNET_50 | {"id2label": names}).labels is None
