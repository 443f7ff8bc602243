"""What `--for` builds for, and what is refused before anything is built."""

from __future__ import annotations

import pytest

from resnet_convert.tensorrt.rtx_targets import DEFAULT, chosen
from resnet_serve.errors import UsageError
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX


@pytest.mark.parametrize(
    ("gpus", "precision", "found"),
    [
        (None, "fp16", DEFAULT),
        (None, "int8", DEFAULT),
        (None, "fp8", ("8.9", "12.0")),
        ("rtx-4090,l4,8.6", "fp16", ("8.6", "8.9")),
        ("RTX 5090, NVIDIA A100-SXM4-80GB", "int8", ("8.0", "12.0")),
        ("gb10,l4", "fp8", ("8.9", "12.1")),
        ("t4", "fp16", ("7.5",)),
        ("t4,rtx-3090", "fp16", ("7.5", "8.6")),
        ("l4,", "bf16", ("8.9",)),
    ],
)
def test_what_it_is_built_for(gpus: str | None, precision: str, found: tuple[str, ...]) -> None:
    assert chosen(gpus, precision) == found


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "gpu", ["h100", "H200", "gh200", "9.0", "b200", "b300", "10.3", "v100", "jetson agx orin"]
)
def test_other_gpus_are_for_the_other_target(gpu: str, precision: str) -> None:
    with pytest.raises(UsageError, match=r"not supported by TensorRT-RTX.*--target tensorrt"):
        chosen(f"l4,{gpu}", precision)


@pytest.mark.parametrize(
    ("gpus", "precision", "says"),
    [
        ("t4", "fp32", r"t4 \(7\.5\) has no FP32 with TensorRT-RTX, only FP16"),
        ("7.5", "bf16", r"7\.5 has no BF16"),
        ("rtx-2080", "fp8", r"rtx-2080 \(7\.5\) has no FP8"),
        ("t4", "int8", "computes INT8 networks in FP16"),
        ("l4,t4", "int8", "these would lose INT8 too"),
        ("l4,rtx-3090", "fp8", r"rtx-3090 \(8\.6\) has no FP8, which needs .* 8\.9"),
        ("a100", "fp8", r"a100 \(8\.0\) has no FP8"),
    ],
)
def test_a_precision_that_a_gpu_lacks_is_refused_with_the_reason(
    gpus: str, precision: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        chosen(gpus, precision)
    assert "--precision fp16" in str(caught.value.remedy)
    assert chosen(gpus, "fp16")


@pytest.mark.parametrize("gpus", ["", " ", ",", " , "])
def test_no_gpu_is_named(gpus: str) -> None:
    with pytest.raises(UsageError, match=r"names no GPU.*rtx-4090,l4"):
        chosen(gpus, "fp16")


def test_the_default_is_among_what_can_be_built() -> None:
    assert set(DEFAULT) < set(TENSORRT_RTX.targets)
