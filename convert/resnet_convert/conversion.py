"""What a conversion made and found: one value, for the deployment, the report and the screen."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from resnet_convert.autoselect.entrants import Autoselection
from resnet_convert.folded import Folded
from resnet_convert.parity.compare import Measurements
from resnet_convert.precision import Precise
from resnet_convert.proof import Proof
from resnet_convert.reference_check.stage import Checked
from resnet_convert.request import Request
from resnet_convert.stage_log import StageTime
from resnet_serve.activation import Activation
from resnet_serve.datasets import Images
from resnet_serve.errors import HostError, Note
from resnet_serve.host import Host
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import EngineState, ProviderState
from resnet_serve.runtimes import Target
from resnet_serve.triton.config import Serving
from resnet_serve.triton.config_patch import ConfigPatch
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import MODEL_FILE
from resnet_serve.weights import Weights


@dataclass(frozen=True)
class Conversion:
    """What the stages of a conversion returned; `version` is None when nothing was deployed.

    `notes` are ordinary facts, such as how the weights were read. `patch` is merged into the
    configuration, `examples` are kept with the version, `served_at` is the running server that
    changed to it. `autoselection` is None where nothing was to be chosen.
    Where a TensorRT plan was to be built and could not be on this host, `missing` says why.
    `reference_check` is PyTorch's own accuracy.
    """

    request: Request
    weights: Weights
    folded: Folded
    precise: Precise
    proof: Proof
    autoselection: Autoselection | None
    serving: Serving
    stages: tuple[StageTime, ...]
    warnings: tuple[str, ...]
    notes: tuple[Note, ...]
    host: Host
    calibration_set: Images | None
    validation_set: Images
    reference_check: Checked | None = None
    missing: HostError | None = None
    patch: ConfigPatch | None = None
    version: int | None = None
    path: Path | None = None
    examples: Examples | None = None
    served_at: str | None = None

    @property
    def name(self) -> str:
        """The name it is served under."""
        return self.request.model_name

    @property
    def target(self) -> Target:
        """The runtime that it was converted for."""
        return self.request.row

    @property
    def measurements(self) -> Measurements:
        """What comparing it with the reference found."""
        return self.proof.measurements

    @property
    def verdict(self) -> Verdict:
        """The gate's verdict."""
        return self.proof.verdict

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Name and dimensions of every output, without the batch."""
        found = {}
        for each in self.folded.trace.model.graph.outputs:
            sides = () if each.shape is None else each.shape.dims[1:]
            found[str(each.name)] = tuple(side for side in sides if isinstance(side, int))
        return found

    @property
    def features(self) -> dict[str, tuple[int, ...]] | None:
        """The outputs of a model that has no logits."""
        return None if self.request.classifies else self.outputs

    @property
    def activation(self) -> Activation | None:
        """How clients read the logits; None for a model that has none."""
        return self.weights.activation if self.request.classifies else None

    @property
    def engine_state(self) -> EngineState | None:
        """None without an engine."""
        return None if self.proof.engine is None else self.proof.engine.state

    @property
    def emulated_cuda(self) -> bool:
        """Whether the CUDA provider is to run it, and has not."""
        cuda = self.proof.cuda
        return cuda is not None and cuda.state is ProviderState.EMULATED

    @property
    def plan(self) -> bytes | None:
        """The TensorRT plan, where one was built."""
        engine = self.proof.engine
        return None if engine is None or engine.built is None else engine.built.engine.plan

    @property
    def served_file(self) -> tuple[str, int]:
        """Name and bytes of what the server loads; of the ONNX file while there is no plan."""
        if self.plan is not None:
            return self.target.model_file, len(self.plan)
        return MODEL_FILE, len(self.precise.data)

    @property
    def build_command(self) -> str:
        """What builds the plan, on a host with the GPU it is for."""
        return shlex.join(["resnet-convert", "build-plan", str(self.path)])

    @property
    def overridden(self) -> bool:
        """Whether it was deployed although the gate refused it."""
        return self.request.force and not self.verdict.passed

    @property
    def refused(self) -> bool:
        """Whether the gate refused it, so that nothing was deployed."""
        return not self.request.force and not self.verdict.passed
