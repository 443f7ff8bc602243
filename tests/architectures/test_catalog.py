"""The published weights: facts that were read once and must not drift."""

from __future__ import annotations

import re

import pytest
from published import PARAMETERS

from resnet_serve.architectures import ARCHITECTURES, catalog
from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# torchvision 0.28, models/resnet.py: the file, `_file_size`, the resize of `transforms`, `acc@1`.
TORCHVISION = {
    ("resnet18", "v1"): ("resnet18-f37072fd.pth", 44.661, 256, 69.758),
    ("resnet34", "v1"): ("resnet34-b627a593.pth", 83.275, 256, 73.314),
    ("resnet50", "v1"): ("resnet50-0676ba61.pth", 97.781, 256, 76.130),
    ("resnet50", "v2"): ("resnet50-11ad3fa6.pth", 97.790, 232, 80.858),
    ("resnet101", "v1"): ("resnet101-63fe2227.pth", 170.511, 256, 77.374),
    ("resnet101", "v2"): ("resnet101-cd907fc2.pth", 170.530, 232, 81.886),
    ("resnet152", "v1"): ("resnet152-394f9c45.pth", 230.434, 256, 78.312),
    ("resnet152", "v2"): ("resnet152-f82ba261.pth", 230.474, 232, 82.284),
    ("wide_resnet50_2", "v1"): ("wide_resnet50_2-95faca4d.pth", 131.820, 256, 78.468),
    ("wide_resnet50_2", "v2"): ("wide_resnet50_2-9ba9bcbe.pth", 263.124, 232, 81.602),
    ("wide_resnet101_2", "v1"): ("wide_resnet101_2-32ee1156.pth", 242.896, 256, 78.848),
    ("wide_resnet101_2", "v2"): ("wide_resnet101_2-d733dc28.pth", 484.747, 232, 82.510),
    ("resnext50_32x4d", "v1"): ("resnext50_32x4d-7cdf4587.pth", 95.789, 256, 77.618),
    ("resnext50_32x4d", "v2"): ("resnext50_32x4d-1a0047aa.pth", 95.833, 232, 81.198),
    ("resnext101_32x8d", "v1"): ("resnext101_32x8d-8ba56ff5.pth", 339.586, 256, 79.312),
    ("resnext101_32x8d", "v2"): ("resnext101_32x8d-110c445d.pth", 339.673, 232, 82.834),
    ("resnext101_64x4d", "v1"): ("resnext101_64x4d-173b62eb.pth", 319.318, 232, 83.246),
}


def test_the_table_is_torchvision_s() -> None:
    found = {
        key: (row.file_name, row.size_mib, row.resize, row.top1)
        for key, row in catalog.CATALOG.items()
    }
    assert found == TORCHVISION


@pytest.mark.parametrize("row", catalog.CATALOG.values(), ids=lambda row: row.file_name)
def test_a_row_is_whole(row: catalog.Published) -> None:
    assert row.url == f"https://download.pytorch.org/models/{row.file_name}"
    assert re.fullmatch(r"[0-9a-f]{8}", row.sha256_prefix)
    assert row.file_name == f"{row.architecture}-{row.sha256_prefix}.pth"
    # four bytes a parameter (the first wide ones: two), and BatchNorm statistics and names on top
    parameter_bytes = 2 if (row.architecture[:4], row.version) == ("wide", "v1") else 4
    assert 1 < row.size_mib * 2**20 / (parameter_bytes * PARAMETERS[row.architecture]) < 1.01
    assert row.preprocessing == Preprocessing(
        resize=row.resize,
        crop=(224, 224),
        interpolation="bilinear",
        resize_mode="shorter",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    assert 50 < row.top1 < row.top5 < 100


def test_the_newest_is_the_default() -> None:
    assert catalog.published("resnet18").version == "v1"
    assert catalog.published("resnet50").version == "v2"
    assert catalog.published("resnet50", "v1").file_name == "resnet50-0676ba61.pth"


def test_what_torchvision_publishes_is_found_and_nothing_else() -> None:
    for name, architecture in ARCHITECTURES.items():
        if name in PARAMETERS:
            assert catalog.published(name).architecture == name
            assert architecture.parameters == PARAMETERS[name]
        else:
            with pytest.raises(UsageError, match=f"no published ImageNet weights for {name}"):
                catalog.published(name)


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'v3' for resnet50.*imagenet:v1, imagenet:v2"):
        catalog.published("resnet50", "v3")
    with pytest.raises(UsageError, match=r"'v2' for resnet18.*imagenet:v1\.$"):
        catalog.published("resnet18", "v2")


def test_the_catalog_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalog.CATALOG["resnet18", "v9"] = catalog.published("resnet18")  # type: ignore[index]
