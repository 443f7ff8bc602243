"""Parameter counts as torchvision, timm and the paper publish them."""

from __future__ import annotations

PARAMETERS = {  # torchvision 0.28, `num_params`
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
}
TIMM = {  # timm's results-imagenet.csv, `param_count`, millions
    "resnet50c": 25.58,
    "resnet101c": 44.57,
    "resnet152c": 60.21,
    "resnet18d": 11.71,
    "resnet26d": 16.01,
    "resnet34d": 21.82,
    "resnet50d": 25.58,
    "resnet101d": 44.57,
    "resnet152d": 60.21,
    "resnet200d": 64.69,
    "resnet26": 16.00,
    "resnext50d_32x4d": 25.05,
    "resnext101_32x4d": 44.18,
    "resnext101_32x16d": 194.03,
    "resnetv2_18": 11.69,
    "resnetv2_34": 21.80,
    "resnetv2_50": 25.55,
    "resnetv2_101": 44.54,
    "resnetv2_18d": 11.71,
    "resnetv2_34d": 21.82,
}
PAPER = {  # He et al. 2016, table 6, millions
    "resnet20": 0.27,
    "resnet32": 0.46,
    "resnet44": 0.66,
    "resnet56": 0.85,
    "resnet110": 1.7,
    "resnet1202": 19.4,
}
