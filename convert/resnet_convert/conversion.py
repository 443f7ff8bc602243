"""What a conversion made and found: one value, for the deployment, the report and the screen."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from resnet_convert.autoselect import Autoselection
from resnet_convert.graph.fold import Fold
from resnet_convert.graph.half import Half
from resnet_convert.graph.trace import Trace
from resnet_convert.parity.layers import Layer
from resnet_convert.parity.measure import Measurements
from resnet_convert.quantization.calibrate import Calibration
from resnet_convert.quantization.calibration_search import CalibrationSearch
from resnet_convert.quantization.mixed_precision import MixedPrecisionSearch
from resnet_convert.quantization.s8s8 import SymmetricQuantization
from resnet_convert.quantization.u8s8 import Quantization
from resnet_convert.request import Request
from resnet_convert.stage_log import StageTime
from resnet_convert.tensorrt.builder import EngineRecord, State
from resnet_serve.datasets import Images
from resnet_serve.errors import HostError
from resnet_serve.host import Host
from resnet_serve.parity.gate import Verdict
from resnet_serve.parity.numerics import Numerics
from resnet_serve.runtimes import Target
from resnet_serve.triton.config import Serving
from resnet_serve.weights import Weights

MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class Conversion:
    """What a conversion made and found; `version` is None when nothing was deployed.

    `model_…` are facts about the ONNX file. `engine` is None for CPU targets; where its plan could
    not be built on this host, `missing` says why. `peak_share` is how much of this CPU's integer
    peak an INT8 network reaches at batch 1.
    """

    request: Request
    weights: Weights
    target: Target
    trace: Trace
    fold: Fold
    fold_numerics: dict[int, Numerics]
    calibration: Calibration | None
    quantization: Quantization | SymmetricQuantization | None
    half: Half | None
    measurements: Measurements
    layers: tuple[Layer, ...]
    verdict: Verdict
    serving: Serving
    stages: tuple[StageTime, ...]
    warnings: tuple[str, ...]
    opset: int
    ir_version: int
    model_bytes: int
    model_sha256: str
    host: Host
    calibration_set: Images | None
    validation_set: Images
    engine: EngineRecord | None = None
    missing: HostError | None = None
    autoselection: Autoselection | None = None
    calibration_search: CalibrationSearch | None = None
    mixed_precision: MixedPrecisionSearch | None = None
    peak_share: float | None = None
    version: int | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        return self.request.model_name

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """What it answers: name and dimensions of every output, without the batch."""
        found = {}
        for each in self.trace.model.graph.outputs:
            sides = () if each.shape is None else each.shape.dims[1:]
            found[str(each.name)] = tuple(side for side in sides if isinstance(side, int))
        return found

    @property
    def features(self) -> dict[str, tuple[int, ...]] | None:
        """The outputs of a model that answers no logits."""
        return None if self.request.classifies else self.outputs

    @property
    def engine_state(self) -> State | None:
        """None without an engine."""
        return None if self.engine is None else self.engine.state

    @property
    def plan(self) -> bytes | None:
        """The TensorRT plan, where one was built."""
        built = None if self.engine is None else self.engine.built
        return None if built is None else built.engine.plan

    @property
    def served_file(self) -> tuple[str, int]:
        """Name and bytes of what the server loads; of the ONNX file while there is no plan."""
        if self.plan is not None:
            return self.target.model_file, len(self.plan)
        return MODEL_FILE, self.model_bytes

    @property
    def build_command(self) -> str:
        """What builds the plan, on a host with the GPU it is for."""
        return shlex.join(["resnet-convert", "build-plan", str(self.path)])

    @property
    def overridden(self) -> bool:
        return not self.verdict.passed

    @property
    def worst_layer(self) -> Layer | None:
        return min(self.layers, key=lambda layer: layer.sqnr_db, default=None)
