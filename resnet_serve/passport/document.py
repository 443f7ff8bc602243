"""The document itself: what every passport holds, and what only some do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from resnet_serve.errors import InputFileError
from resnet_serve.host import Host
from resnet_serve.passport.contents import (
    AverageFacts,
    CalibrationFacts,
    CheckpointFacts,
    ContractFacts,
    CropFacts,
    FoldFacts,
    MemberFacts,
    ModelFacts,
    OnnxFacts,
    StageFacts,
    TensorContractFacts,
    TraceFacts,
    WeightsFacts,
)
from resnet_serve.passport.engine import EngineFacts, EngineState
from resnet_serve.passport.facts import Facts, MalformedFactsError
from resnet_serve.passport.proof import (
    GateFacts,
    LatencyFacts,
    ParityFacts,
    SpeedFacts,
    TunedFacts,
    WaitingFacts,
)
from resnet_serve.passport.provider import CudaFacts
from resnet_serve.runtimes import TARGETS

FILE_NAME = "passport.json"
FORMAT = 1
_WRITTEN = ("format", "created", "versions")
_PACKAGES = (
    *("torch", "onnx", "onnx-ir"),
    *(name for row in TARGETS.values() for name in row.distributions),
    *("numpy", "pillow", "resnet-serve"),
)


def versions() -> dict[str, str]:
    """The installed versions of the packages that shape a conversion."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Passport(Facts):
    """What every version that is deployed has.

    `command` makes the version again. `host` is the machine that proved it. `classes` is None for
    a network that is no classifier, `engine` for one that no TensorRT engine runs. `notes` are
    ordinary facts, such as how the weights were read. `files` has the SHA-256 of what the version
    keeps, by model and file. Earlier passports have neither.
    """

    format: int = field(default_factory=lambda: FORMAT)
    created: datetime = field(default_factory=_now)
    versions: Mapping[str, str] = field(default_factory=versions)
    name: str
    architecture: str
    parameters: int
    classes: int | None
    precision: str
    target: str
    command: str
    host: Host
    weights: WeightsFacts
    model: ModelFacts
    engine: EngineFacts | None
    contract: ContractFacts
    parity: ParityFacts
    latency: SpeedFacts
    gate: GateFacts
    warnings: tuple[str, ...]
    notes: tuple[str, ...] | None = None
    files: Mapping[str, Mapping[str, str]] | None = None

    @classmethod
    def kind_of(cls, data: Mapping[str, Any]) -> type[Facts]:
        """`ComposedPassport` for what has members, else `ConvertedPassport`."""
        if cls is not Passport:
            return cls
        return ComposedPassport if "members" in data else ConvertedPassport

    @property
    def trained(self) -> bool:
        """Whether all its weights are trained; random ones decide by chance."""
        return self.weights.trained

    @property
    def overridden(self) -> bool:
        """Whether it was deployed with --force although the gate did not pass."""
        return self.gate.overridden

    @property
    def engine_state(self) -> EngineState | None:
        """Where its TensorRT engine is; None without one."""
        return None if self.engine is None else self.engine.state

    def facts(self) -> dict[str, Any]:
        """The JSON without its format, its date and the installed versions."""
        return {key: value for key, value in self.to_json().items() if key not in _WRITTEN}

    def to_bytes(self) -> bytes:
        """The file."""
        text = json.dumps(self.to_json(), indent=2, sort_keys=True, allow_nan=False)
        return f"{text}\n".encode()


@dataclass(frozen=True, kw_only=True)
class ConvertedPassport(Passport):
    """One network, converted.

    `module` is the factory of a user's own network. `outputs` has the dimensions of each output,
    without the batch. `compiled_operators` counts what the runtime made of the graph. `cuda` is
    there where ONNX Runtime's CUDA provider is to run it, `tuned` where a run of `resnet-serve
    tune` chose how it is served, `waiting` where one instance has several cores of a CPU.
    `config_patch` is the text that a user had merged into the configuration.
    """

    module: str | None
    head: str
    outputs: Mapping[str, tuple[int, ...]]
    weights: CheckpointFacts
    model: OnnxFacts
    contract: TensorContractFacts
    latency: LatencyFacts
    calibration: CalibrationFacts | None
    trace: TraceFacts
    fold: FoldFacts
    autoselect: Mapping[str, Any] | None
    calibration_search: tuple[Mapping[str, Any], ...] | None
    mixed_precision: Mapping[str, Any] | None
    compiled_operators: Mapping[str, int]
    stages: tuple[StageFacts, ...]
    cuda: CudaFacts | None = None
    tuned: TunedFacts | None = None
    waiting: WaitingFacts | None = None
    config_patch: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComposedPassport(Passport):
    """Members whose probabilities are averaged by `rule`; `kind` is "ensemble" or "ten-crop"."""

    kind: str
    rule: str
    members: tuple[MemberFacts, ...]
    crops: CropFacts | None
    model: AverageFacts


def read(path: Path) -> Passport:
    """Read `passport.json`.

    Raises `InputFileError` for a file that is none, and for one of a later resnet-serve.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"not a passport ({error!r})", where=path) from error
    found = data.get("format") if isinstance(data, Mapping) else None
    if isinstance(found, int) and found > FORMAT:
        raise InputFileError(
            f"passport format {found} is newer than this resnet-serve reads ({FORMAT})",
            where=path,
            remedy="Update resnet-serve.",
        )
    try:
        if isinstance(data, Mapping) and found != FORMAT:
            raise MalformedFactsError(f"format is {found!r:.40}, not {FORMAT}")
        return Passport.from_json(data)
    except (MalformedFactsError, RecursionError) as error:
        raise InputFileError(
            f"not a passport: {error}", where=path, remedy="Convert the model again."
        ) from error
