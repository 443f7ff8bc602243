"""What a passport keeps of a version's contents: weights, model, contract, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet_serve.activation import Activation
from resnet_serve.parity.numerics import Numerics
from resnet_serve.passport.engine import EngineState
from resnet_serve.passport.facts import Facts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights.assumptions import Assumption


@dataclass(frozen=True, kw_only=True)
class WeightsFacts(Facts):
    """Whether the weights are trained."""

    trained: bool


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts(WeightsFacts):
    """The checkpoint: what it is called, its SHA-256, what is known of its training.

    `trusted_pickle` says that code in it was run (`--trust-pickle`). `assumptions` are what no file
    says and the conversion took for granted.
    """

    source: str
    sha256: str
    trusted_pickle: bool
    training: Mapping[str, Any]
    assumptions: tuple[Assumption, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelFacts(Facts):
    """An ONNX file of the version."""

    file: str
    sha256: str
    opset: int
    ir_version: int


@dataclass(frozen=True, kw_only=True)
class OnnxFacts(ModelFacts):
    """The converted network."""

    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class AverageFacts(ModelFacts):
    """The average of a composed model; `name` is its own directory in the repository."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ContractFacts(Facts):
    """What a client has to keep to; `activation` is how it reads logits, None without them."""

    max_batch_size: int
    activation: Activation | None = None


@dataclass(frozen=True, kw_only=True)
class TensorContractFacts(ContractFacts):
    """The same for a tensor model: `input` is "uint8" (pixels) or "float32" (normalized planes)."""

    input: str
    preprocessing: Preprocessing
    instances: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class CalibrationFacts(Facts):
    """The images whose ranges INT8 or FP8 was scaled by, and the method."""

    images: int
    source: str
    list_sha256: str
    method: str


@dataclass(frozen=True, kw_only=True)
class TraceFacts(Facts):
    """The traced graph against the network, by batch size."""

    numerics: Mapping[int, Numerics]


@dataclass(frozen=True, kw_only=True)
class FoldFacts(TraceFacts):
    """How many of the batch normalizations were folded, which were kept, and the graph after it."""

    folded: int
    total: int
    kept: tuple[str, ...]
    max_weight_change: float


@dataclass(frozen=True, kw_only=True)
class StageFacts(Facts):
    """A stage of the conversion."""

    name: str
    seconds: float
    summary: str


@dataclass(frozen=True, kw_only=True)
class CropFacts(Facts):
    """The crops of a ten-crop model: the shorter sides in pixels, and how many of each."""

    scales: tuple[int, ...]
    per_scale: int


@dataclass(frozen=True, kw_only=True)
class MemberFacts(Facts):
    """A member of a composed model, at the version that it was proved with.

    `engine` is where its TensorRT engine was then, None without one; `emulated` says that the gate
    ran its graph in ONNX Runtime in the place of that engine.
    """

    name: str
    version: int
    sha256: str
    architecture: str
    precision: str
    target: str
    weights_sha256: str
    preprocessing: Preprocessing
    engine: EngineState | None = None
    emulated: bool = False
