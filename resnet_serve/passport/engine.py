"""What a passport keeps of a TensorRT engine: how it is to be built, and what was built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resnet_serve.cuda.device import Gpu
from resnet_serve.host import Host
from resnet_serve.passport.facts import Facts
from resnet_serve.passport.proof import GateFacts, ParityFacts, TimingFacts


class EngineState(StrEnum):
    """Where the engine of a version is: in its plan, still to be built, or left to the server.

    `NOT_RUN` is a plan that was built without a GPU: its layers were inspected, and its graph was
    proved in an emulation, but it has never run.
    """

    BUILT = "built"
    NOT_RUN = "built but never run"
    NOT_BUILT = "plan not built"
    BY_SERVER = "built by the server"


@dataclass(frozen=True, kw_only=True)
class EngineFacts(Facts):
    """The options of an engine.

    `profiles` are batches, written MIN:OPT:MAX. `triton` is the tag of the container that will
    load the plan, where one was named. `hardware_compatibility` is "same" (compute capability),
    "ampere+", or None for the very GPU that builds it. `targets` are the compute capabilities that
    it is for, where it is not for the GPU of the host that builds it.
    """

    state: EngineState
    triton: str | None
    profiles: tuple[str, ...]
    workspace_mib: int | None
    level: int
    hardware_compatibility: str | None
    version_compatible: bool
    targets: tuple[str, ...] | None = None

    @classmethod
    def kind_of(cls, data: Mapping[str, Any]) -> type[Facts]:
        """`BuiltEngineFacts` where there is a plan."""
        built = data.get("state") in (EngineState.BUILT, EngineState.NOT_RUN)
        return BuiltEngineFacts if built else cls


@dataclass(frozen=True, kw_only=True)
class BuiltEngineFacts(EngineFacts):
    """A plan: what built it, what is in it, and how fast it is by batch size.

    `tensorrt` is the version of what built it, TensorRT or TensorRT-RTX. `gpu` is the GPU that it
    ran on, None where it never ran.

    The last four are there when `resnet-convert build-plan` built it, or `resnet-serve verify
    --host` ran it, on another host than the one that converted the model.
    """

    tensorrt: str
    gpu: Gpu | None
    plan_sha256: str
    plan_bytes: int
    build_s: float
    timing_cache_sha256: str | None
    timing_cache_reused: bool
    inspection: Mapping[str, Any]
    latency: Mapping[int, TimingFacts]
    parity: ParityFacts | None = None
    gate: GateFacts | None = None
    host: Host | None = None
    versions: Mapping[str, str] | None = None
