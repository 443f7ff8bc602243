"""What can run the network on this host's GPU: engines of TensorRT, ONNX Runtime's CUDA provider.

    Gpu.found(build_host) ─► ways: (tensorrt, its precisions), (onnxruntime with cuda, its own)

Both enter a comparison where they can be used; where not, it is known why.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_convert.request.options.engines import CUDA
from resnet_convert.tensorrt.builder import BuildHost, TargetsHost
from resnet_serve.errors import HostError
from resnet_serve.runtimes import TARGETS, onnxruntime_cuda

CUDA_TITLE = "ONNX Runtime on CUDA"


@dataclass(frozen=True)
class Way:
    """A target on a GPU, with the accelerator that it needs, if any.

    `compared` are the precisions that a search compares, `precisions` all that it has.
    """

    target: str
    accelerator: str | None
    title: str
    precisions: tuple[str, ...]
    compared: tuple[str, ...]

    @property
    def runtime(self) -> tuple[str, str | None]:
        """The target and its accelerator, as `Entrant.runtime`."""
        return self.target, self.accelerator

    def lacks(self, precision: str) -> str | None:
        """Why it has not this precision; None where it has."""
        if precision in self.precisions:
            return None
        return f"{self.title} {onnxruntime_cuda.LACKING.get(precision, f'has no {precision}')}"


ENGINES = Way(
    "tensorrt",
    None,
    TARGETS["tensorrt"].title,
    TARGETS["tensorrt"].precisions,
    ("fp32", "fp16", "int8"),  # an engine takes minutes, and BF16 is as fast as FP16
)
PROVIDER = Way(
    "onnxruntime", CUDA, CUDA_TITLE, onnxruntime_cuda.PRECISIONS, onnxruntime_cuda.PRECISIONS
)


@dataclass(frozen=True)
class Gpu:
    """The GPU of this host: what builds engines on it, and why the CUDA provider cannot use it.

    Without either there are no `ways`.
    """

    build_host: BuildHost | None = None
    cuda_missing: HostError | None = None

    @classmethod
    def found(cls, build_host: BuildHost | TargetsHost | None) -> Gpu:
        """What is here; `build_host` is what was opened, if any: a `TargetsHost` has no GPU."""
        of_gpu = build_host if isinstance(build_host, BuildHost) else None
        return cls(of_gpu, onnxruntime_cuda.missing())

    @property
    def ways(self) -> tuple[Way, ...]:
        """In which the network can run on it."""
        engines = () if self.build_host is None else (ENGINES,)
        return engines if self.cuda_missing is not None else (*engines, PROVIDER)


NO_GPU = Gpu(None, HostError("this host has no GPU"))
