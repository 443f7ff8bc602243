"""Execution: what runs a member while the gate compares a composition with PyTorch.

    onnxruntime, openvino        the file itself, on this CPU
    tensorrt, on its own GPU     the plan itself
    tensorrt, elsewhere          the typed graph in ONNX Runtime, rounding where its types say
    onnxruntime on a GPU         the same: --accelerator cuda or tensorrt

An emulation proves the graph of a member, not what serves it: `emulated` says why, for the warnings
and the passport of the composed model. `build-plan` proves a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert.ensembles.members import Member
from resnet_convert.graph.emulate import emulated
from resnet_convert.parity.candidate import EMULATION
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.optional import optional
from resnet_serve.passport import BuiltEngineFacts, EngineState
from resnet_serve.runtimes import TARGETS, RunnableModel, open_on_cpu
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import tensorrt as tensorrt_runtime
from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS
from resnet_serve.triton.repository.versions import MODEL_FILE

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Execution:
    """A member that is open; `runtime` names what runs it.

    `emulated` is why what serves it does not run here, None where nothing is emulated.
    """

    model: RunnableModel
    runtime: str
    emulated: str | None = None


def execute(member: Member, threads: int) -> Execution:
    """Open what stands for a member here; the caller closes its model.

    Raises `InputFileError` for a file that cannot be loaded.
    """
    passport, file = member.passport, member.path / MODEL_FILE
    engine = passport.engine
    if passport.cuda is not None:
        reason = "ONNX Runtime's CUDA provider serves it"
    elif engine is None:
        model = open_on_cpu(passport.target, passport.precision, file.read_bytes(), threads)
        return Execution(model, passport.target)
    elif isinstance(engine, BuiltEngineFacts):
        try:
            plan = tensorrt_runtime.load(
                member.path / TARGETS[passport.target].model_file,
                version_compatible=engine.version_compatible,
                flavour=FLAVOURS[passport.target],
            )
            return Execution(plan, passport.target)
        except (HostError, InputFileError) as error:
            reason = error.what
    elif engine.state is EngineState.BY_SERVER:
        reason = "the server builds its engine"
    else:
        reason = "its plan is not built yet"
    loaded = onnxruntime_runtime.load(emulated(ir.load(file)), threads=threads)
    return Execution(loaded, EMULATION, reason)
