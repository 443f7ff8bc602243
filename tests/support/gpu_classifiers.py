"""Classifiers for GPUs, one of each kind: a plan, a plan of several profiles, an accelerator."""

from __future__ import annotations

from typing import Any

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.triton import config, releases
from resnet_serve.triton.config import Serving
from resnet_serve.triton.gpu_serving import Accelerator, CudaAccelerator, GpuServing

DIGITS = Preprocessing(32, (32, 32), resize_mode="exact", mean=(0.5,) * 3, std=(0.25,) * 3)
IMAGENET = Preprocessing(crop=(224, 192))
SHA256 = "0123456789abcdef" * 4


def on_gpus(*profiles: tuple[int, int, int], **how: Any) -> GpuServing:
    return GpuServing(tuple(Profile(*bounds) for bounds in profiles), **how)


def gpu_classifiers() -> dict[str, Any]:
    return {
        "tensorrt-uint8": config.classifier(
            "resnet20",
            target=TARGETS["tensorrt"],
            input_kind="uint8",
            preprocessing=DIGITS,
            classes=10,
            serving=Serving(max_batch_size=6, instances=1, threads=1),
            gpu=on_gpus((1, 4, 6)),
        ),
        "tensorrt-float32-profiles": config.classifier(
            "resnet50",
            target=TARGETS["tensorrt"],
            input_kind="float32",
            preprocessing=IMAGENET,
            classes=1000,
            serving=Serving(max_batch_size=8, instances=2, threads=2),
            gpu=on_gpus((1, 1, 2), (3, 6, 8), instances=2),
        ),
        "accelerator-int8": config.classifier(
            "resnet20",
            target=TARGETS["onnxruntime"],
            input_kind="uint8",
            preprocessing=DIGITS,
            classes=10,
            serving=Serving(max_batch_size=4, instances=1, threads=1),
            gpu=on_gpus(
                (1, 1, 1),
                (2, 4, 4),
                accelerator=Accelerator("int8", SHA256, 512, 4, releases.find("26.05")),
            ),
        ),
        "accelerator-cuda": config.classifier(
            "resnet20",
            target=TARGETS["onnxruntime"],
            input_kind="uint8",
            preprocessing=DIGITS,
            classes=10,
            serving=Serving(max_batch_size=8, instances=1, threads=1),
            gpu=on_gpus((1, 8, 8), accelerator=CudaAccelerator(CudaProvider(memory_mib=512))),
        ),
    }
