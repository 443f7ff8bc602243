"""Requests that cannot be carried out are refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_serve.errors import InputFileError, UsageError

INT8 = {"arch": "resnet20", "precision": "int8", "calibration": "digits"}
REFUSED: dict[str, dict[str, Any]] = {
    "no network is named": {},
    "name two networks": {"arch": "resnet20", "module": "m:f"},
    "unknown input 'rgb'": {"arch": "resnet20", "input": "rgb"},
    "unknown aim 'speed'": {"arch": "resnet20", "target": "auto", "optimize": "speed"},
    "unknown precision 'int4'": {"arch": "resnet20", "precision": "int4"},
    "unknown head 'neck'": {"arch": "resnet20", "head": "neck"},
    "has no classes, and a budget needs them": {**INT8, "head": "features", "budget_agreement": 9},
    "INT8 needs calibration images": {"arch": "resnet20", "precision": "int8"},
    "0 images are too few": {**INT8, "calibration_images": 0},
    "unknown calibration method": {**INT8, "calibration_method": "best"},
    "has no ranges to choose": {"arch": "resnet20", "calibration_method": "mse"},
    "--budget-agreement is 0 to 100": {**INT8, "budget_agreement": 101.0},
    "--budget-top1 needs images": {**INT8, "budget_top1": 1.0},
    "compares what a CPU can run": {
        "arch": "resnet20",
        "precision": "auto",
        "target": "tensorrt",
    },
    "is what --target auto optimizes": {
        "arch": "resnet20",
        "optimize": "throughput",
        "target": "onnxruntime",
    },
    "unknown accelerator": {"arch": "resnet20", "accelerator": "rocm"},
    "CUDA provider has no INT8 convolutions": {**INT8, "accelerator": "cuda"},
    "CUDA provider has no BF16 kernels for pooling": {
        "arch": "resnet20",
        "accelerator": "cuda",
        "precision": "bf16",
    },
    "CUDA provider has no FP8 convolutions": {
        **INT8,
        "accelerator": "cuda",
        "precision": "fp8",
        "target": "onnxruntime",
    },
    "--batch is for TensorRT engines": {
        "arch": "resnet20",
        "accelerator": "cuda",
        "batch": ("1:8:8",),
    },
    "takes no accelerator": {
        "arch": "resnet20",
        "accelerator": "tensorrt",
        "target": "openvino",
    },
    "--prepare-only leaves out the build": {"arch": "resnet20", "prepare_only": True},
    "--workspace is for TensorRT engines": {"arch": "resnet20", "workspace": 64},
    "both set the largest batch": {
        "arch": "resnet20",
        "target": "tensorrt",
        "batch": ("1:8:8",),
        "max_batch_size": 4,
    },
    "cannot request INT8 with the rest in FP16": {
        **INT8,
        "accelerator": "tensorrt",
        "triton": "24.10",
    },
}


@pytest.mark.parametrize(("message", "options"), REFUSED.items(), ids=list(REFUSED))
def test_it_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refusal:
        check(Request(**options))
    assert message in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        {"arch": "resnet20"},
        {"module": "m:f"},
        INT8,
        {**INT8, "target": "auto", "optimize": "throughput"},
        {**INT8, "target": "tensorrt", "batch": ("1:8:32",)},
        {"arch": "resnet20", "precision": "auto", "target": "auto"},
        {"arch": "resnet20", "head": "features"},
    ],
)
def test_it_is_accepted(options: dict[str, Any]) -> None:
    check(Request(**options))


def test_a_patch_of_the_configuration_is_read_first(tmp_path: Path) -> None:
    patch = tmp_path / "patch.pbtxt"
    request = Request(arch="resnet20", config_patch=str(patch), max_batch_size=4)
    for text, said in (
        (None, "cannot be read"),
        ("max_batch_size: 8", "Use --max-batch-size"),
        ("dynamic_batching { preferred_batch_size: 8 }", "proved with 1 to 4"),
        ("instance_group { gpus: 1 }", "runs on a CPU"),
    ):
        if text is not None:
            patch.write_text(text)
        with pytest.raises(InputFileError, match=said):
            check(request)
    patch.write_text("response_cache { enable: true }")
    check(request)
    read = request.read_patch(1)
    assert read is not None
    assert read.text.split() == ["response_cache", "{", "enable:", "true", "}"]
