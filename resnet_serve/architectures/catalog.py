"""Catalog: torchvision's published ImageNet weights, with their address, hash and preprocessing.

From torchvision 0.28 (`torchvision/models/resnet.py`, BSD-3-Clause): the URL contains the first
eight digits of the file's SHA-256, `_file_size` is its size in MiB, `transforms` its preprocessing,
`acc@1`/`acc@5` its accuracy on ImageNet-1K at one crop. The first wide ResNets are stored in half
precision, at half the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import Preprocessing

_BASE_URL = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Published:
    """One published checkpoint; `resize` is in pixels, `top1` and `top5` are in percent."""

    architecture: str
    version: str
    file_name: str
    size_mib: float
    resize: int
    top1: float
    top5: float
    base_url: str = _BASE_URL

    @property
    def url(self) -> str:
        """The address of the file."""
        return self.base_url + self.file_name

    @property
    def sha256_prefix(self) -> str:
        """The first eight digits of the file's SHA-256."""
        return self.file_name.removesuffix(".pth").rpartition("-")[2]

    def __str__(self) -> str:
        return f"{self.architecture} {self.version.upper()}"

    @property
    def record(self) -> Mapping[str, object]:
        """Its published accuracy and its address, as the training record of a passport."""
        return {"published_top1": self.top1, "published_top5": self.top5, "url": self.url}

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of these weights."""
        return Preprocessing(resize=self.resize)


def _wider(
    name: str, version: str, digits: str, size_mib: float, resize: int, top1: float, top5: float
) -> Published:
    return Published(name, version, f"{name}-{digits}.pth", size_mib, resize, top1, top5)


CATALOG: Mapping[tuple[str, str], Published] = MappingProxyType(
    {
        (row.architecture, row.version): row
        for row in (
            Published("resnet18", "v1", "resnet18-f37072fd.pth", 44.661, 256, 69.758, 89.078),
            Published("resnet34", "v1", "resnet34-b627a593.pth", 83.275, 256, 73.314, 91.420),
            Published("resnet50", "v1", "resnet50-0676ba61.pth", 97.781, 256, 76.130, 92.862),
            Published("resnet50", "v2", "resnet50-11ad3fa6.pth", 97.790, 232, 80.858, 95.434),
            Published("resnet101", "v1", "resnet101-63fe2227.pth", 170.511, 256, 77.374, 93.546),
            Published("resnet101", "v2", "resnet101-cd907fc2.pth", 170.530, 232, 81.886, 95.780),
            Published("resnet152", "v1", "resnet152-394f9c45.pth", 230.434, 256, 78.312, 94.046),
            Published("resnet152", "v2", "resnet152-f82ba261.pth", 230.474, 232, 82.284, 96.002),
            _wider("wide_resnet50_2", "v1", "95faca4d", 131.820, 256, 78.468, 94.086),
            _wider("wide_resnet50_2", "v2", "9ba9bcbe", 263.124, 232, 81.602, 95.758),
            _wider("wide_resnet101_2", "v1", "32ee1156", 242.896, 256, 78.848, 94.284),
            _wider("wide_resnet101_2", "v2", "d733dc28", 484.747, 232, 82.510, 96.020),
            _wider("resnext50_32x4d", "v1", "7cdf4587", 95.789, 256, 77.618, 93.698),
            _wider("resnext50_32x4d", "v2", "1a0047aa", 95.833, 232, 81.198, 95.340),
            _wider("resnext101_32x8d", "v1", "8ba56ff5", 339.586, 256, 79.312, 94.526),
            _wider("resnext101_32x8d", "v2", "110c445d", 339.673, 232, 82.834, 96.228),
            _wider("resnext101_64x4d", "v1", "173b62eb", 319.318, 232, 83.246, 96.454),
        )
    }
)


def published(architecture: str, version: str | None = None) -> Published:
    """The checkpoint of `version` ("v1", "v2"), or torchvision's newest one.

    Raises `UsageError` where there is none.
    """
    versions = [key[1] for key in CATALOG if key[0] == architecture]
    if not versions:
        raise UsageError(
            f"there are no published ImageNet weights for {architecture}",
            remedy="Give --weights a file, 'digits' (resnet20) or 'random'.",
        )
    wanted = version or max(versions)
    if wanted not in versions:
        raise UsageError(
            f"there are no ImageNet weights {wanted!r} for {architecture}",
            remedy=f"Use {', '.join(f'imagenet:{v}' for v in versions)}.",
        )
    return CATALOG[architecture, wanted]


def recognised(sha256: str) -> Published | None:
    """The published checkpoint with this SHA-256, under any file name, or None."""
    return next((row for row in CATALOG.values() if sha256.startswith(row.sha256_prefix)), None)
