"""Flavours of TensorRT: TensorRT itself and TensorRT-RTX, one row each.

Both have the same Python API, as far as this project uses it (`Library`). Where they differ is in
the rows: how the module is imported, what a plan is built for, and what a builder can be asked.
References: TensorRT and TensorRT-RTX Python API; the architecture page of TensorRT-RTX.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

from resnet_serve.errors import HostError
from resnet_serve.runtimes import tensorrt_rtx_library
from resnet_serve.runtimes.tensorrt_contexts import (
    CompilingContexts,
    Contexts,
    any_plan,
    validity,
)

if TYPE_CHECKING:
    import tensorrt as trt


class Library(Hashable, Protocol):
    """What this project uses of the Python module of either flavour."""

    __version__: str
    Builder: type[trt.Builder]
    BuilderFlag: type[trt.BuilderFlag]
    ExecutionContextAllocationStrategy: type[trt.ExecutionContextAllocationStrategy]
    HardwareCompatibilityLevel: type[trt.HardwareCompatibilityLevel]
    ILogger: type[trt.ILogger]
    IProgressMonitor: type[trt.IProgressMonitor]
    LayerInformationFormat: type[trt.LayerInformationFormat]
    MemoryPoolType: type[trt.MemoryPoolType]
    NetworkDefinitionCreationFlag: type[trt.NetworkDefinitionCreationFlag]
    OnnxParser: type[trt.OnnxParser]
    ProfilingVerbosity: type[trt.ProfilingVerbosity]
    Runtime: type[trt.Runtime]
    TensorIOMode: type[trt.TensorIOMode]

    def nptype(self, trt_type: trt.DataType) -> Any:
        """NumPy's type of a type of the library; TypeError where NumPy has none."""


class LayerSource(Enum):
    """Where the list of the layers of a plan comes from."""

    ENGINE = "the inspector of the loaded engine"
    BUILD_LOG = "the log of the build"


@dataclass(frozen=True)
class Flavour:
    """One flavour.

    `name` is its target, `title` its name in texts, `module` its Python module, which `load`
    imports. `targets` are the compute capabilities that it builds plans for, without a GPU; where
    there are none, a plan is built on a GPU, for that GPU. The next four say whether the builder
    has a timing cache, levels of optimization and of hardware compatibility, and plans for more
    than one version. `layers` is where the layers of a plan are listed. At run time, `refusal` says
    why a plan cannot be loaded ("" where it can, or nothing is known), and `contexts` makes its
    execution contexts. `rebuild` is how to get a plan that can be
    loaded instead.
    """

    name: str
    title: str
    module: str
    load: Callable[[], ModuleType] = field(repr=False)
    targets: tuple[str, ...]
    timing_cache: bool
    optimization_levels: bool
    hardware_levels: bool
    version_compatible: bool
    layers: LayerSource
    refusal: Callable[[Any, trt.Runtime, bytes, str], str] = field(repr=False)
    contexts: type[Contexts] = field(repr=False)
    rebuild: str

    def library(self) -> Library:
        """Its Python module, imported with the libraries that it needs at the first use.

        Raises `HostError` saying what is missing here, and how to get it.
        """
        return cast("Library", sys.modules.get(self.module) or self.load())

    def version(self) -> str:
        """Its own version, four numbers; a plan belongs to exactly one. Errors as for `library`."""
        return str(self.library().__version__)


def _load_tensorrt() -> ModuleType:
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise HostError(
            f"this needs tensorrt, which is not installed here ({error})",
            remedy="pip install 'resnet-serve[tensorrt]'",
        ) from error


TENSORRT = Flavour(
    "tensorrt",
    title="TensorRT",
    module="tensorrt",
    load=_load_tensorrt,
    targets=(),
    timing_cache=True,
    optimization_levels=True,
    hardware_levels=True,
    version_compatible=True,
    layers=LayerSource.ENGINE,
    refusal=any_plan,
    contexts=Contexts,
    rebuild="It was built by another TensorRT or for another GPU, or it is damaged: "
    "build it here with `resnet-convert build-plan`.",
)
TENSORRT_RTX = Flavour(
    "tensorrt-rtx",
    title="TensorRT-RTX",
    module=tensorrt_rtx_library.MODULE,
    load=tensorrt_rtx_library.load,
    # ComputeCapability of the bindings 1.7.1; no data-centre GPU after Ampere but those with 8.9.
    targets=("7.5", "8.0", "8.6", "8.9", "12.0", "12.1"),
    timing_cache=False,
    optimization_levels=False,
    hardware_levels=False,
    version_compatible=False,
    layers=LayerSource.BUILD_LOG,
    refusal=validity,
    contexts=CompilingContexts,
    rebuild="It was built by another TensorRT-RTX or for other GPUs, or it is damaged: build it "
    "with `resnet-convert build-plan`, and name this GPU in --for.",
)
FLAVOURS = {row.name: row for row in (TENSORRT, TENSORRT_RTX)}
