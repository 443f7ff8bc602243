"""What can run the network on the GPU of a host, and why what is missing cannot."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_convert.autoselect.gpu import NO_GPU, Gpu
from resnet_serve.errors import HostError
from resnet_serve.runtimes import TARGETS, onnxruntime_cuda

BUILD_HOST: Any = object()
MISSING = HostError("this host has no NVIDIA driver")


@pytest.mark.parametrize(
    ("gpu", "runtimes"),
    [
        (NO_GPU, []),
        (Gpu(BUILD_HOST, MISSING), [("tensorrt", None)]),
        (Gpu(None, None), [("onnxruntime", "cuda")]),
        (Gpu(BUILD_HOST, None), [("tensorrt", None), ("onnxruntime", "cuda")]),
    ],
)
def test_what_is_there_decides(gpu: Gpu, runtimes: list[tuple[str, str | None]]) -> None:
    assert [way.runtime for way in gpu.ways] == runtimes
    for way in gpu.ways:
        assert set(way.compared) <= set(way.precisions) <= set(TARGETS["tensorrt"].precisions)
        assert [kind for kind in way.compared if way.lacks(kind)] == []


@pytest.mark.parametrize("failed", ["no GPU", "no provider", "nvidia-smi"])
def test_without_a_gpu_or_the_provider_it_is_known_why(
    failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> bool:
        raise HostError("nvidia-smi failed: a library has another version")

    def without() -> None:
        raise HostError("this onnxruntime is a build without CUDA")

    here = refuse if failed == "nvidia-smi" else lambda: failed != "no GPU"
    monkeypatch.setattr(onnxruntime_cuda, "gpu_here", here)
    monkeypatch.setattr(onnxruntime_cuda, "check_installed", without)
    found = Gpu.found(None).cuda_missing
    assert found is not None
    said = {
        "no GPU": "this host has no GPU",
        "no provider": "without CUDA",
        "nvidia-smi": "nvidia-smi failed",
    }
    assert said[failed] in found.what
    assert Gpu.found(None).ways == ()


def test_a_gpu_with_the_provider_is_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "gpu_here", lambda: True)
    monkeypatch.setattr(onnxruntime_cuda, "check_installed", lambda: None)
    assert [way.title for way in Gpu.found(None).ways] == ["ONNX Runtime on CUDA"]
