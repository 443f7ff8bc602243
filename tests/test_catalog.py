"""The published weights: facts that were read once and must not drift."""

from __future__ import annotations

import re

import pytest

from resnet_serve import catalog
from resnet_serve.architectures import ARCHITECTURES, find
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
    # four bytes a parameter, and BatchNorm statistics and names on top
    assert 1 < row.size_mib * 2**20 / (4 * find(row.architecture).parameters) < 1.01
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


def test_torchvision_s_first_five_have_weights_and_no_other() -> None:
    for name in ARCHITECTURES:
        if name in {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}:
            assert catalog.published(name).architecture == name
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
