"""Build-plan: the plan of a model that was prepared anywhere, or built with another version.

    model.onnx + reference_outputs.npz ─► lint ─► engine ─► inspect ─► gate ─► plan, passport

Needs neither PyTorch nor the data set: the reference outputs stand in for both. TensorRT needs its
GPU too; TensorRT-RTX does not, and the gate then judges the graph in an emulation. The plan is
written first and the passport last, each atomically, so that a passport that says "built" stands
beside a whole plan.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.build_plan.prepared import Prepared
from resnet_convert.lint import rules, tensorrt
from resnet_convert.parity import reference_outputs
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.latencies import time_engine
from resnet_convert.parity.opening import open_beside_plan, open_engine
from resnet_convert.parity.parity_error import Subject, gate_error
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.refusals.next_request import after_converting_again
from resnet_convert.stage_log import Progress, StageLog, StageName, StageTime
from resnet_convert.tensorrt import epcontext
from resnet_convert.tensorrt.builder import BuildHost, Built, EngineRecord, TargetsHost
from resnet_serve import durable, host, passport, precisions
from resnet_serve.comparison.recorded import FILE_NAME
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import (
    BuiltEngineFacts,
    EngineState,
    GateFacts,
    ParityFacts,
)
from resnet_serve.runtimes import TARGETS
from resnet_serve.runtimes.profiles import covering
from resnet_serve.triton.repository.versions import MODEL_FILE

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class PlanBuild:
    """A plan that was built, proved and written, and where."""

    path: Path
    precision: str
    record: EngineRecord
    measurements: Measurements
    verdict: Verdict
    warnings: tuple[str, ...]
    stages: tuple[StageTime, ...]
    subject: Subject

    def to_json(self) -> dict[str, object]:
        """What `--json` prints: the engine's facts, and the path of the version."""
        facts = self.facts().to_json()
        return {"path": str(self.path), **facts, "warnings": list(self.warnings)}

    def facts(self) -> BuiltEngineFacts:
        """What the passport keeps of the engine, with its own proof."""
        built = self.record.facts()
        if not isinstance(built, BuiltEngineFacts):
            raise TypeError("the plan was not built")
        return replace(
            built,
            parity=ParityFacts.measured(self.measurements),
            gate=GateFacts.decided(self.verdict),
            host=host.describe(),
            versions=passport.versions(),
        )


def build_plan(
    directory: Path,
    progress: Progress,
    *,
    workspace_mib: int | None = None,
    level: int | None = None,
    triton: str | None = None,
    timing_cache: Path | None = None,
    gpus: str | None = None,
    force: bool = False,
) -> PlanBuild:
    """Build, inspect, prove and write the plan of a prepared version.

    What is None stays as it was when the version was prepared; `gpus` is the value of `--for`.
    Raises `HostError` where there is no TensorRT, or no GPU for a plan that needs it here,
    `UsageError` for options that its builder does not have, and `ParityError` (nothing written)
    when the gate does not hold.
    """
    prepared = Prepared.open(directory).changed(
        workspace_mib=workspace_mib,
        level=level,
        triton=triton,
        timing_cache=timing_cache,
        gpus=gpus,
    )
    contract = prepared.passport.contract
    recorded = reference_outputs.read(
        prepared.directory / FILE_NAME,
        prepared.passport.outputs,
        contract.input,
        contract.preprocessing,
        contract.activation,
        prepared.passport.head,
    )
    with durable.explained(prepared.directory):
        tempfile.TemporaryFile(dir=prepared.directory).close()
    log = StageLog(progress)
    if prepared.targets:
        targets_host = TargetsHost.open(prepared.flavour, prepared.targets)
        made = _build(prepared, recorded, targets_host, log, timing_cache)
    else:
        with closing(BuildHost.open()) as build_host:
            log.warn(
                build_host.guard(prepared.options, prepared.passport.precision, prepared.triton)
            )
            made = _build(prepared, recorded, build_host, log, timing_cache)
    if not made.verdict.passed and not force:
        raise gate_error(
            "no plan was written",
            made.verdict,
            made.measurements,
            made.subject,
            where=made.path,
            next_command=after_converting_again(
                [prepared.passport.command],
                made.verdict,
                shlex.join(["resnet-convert", "build-plan", str(prepared.directory.parent)]),
            ),
            otherwise="Build with another --optimization-level, or --force it."
            if prepared.flavour.optimization_levels
            else "Convert it in fp16, or --force it.",
        )
    _write(made, prepared)
    return made


