"""What a conversion made and found: one value, for the deployment, the report and the screen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_convert.calibrate import Calibration
from resnet_convert.fold import Fold
from resnet_convert.half import Half
from resnet_convert.journey import StageTime
from resnet_convert.layers import Layer
from resnet_convert.measure import Measurements
from resnet_convert.quantize import Quantization
from resnet_convert.request import Request
from resnet_convert.trace import Trace
from resnet_serve.datasets import Images
from resnet_serve.host import Host
from resnet_serve.parity.gate import Verdict
from resnet_serve.parity.numerics import Numerics
from resnet_serve.runtimes import Target
from resnet_serve.triton.config import Serving
from resnet_serve.weights import Weights


@dataclass(frozen=True)
class Conversion:
    """What a conversion made and found; `version` is None when nothing was deployed."""

    request: Request
    weights: Weights
    target: Target
    trace: Trace
    fold: Fold
    fold_numerics: dict[int, Numerics]
    calibration: Calibration | None
    quantization: Quantization | None
    half: Half | None
    measurements: Measurements
    layers: tuple[Layer, ...]
    verdict: Verdict
    serving: Serving
    stages: tuple[StageTime, ...]
    warnings: tuple[str, ...]
    model_bytes: int
    model_sha256: str
    host: Host
    calibration_set: Images | None
    validation_set: Images
    version: int | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        return self.request.model_name

    @property
    def overridden(self) -> bool:
        return not self.verdict.passed

    @property
    def worst_layer(self) -> Layer | None:
        return min(self.layers, key=lambda layer: layer.sqnr_db, default=None)
