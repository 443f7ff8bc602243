"""An engine that was built without a GPU, run on the GPU of this machine for the first time.

    model.rtx ─► validity ─► loaded ─► reference_outputs.npz ─► the gate ─► "proved on NVIDIA L4"

Part of `verify --host`. The outputs are compared with PyTorch's, recorded when the model was
converted, within the budget of its precision; what was found goes into the passport. Nothing here
may say that an engine runs which did not.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import TypeAlias

from resnet_serve import durable, host, passport, precisions
from resnet_serve.comparison import distances, recorded
from resnet_serve.comparison.recorded import Compared
from resnet_serve.cuda import Gpu, open_device
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import (
    BuiltEngineFacts,
    ConvertedPassport,
    EngineState,
    GateFacts,
    ParityFacts,
)
from resnet_serve.runtimes import TARGETS, tensorrt
from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import files

Row: TypeAlias = tuple[str, files.Verdict, str, str]
_SUBJECT = "engine"
_AGAIN = "put right what differs, and run this again: it runs the engine"


def row(deployed: Deployed, engine: BuiltEngineFacts, before: Iterable[Row]) -> Row:
    """What came of running the engine of a version here; it is not run where it would not fit.

    `before` are the checks of its library, its GPU and its file: it is run where they are ok.
    """
    stamped = deployed.passport
    if not isinstance(stamped, ConvertedPassport) or any(each[1] != "ok" for each in before):
        return _not_run(engine)
    try:
        gpu, found = _compared(deployed, stamped)
    except (HostError, InputFileError) as error:
        return _SUBJECT, "differs", f"it does not run here: {error.what}", _remedy(error)
    verdict = distances.judge(
        stamped.gate.budget or precisions.find(stamped.precision).budget,
        found.numerics,
        found.decisions,
        found.label_decisions,
        trained=stamped.trained,
        of=found.output_kind,
    )
    if not verdict.passed:
        missed = "; ".join(
            f"{check.name} {check.found}, allowed {check.allowed}"
            for check in verdict.checks
            if check.binding and not check.passed
        )
        detail = f"on {gpu.name} it is not close enough to PyTorch: {missed}"
        return _SUBJECT, "refused", detail, "serve another precision, or report this engine"
    said = f"proved on {gpu.name}: {found.summary} with PyTorch"
    return _SUBJECT, "ok", f"{said}; {_record(deployed, stamped, engine, gpu, found, verdict)}", ""


def _not_run(engine: BuiltEngineFacts) -> Row:
    if engine.state is EngineState.NOT_RUN or engine.gpu is None:
        said = "it was built but never run; its graph was proved in an emulation"
    else:
        said = f"it was proved on {engine.gpu.name}, and was not run now"
    return _SUBJECT, "unknown", said, _AGAIN


def _compared(deployed: Deployed, stamped: ConvertedPassport) -> tuple[Gpu, Compared]:
    """Load the engine on GPU 0, and compare it with the recorded outputs."""
    contract = stamped.contract
    expected = recorded.read(deployed.path / recorded.FILE_NAME, stamped.outputs)
    plan = deployed.path / TARGETS[stamped.target].model_file
    flavour = FLAVOURS[stamped.target]
    with (
        closing(open_device()) as device,
        tensorrt.load(plan, device=device, flavour=flavour) as model,
    ):
        found = recorded.compare(
            model,
            expected,
            input_kind=contract.input,
            preprocessing=contract.preprocessing,
            activation=contract.activation,
            largest=contract.max_batch_size,
            of=stamped.parity.of,
            runtime=flavour.name,
        )
        return device.describe(), found


def _record(
    deployed: Deployed,
    stamped: ConvertedPassport,
    engine: BuiltEngineFacts,
    gpu: Gpu,
    found: Compared,
    verdict: Verdict,
) -> str:
    """Write the proof into the passport; says what became of that."""
    proved = replace(
        engine,
        state=EngineState.BUILT,
        gpu=gpu,
        parity=ParityFacts.measured(found),
        gate=GateFacts.decided(verdict),
        host=host.describe(),
        versions=passport.versions(),
    )
    try:
        durable.write(
            deployed.path / passport.FILE_NAME, replace(stamped, engine=proved).to_bytes()
        )
    except HostError as error:
        return f"the passport does not say so ({error.what})"
    return "the passport says so"


def _remedy(error: HostError | InputFileError) -> str:
    remedy = (error.remedy or "see: resnet-serve doctor").removesuffix(".")
    return remedy[:1].lower() + remedy[1:]
