"""Transforms as text: what torchvision prints, and what programs have."""

from __future__ import annotations

import pytest

from resnet_serve.checkpoints.transforms import torchvision_steps
from resnet_serve.checkpoints.transforms.written import step_of

PRINTED = """Compose(
    Resize(size=256, interpolation=bilinear, max_size=None, antialias=True)
    CenterCrop(size=(224, 224))
    ToTensor()
    Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
)"""
OLDER = """Compose(
    Resize(size=256, interpolation=InterpolationMode.BILINEAR)
    CenterCrop(size=(224, 224))
    ToTensor()
    Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
)"""
PRESET = """ImageClassification(
    crop_size=[224]
    resize_size=[256]
    mean=[0.485, 0.456, 0.406]
    std=[0.229, 0.224, 0.225]
    interpolation=InterpolationMode.BILINEAR
)"""
SEQUENTIAL = """Sequential(
  (0): Resize(size=[256], interpolation=InterpolationMode.BILINEAR, antialias=True)
  (1): CenterCrop(size=(224, 224))
  (2): ToTensor()
  (3): Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], inplace=False)
)"""
PROGRAM = (
    "transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),"
    " transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])"
)
WANTED = {
    "resize": 256,
    "crop": [224, 224],
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


@pytest.mark.parametrize("text", [PRINTED, OLDER, PRESET, SEQUENTIAL, PROGRAM])
def test_one_transform_in_every_form(text: str) -> None:
    step = step_of(text)
    assert step is not None
    assert torchvision_steps.is_torchvision(step)
    assert torchvision_steps.fields(step) == WANTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "256",
        "bicubic",
        "Compose(",
        "Compose([Resize(256)",
        "Compose([Resize(256)]) and more",
        "f(lambda x: x)",
        "a(" * 40 + ")" * 40,
        "Compose(" + "Resize(256)" * 5_000 + ")",
    ],
)
def test_other_texts_are_no_transform(text: str) -> None:
    assert step_of(text) is None
