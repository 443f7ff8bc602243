"""How Triton runs a classifier on GPUs: batch profiles, instances, and what runs it.

Either a plan is deployed (`platform: "tensorrt_plan"`), or an ONNX file: ONNX Runtime's TensorRT
provider builds the engine while the server loads it (`--accelerator tensorrt`), or its CUDA
provider runs the graph without one (`--accelerator cuda`).
Reference: onnxruntime_backend, README.md "Parameter mapping" and src/onnxruntime.cc; onnxruntime,
tensorrt_execution_provider (profile shapes, engine cache).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from resnet_serve.errors import UsageError
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider
from resnet_serve.runtimes.profiles import Profile, covering
from resnet_serve.triton import cuda_options
from resnet_serve.triton.releases import CURRENT, Release

# One level below a directory that exists everywhere: ONNX Runtime makes the last one, no parents.
ENGINE_CACHE = "/var/cache/resnet-serve"
_PRECISION_MODES = {"fp32": "FP32", "fp16": "FP16", "int8": "INT8"}


@dataclass(frozen=True)
class Accelerator:
    """ONNX Runtime's TensorRT provider, which builds the engine when the server loads the model.

    `workspace_mib` None is the provider's own limit. `model_sha256` names the cached engine: the
    provider's own name is a hash of the graph's names, not of its weights, and would serve a
    retrained network with the old engine.
    """

    name: ClassVar[str] = "tensorrt"
    merges_requests: ClassVar[bool] = True

    precision: str
    model_sha256: str
    workspace_mib: int | None = None
    level: int = 3
    release: Release = CURRENT

    def __post_init__(self) -> None:
        if self.precision not in _PRECISION_MODES:
            raise UsageError(
                f"the TensorRT accelerator has no {self.precision}",
                remedy=f"Use {', '.join(_PRECISION_MODES)}, or --target tensorrt.",
            )
        if not 0 <= self.level <= 5:
            raise UsageError(f"the builder's optimization level is 0 to 5, not {self.level}")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(
                f"a workspace of {self.workspace_mib} MiB is too small", remedy="Use 1 MiB or more."
            )

    def parameters(
        self, profiles: Sequence[Profile], tensor: str, dims: Sequence[int]
    ) -> dict[str, str]:
        """The provider's options, with their names in Triton's ONNX Runtime backend.

        `tensor` is the network's input, `dims` its shape without the batch. Several profiles are
        one list in which the input is repeated. The backend refuses unknown names.
        """
        found = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": ENGINE_CACHE,
            "trt_engine_cache_prefix": self.model_sha256[:16],
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": ENGINE_CACHE,
            "trt_builder_optimization_level": str(self.level),
        }
        for bound, batches in (
            ("min", [profile.minimum for profile in profiles]),
            ("opt", [profile.optimum for profile in profiles]),
            ("max", [profile.maximum for profile in profiles]),
        ):
            found[f"trt_profile_{bound}_shapes"] = ",".join(
                f"{tensor}:{'x'.join(map(str, (batch, *dims)))}" for batch in batches
            )
        if self.workspace_mib is not None:
            found["max_workspace_size_bytes"] = str(self.workspace_mib * 2**20)
        # TensorRT 11 has no precision flags: the types in the graph decide. For TensorRT 10 the
        # backend has one mode, so that with INT8 the other layers cannot be FP16.
        if self.release.tensorrt_major < 11:
            found["precision_mode"] = _PRECISION_MODES[self.precision]
        return found

    @property
    def model_parameters(self) -> dict[str, str]:
        """What the backend reads from the model's own parameters: nothing."""
        return {}


@dataclass(frozen=True)
class CudaAccelerator:
    """ONNX Runtime's CUDA provider, which runs the ONNX file node by node, without an engine.

    It keeps cuDNN's plans for one batch size, and makes all of them again for a run of another one,
    also of one seen before: 0.26 s for a ResNet-50 on an H200, where a run takes 3 ms. So requests
    are not merged into batches whose sizes change.
    """

    name: ClassVar[str] = cuda_options.ACCELERATOR
    merges_requests: ClassVar[bool] = False

    provider: CudaProvider = field(default_factory=CudaProvider)

    def parameters(
        self,
        profiles: Sequence[Profile],  # noqa: ARG002 - the same verb as of every accelerator
        tensor: str,  # noqa: ARG002
        dims: Sequence[int],  # noqa: ARG002
    ) -> dict[str, str]:
        """The provider's options of the accelerator; it takes every batch without a profile."""
        return cuda_options.accelerator_parameters(self.provider.options)

    @property
    def model_parameters(self) -> dict[str, str]:
        """The options that the backend reads from the model's own parameters."""
        return cuda_options.parameters(self.provider.options)


@dataclass(frozen=True)
class GpuServing:
    """How the model is run on each GPU: batch profiles, instances, and what runs it.

    With an `accelerator` the model is an ONNX file, else a plan. Raises `UsageError` for profiles
    with a gap, or no instance.
    """

    profiles: tuple[Profile, ...]
    instances: int = 1
    accelerator: Accelerator | CudaAccelerator | None = None

    def __post_init__(self) -> None:
        covering(self.profiles)
        if self.instances < 1:
            raise UsageError(
                f"{self.instances} instances cannot serve", remedy="Use --instances 1 or more."
            )

    @property
    def max_batch_size(self) -> int:
        """The largest batch of the profiles."""
        return covering(self.profiles)

    @property
    def tuned_batches(self) -> tuple[int, ...]:
        """Every minimum, optimum and maximum, ascending."""
        batches = {
            batch
            for profile in self.profiles
            for batch in (profile.minimum, profile.optimum, profile.maximum)
        }
        return tuple(sorted(batches))

    @property
    def merges_requests(self) -> bool:
        """Whether Triton is to form batches of several requests."""
        return self.accelerator is None or self.accelerator.merges_requests

    @property
    def warmed_batches(self) -> tuple[int, ...]:
        """The batch sizes that run before the model is ready, in order.

        The smallest is the last where the size of the run before matters, as for the CUDA provider.
        """
        return self.tuned_batches if self.merges_requests else self.tuned_batches[::-1]

    @property
    def graph_batches(self) -> tuple[int, ...]:
        """The batch sizes to capture CUDA graphs for: powers of two and the tuned ones.

        A graph runs one batch size and needs memory, so not every size gets one. With several
        profiles, Triton logs an error for each graph that is outside one and continues without it.
        """
        powers = {2**power for power in range(self.max_batch_size.bit_length())}
        return tuple(sorted(powers.union(self.tuned_batches)))
