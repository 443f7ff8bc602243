"""Published accuracies for the networks of the family, each with its source.

An accuracy belongs to trained weights, not to an architecture: the table shows what a network of
this shape has reached, who reports it, and under which test. None of them was measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from resnet_serve.architectures import catalog

TORCHVISION = "torchvision 0.28, {}"
TIMM = "timm results-imagenet.csv, {}"
HE_2015 = "arXiv:1512.03385, table {}"
HE_2016 = "arXiv:1603.05027, table {}"


@dataclass(frozen=True)
class Reported:
    """Top-1 and top-5 accuracy in percent, the test, and the publication."""

    top1: float
    top5: float | None
    test: str
    source: str


def _errors(top1: float, top5: float | None, test: str, source: str) -> Reported:
    """From errors in percent, which the papers give."""
    return Reported(
        round(100 - top1, 2), None if top5 is None else round(100 - top5, 2), test, source
    )


def _timm(name: str, tag: str, top1: float, top5: float) -> tuple[str, Reported]:
    return name, Reported(top1, top5, "1 crop", TIMM.format(f"{name}.{tag}"))


def _torchvision(name: str, version: str, top1: float, top5: float) -> tuple[str, Reported]:
    return name, Reported(top1, top5, "1 crop", TORCHVISION.format(version))


def _ten_crop(name: str, table: int, top1: float, top5: float | None) -> tuple[str, Reported]:
    return name, _errors(top1, top5, "10 crops", HE_2015.format(table))


def _cifar(name: str, error: float, source: str, test: str = "1 view") -> tuple[str, Reported]:
    return name, _errors(error, None, test, source)


def _kuangliu(name: str, top1: float) -> tuple[str, Reported]:
    return name, Reported(top1, None, "1 view", "README of kuangliu/pytorch-cifar")


REPORTED: Mapping[str, Reported] = MappingProxyType(
    dict(
        [
            *(
                _torchvision(row.architecture, row.version.upper(), row.top1, row.top5)
                for row in catalog.CATALOG.values()
                if row == catalog.published(row.architecture)
            ),
            _ten_crop("resnet50v1", 3, 22.85, 6.71),
            _ten_crop("resnet101v1", 3, 21.75, 6.05),
            _ten_crop("resnet152v1", 3, 21.43, 5.71),
            _ten_crop("resnet18-a", 2, 27.88, None),
            _ten_crop("resnet34-a", 3, 25.03, 7.76),
            _ten_crop("resnet34-c", 3, 24.19, 7.40),
            _ten_crop("plain18", 2, 27.94, None),
            _ten_crop("plain34", 3, 28.54, 10.02),
            _timm("resnet26", "bt_in1k", 75.298, 92.578),
            _timm("resnext50d_32x4d", "bt_in1k", 79.672, 94.878),
            _timm("resnext101_32x4d", "fb_swsl_ig1b_ft_in1k", 83.268, 96.760),
            _timm("resnext101_32x16d", "fb_wsl_ig1b_ft_in1k", 84.166, 97.192),
            _timm("resnet50c", "gluon_in1k", 78.016, 93.994),
            _timm("resnet101c", "gluon_in1k", 79.542, 94.588),
            _timm("resnet152c", "gluon_in1k", 79.904, 94.854),
            _timm("resnet18d", "ra2_in1k", 72.296, 90.682),
            _timm("resnet26d", "bt_in1k", 76.698, 93.156),
            _timm("resnet34d", "ra2_in1k", 77.108, 93.372),
            _timm("resnet50d", "ra2_in1k", 80.546, 95.160),
            _timm("resnet101d", "gluon_in1k", 80.466, 95.034),
            _timm("resnet152d", "gluon_in1k", 80.476, 95.194),
            (
                "resnet200d",
                Reported(83.250, 96.552, "1 crop of 256", TIMM.format("resnet200d.ra2_in1k")),
            ),
            _timm("resnetv2_18", "ra4_e3600_r224_in1k", 73.572, 91.356),
            _timm("resnetv2_34", "ra4_e3600_r224_in1k", 77.626, 93.518),
            _timm("resnetv2_50", "a1h_in1k", 80.410, 95.082),
            _timm("resnetv2_101", "a1h_in1k", 82.042, 95.866),
            _timm("resnetv2_18d", "ra4_e3600_r224_in1k", 74.422, 91.928),
            _timm("resnetv2_34d", "ra4_e3600_r224_in1k", 78.270, 93.950),
            (
                "preact_resnet200",
                _errors(21.66, 5.79, "1 crop", "README of szagoruyko/wide-residual-networks"),
            ),
            _cifar("resnet20", 8.75, HE_2015.format(6)),
            _cifar("resnet32", 7.51, HE_2015.format(6)),
            _cifar("resnet44", 7.17, HE_2015.format(6)),
            _cifar("resnet56", 6.97, HE_2015.format(6)),
            _cifar("resnet110", 6.43, HE_2015.format(6), "1 view, best of 5 runs"),
            _cifar("resnet1202", 7.93, HE_2015.format(6)),
            _kuangliu("resnet18-cifar", 93.02),
            _kuangliu("resnet50-cifar", 93.62),
            _kuangliu("resnet101-cifar", 93.75),
            _cifar("preact_resnet110", 6.37, HE_2016.format(3), "1 view, median of 5 runs"),
            _cifar("preact_resnet164", 5.46, HE_2016.format(3), "1 view, median of 5 runs"),
            _cifar("preact_resnet1001", 4.92, HE_2016.format(3), "1 view, median of 5 runs"),
        ]
    )
)
