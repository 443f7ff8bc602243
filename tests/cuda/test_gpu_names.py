"""The compute capability of a GPU, by its name as people and drivers write it."""

from __future__ import annotations

import re

import pytest

from resnet_serve.cuda.gpu_names import GPUS, capability
from resnet_serve.errors import UsageError

SPELLINGS = {
    "8.9": (
        "rtx-4090 | RTX 4090 | rtx4090 | 4090 | GeForce RTX 4090 | NVIDIA GeForce RTX 4090 | "
        "NVIDIA GeForce RTX 4070 Ti SUPER | RTX 4070 Super | rtx4070super | 4070ti | rtx-4090d | "
        "NVIDIA GeForce RTX 4060 Laptop GPU | l4 | NVIDIA L4 | L40S | "
        "NVIDIA RTX 6000 Ada Generation | rtx-4000-ada | NVIDIA RTX 4000 SFF Ada Generation | "
        "8.9 | sm89 | SM_89 | sm_8.9 |  8.9 "
    ),
    "8.6": (
        "a10 | A10G | NVIDIA A10G | rtx_3080_ti | RTX 3050 Ti Laptop GPU | A6000 | RTX-A6000 | "
        "NVIDIA RTX A2000 12GB | 8.6 | sm_86"
    ),
    "8.0": "a100 | NVIDIA A100-SXM4-80GB | NVIDIA A100-PCIE-40GB | A30 | 8.0",
    "7.5": "t4 | Tesla T4 | RTX 2080 Ti | Quadro RTX 6000 | titan-rtx | sm75",
    "9.0": "h100 | H200 | NVIDIA H100 80GB HBM3 | NVIDIA H200 NVL | GH200 | NVIDIA H100 PCIe",
    "10.0": "b200 | NVIDIA B200 | GB200 NVL72 | sm_100 | 10.0",
    "10.3": "B300 | gb300",
    "12.0": (
        "rtx-5090 | RTX 5090 D | RTX PRO 6000 | NVIDIA RTX PRO 6000 Blackwell Workstation Edition "
        "| NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition | sm_120 | 12.0"
    ),
    "12.1": "GB10 | NVIDIA GB10 | dgx-spark",
    "8.7": "jetson agx orin | Jetson Orin Nano",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [(text, found) for found, texts in SPELLINGS.items() for text in re.split(r" *\| *", texts)],
)
def test_every_common_spelling_is_understood(text: str, found: str) -> None:
    assert capability(text) == found


def test_every_name_of_the_table_has_its_own_capability() -> None:
    for name, found in GPUS.items():
        assert capability(name) == found
        assert capability(f"NVIDIA {name.upper()}") == found
        assert capability(name.lower().replace(" ", "-")) == found


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("rtx 4000", ("Quadro RTX 4000", "RTX 4000 Ada", "RTX PRO 4000 Blackwell")),
        ("rtx-6000", ("Quadro RTX 6000", "RTX 6000 Ada", "RTX A6000")),
        ("rtx 4095", ("GeForce RTX 4090",)),
        ("l40x", ("L40",)),
        ("h101", ("H100",)),
    ],
)
def test_an_unknown_or_ambiguous_name_is_answered_with_those_like_it(
    text: str, alike: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        capability(text)
    assert text in caught.value.what
    assert set(alike) <= set(re.findall(r"[A-Z][^,.:]+", str(caught.value.remedy)))


@pytest.mark.parametrize("text", ["", "gpu", "radeon", "8", "86", "sm", "8.61", "-8.6", "８.６"])
def test_what_is_no_name_is_refused_with_the_command_that_tells(text: str) -> None:
    with pytest.raises(UsageError, match="nvidia-smi --query-gpu=name,compute_cap"):
        capability(text)
