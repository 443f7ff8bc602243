"""OpenMMLab's configurations: the text in a checkpoint, parsed and never run."""

from __future__ import annotations

import pytest

from resnet_serve.checkpoints.transforms import openmmlab
from resnet_serve.errors import InputFileError

CONFIG = """
custom = print('not run')
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], num_classes=7, to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(3, ), style='pytorch'),
    head=dict(type='LinearClsHead', num_classes=7, in_channels=2048))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(backend='pillow', edge='short', scale=256, type='ResizeEdge'),
    dict(crop_size=224, type='CenterCrop'),
    dict(type='PackInputs'),
]
"""
OLD = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=False)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', size=(256, -1)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Collect', keys=['img']),
]
"""


def test_a_configuration_is_read() -> None:
    config = openmmlab.config_of(CONFIG)
    assert config is not None
    assert openmmlab.network(config) == "resnet50"
    assert openmmlab.classes(config) == 7
    assert openmmlab.has_pipeline(config)
    assert openmmlab.fields(config) == {
        "resize": 256,
        "crop": [224, 224],
        "interpolation": "bilinear",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "rescale": 1,
        "channel_order": "rgb",
    }


def test_mmcls_is_bgr_and_opencv_unless_it_says_otherwise() -> None:
    config = openmmlab.config_of(OLD)
    assert config is not None
    found = openmmlab.fields(config)
    assert (found["resize"], found["channel_order"], found["antialias"]) == (256, "bgr", False)


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("type='ResNet', depth=50, style='caffe'", "resnet50v1"),
        ("type='ResNet', depth=18, style='caffe'", "resnet18"),
        ("type='mmpretrain.ResNetV1d', depth=101", "resnet101d"),
        ("type='ResNet_CIFAR', depth=18", "resnet18-cifar"),
        ("type='ResNeXt', depth=50, groups=32, width_per_group=4", "resnext50_32x4d"),
        ("type='SEResNet', depth=50", "seresnet50"),
        ("type='ResNet', depth=50, strides=(1, 2, 2, 1)", "resnet50 with strides (1, 2, 2, 1)"),
    ],
)
def test_the_backbone_has_the_name_of_what_it_computes(backbone: str, name: str) -> None:
    config = openmmlab.config_of(f"model = dict(backbone=dict({backbone}))")
    assert config is not None
    assert openmmlab.network(config) == name


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("dict(type='Albu', transforms=[])", "its Albu has no equivalent"),
        ("dict(type='ResizeEdge', scale=256, interpolation='bicubic')", "OpenCV's 'bicubic'"),
        ("dict(type='ResizeEdge', scale=256)", "to one size"),
        ("dict(type='Resize', scale=(256, 256), keep_ratio=True)", "keeps the ratio"),
        ("dict(type='CenterCrop', crop_size=224), dict(type='Resize', scale=9)", "after the crop"),
    ],
)
def test_a_step_without_equivalent_is_refused(steps: str, message: str) -> None:
    config = openmmlab.config_of(f"{CONFIG}\ntest_pipeline = [{steps}]")
    assert config is not None
    with pytest.raises(InputFileError, match=message):
        openmmlab.fields(config)


@pytest.mark.parametrize("value", ["", "x = [", "lr = 0.1", 5, {"lr": 0.1}, None, "(" * 5_000])
def test_what_is_no_configuration(value: object) -> None:
    assert openmmlab.config_of(value) is None
