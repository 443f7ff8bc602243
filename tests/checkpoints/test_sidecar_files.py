"""The files beside weights: read as the library that wrote them would, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_configs import A1, CONVNEXT, RESNET_50, VIT, written

from resnet_serve.checkpoints.sidecar_files import Sidecar, read
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing


def beside(folder: Path, data: object, processor: object = None) -> Sidecar:
    written(folder, data)
    if processor is not None:
        written(folder, processor, "preprocessor_config.json")
    return read(folder / "model.safetensors")


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
    "data", [{}, {"architectures": ["ViTForImageClassification"]}, {"model_type": "vit"}]
)
def test_the_config_of_another_library_is_none_of_ours(tmp_path: Path, data: object) -> None:
    assert beside(tmp_path, data) == Sidecar()
    assert read(tmp_path / "elsewhere" / "net.pth") == Sidecar()


@pytest.mark.parametrize(("classes", "taken"), [(2, ("a", "b c")), (3, None)])
def test_class_names_are_taken_when_they_are_as_many(
    tmp_path: Path, classes: int, taken: object
) -> None:
    assert beside(tmp_path, {**A1, "label_names": ["a", " b  c "]}).labels_of(classes) == taken


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_mode": "border"}, "the crop_mode 'border' is not supported here"),
        ({"crop_mode": "squash", "crop_pct": 0.9}, "'squash' of 224 × 224 at 0.9 is not supported"),
        ({"input_size": [3, 96, 128]}, "'center' of 96 × 128 at 0.875 is not supported"),
        ({"input_size": [224, 224]}, "input_size must be [channels, height, width]"),
        ({"input_size": [3, 0, 0]}, "input_size must be"),
        ({"crop_pct": "0.9"}, "crop_pct '0.9' is not a fraction"),
        ({"crop_pct": 1e-9}, "crop_pct 1e-09 is not a fraction"),
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


def test_transformers_files_say_how_images_are_seen_and_what_the_classes_are(
    tmp_path: Path,
) -> None:
    found = beside(tmp_path, RESNET_50, CONVNEXT)
    assert found.preprocessing == Preprocessing(
        resize=256, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    assert found.labels_of(2) == ("tench", "gold fish")
    assert found.labels_of(3) is None


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


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (
            {**CONVNEXT, "size": {"shortest_edge": 384}},
            Preprocessing(
                resize=384, crop=(384, 384), interpolation="bicubic", resize_mode="exact"
            ),
        ),
        (
            {**CONVNEXT, "crop_pct": None, "size": {"shortest_edge": 160}, "resample": 2},
            Preprocessing(resize=182, crop=(160, 160)),
        ),
        (
            VIT,
            Preprocessing(
                resize=96, crop=(96, 128), resize_mode="exact", mean=(0.5,) * 3, std=(0.5,) * 3
            ),
        ),
        (
            {**VIT, "size": 64, "image_mean": None, "image_std": None},
            Preprocessing(
                resize=64, crop=(64, 64), resize_mode="exact", mean=(0.5,) * 3, std=(0.5,) * 3
            ),
        ),
        (
            {
                "image_processor_type": "BitImageProcessor",
                "size": {"shortest_edge": 232},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "do_normalize": False,
                "rescale_factor": 0.00392156862745098,
            },
            Preprocessing(resize=232, mean=(0, 0, 0), std=(1, 1, 1)),
        ),
    ],
    ids=["warped", "ConvNext", "ViT", "one number", "BiT"],
)
def test_image_processors_are_read_as_transformers_reads_them(
    tmp_path: Path, processor: object, expected: Preprocessing
) -> None:
    assert beside(tmp_path, RESNET_50, processor).preprocessing == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_resize": False}, "does not resize"),
        ({"do_rescale": False}, "does not scale pixels to [0, 1]"),
        ({"rescale_factor": 1 / 127.5}, "another range than [0, 1]"),
        ({"rescale_factor": "1/255"}, "has no rescale_factor"),
        ({"rescale_factor": 0}, "has no rescale_factor"),
        ({"size": {"longest_edge": 224}}, "has no shortest_edge in pixels"),
        ({"size": True}, "has no shortest_edge in pixels"),
        ({"crop_pct": 0.01}, "crop_pct 0.01 is not a fraction"),
        ({"crop_pct": [1]}, "crop_pct [1] is not a fraction"),
        ({"resample": 99}, "unknown interpolation '99'"),
        ({"resample": [3]}, "unknown interpolation '[3]'"),
        ({"image_mean": [0.5]}, "mean and std"),
    ],
)
def test_a_processor_without_counterpart_is_refused_with_the_file(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputFileError) as caught:
        beside(tmp_path, RESNET_50, CONVNEXT | change)
    assert message in str(caught.value)
    assert caught.value.where == str(tmp_path / "preprocessor_config.json")


@pytest.mark.parametrize(
    "change",
    [
        {"size": {"shortest_edge": 96}},
        {"do_center_crop": True, "crop_size": 64},
        {"size": {"shortest_edge": 64}, "do_center_crop": True, "crop_size": 96},
    ],
)
def test_a_processor_whose_images_have_no_one_shape_or_are_padded_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(InputFileError, match=r"not supported here\. Give --preprocessing FILE"):
        beside(tmp_path, RESNET_50, VIT | change)
