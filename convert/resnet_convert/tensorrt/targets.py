"""Targets: the compute capabilities that a plan is built for, without a GPU of that kind.

TensorRT itself builds for the GPU of its host. TensorRT-RTX builds one plan for any of its
capabilities; what a kernel still lacks is compiled when the plan is loaded.
Reference: TensorRT-RTX Python API, IBuilderConfig.set_compute_capability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from resnet_serve.cuda import Gpu
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.runtimes.tensorrt_flavours import Flavour

if TYPE_CHECKING:
    import tensorrt as trt
    import tensorrt_rtx_bindings as rtx


class _Library(Protocol):
    """What only a flavour with targets has."""

    ComputeCapability: type[rtx.ComputeCapability]


def checked(
    built_for: Gpu | tuple[str, ...], flavour: Flavour
) -> tuple[Gpu | None, tuple[str, ...]]:
    """The GPU, or the compute capabilities in ascending order, each once.

    Raises `UsageError` for capabilities that the flavour does not build for, and for a GPU where
    it builds for capabilities, or the other way round.
    """
    if isinstance(built_for, Gpu):
        if flavour.targets:
            raise UsageError(f"{flavour.title} builds for compute capabilities, not for one GPU")
        return built_for, ()
    if not flavour.targets:
        raise UsageError(f"{flavour.title} builds for the GPU of this host alone")
    unknown = [capability for capability in built_for if capability not in flavour.targets]
    if unknown or not built_for:
        raise UsageError(
            f"{flavour.title} builds no plan for compute capability {', '.join(unknown) or 'none'}",
            remedy=f"It has {', '.join(flavour.targets)}.",
        )
    return None, tuple(each for each in flavour.targets if each in built_for)


def choose(flavour: Flavour, config: trt.IBuilderConfig, capabilities: tuple[str, ...]) -> None:
    """Build for these capabilities; nothing to do where there are none.

    Raises `ConversionError` where the builder refuses one.
    """
    if capabilities:
        rtx = cast("_Library", flavour.library())
        _choose(rtx, flavour, cast("Any", config), capabilities)


def _choose(
    rtx: _Library, flavour: Flavour, config: rtx.IBuilderConfig, capabilities: tuple[str, ...]
) -> None:
    known = {
        "7.5": rtx.ComputeCapability.SM75,
        "8.0": rtx.ComputeCapability.SM80,
        "8.6": rtx.ComputeCapability.SM86,
        "8.9": rtx.ComputeCapability.SM89,
        "12.0": rtx.ComputeCapability.SM120,
        "12.1": rtx.ComputeCapability.SM121,
    }
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        if not config.set_compute_capability(known[capability], index):
            raise ConversionError(
                f"{flavour.title} refuses compute capability {capability}",
                where=f"{flavour.name}: build",
            )