def _build(
    prepared: Prepared,
    recorded: ReferenceOutputs,
    build_host: BuildHost | TargetsHost,
    log: StageLog,
    timing_cache: Path | None,
) -> PlanBuild:
    options, stamped = prepared.options, prepared.passport
    with log.stage(StageName.LINT) as say:
        model = _read(prepared.directory / MODEL_FILE)
        rules.refuse(rules.check(model, tensorrt.RULES))
        say("keeps TensorRT's rules")
    with _open(prepared, model, build_host, log, timing_cache) as (candidate, built):
        with log.stage(StageName.PARITY) as say:
            found = compare(recorded, candidate, recorded, log.progress)
            budget = stamped.gate.budget or precisions.find(stamped.precision).budget
            verdict = found.verdict(budget, trained=stamped.trained)
            if candidate.check is not None:
                verdict = Verdict((candidate.check, *verdict.checks))
            say(f"{verdict.headline}: {found.summary}")
        times = {}
        if not candidate.emulated:
            with log.stage(StageName.LATENCY) as say:
                optima = {profile.optimum for profile in options.profiles}
                times = time_engine(
                    candidate.model,
                    sorted({1, *optima}),
                    recorded.input_kind,
                    recorded.preprocessing,
                )
                say(", ".join(f"{t.median_ms:.2f} ms at batch {size}" for size, t in times.items()))
        state = EngineState.NOT_RUN if candidate.emulated else EngineState.BUILT
    return PlanBuild(
        path=prepared.directory,
        precision=stamped.precision,
        record=EngineRecord(
            state, options, prepared.triton, built, prepared.targets, latencies=times
        ),
        measurements=found,
        verdict=verdict,
        warnings=tuple(log.warnings),
        stages=tuple(log.stages),
        subject=Subject(
            recorded,
            prepared.labels,
            stamped.contract.activation,
            stamped.trained,
            tuple(log.warnings),
        ),
    )


@contextmanager
def _open(
    prepared: Prepared,
    model: ir.Model,
    build_host: BuildHost | TargetsHost,
    log: StageLog,
    timing_cache: Path | None,
) -> Iterator[tuple[Candidate, Built]]:
    """The built engine, or where its GPU need not be here the graph in an emulation beside it."""
    data = (prepared.directory / MODEL_FILE).read_bytes()
    options = prepared.options
    largest = covering(options.profiles)
    if isinstance(build_host, TargetsHost):
        with open_beside_plan(
            build_host,
            model,
            data,
            options,
            log,
            threads=host.describe().cores,
            max_batch_size=largest,
        ) as found:
            yield found
        return
    with open_engine(
        build_host, model, data, options, log, max_batch_size=largest, timing_cache=timing_cache
    ) as found:
        yield found


def _read(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except Exception as error:  # protobuf's and onnx_ir's own
        raise InputFileError(f"is no ONNX model ({error})", where=path) from error


def _write(made: PlanBuild, prepared: Prepared) -> None:
    if made.record.built is None:
        raise TypeError("a plan that was not built cannot be written")
    engine = made.record.built.engine
    durable.write(made.path / TARGETS[prepared.passport.target].model_file, engine.plan)
    with_engine = made.path / epcontext.FILE_NAME
    if with_engine.is_file():  # it holds the plan before this one
        data = (made.path / MODEL_FILE).read_bytes()
        durable.write(with_engine, epcontext.wrap(engine, data, name=prepared.passport.name))
    stamped = replace(prepared.passport, engine=made.facts())
    if not made.verdict.passed:
        stamped = replace(stamped, gate=replace(stamped.gate, overridden=True))
    durable.write(made.path / passport.FILE_NAME, stamped.to_bytes())
