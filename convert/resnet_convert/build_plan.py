"""Build-plan: on the GPU host, the plan of a model that was prepared anywhere.

    model.onnx + reference_outputs.npz ─► lint ─► engine ─► inspect ─► gate ─► model.plan, passport

Needs TensorRT and the GPU, neither PyTorch nor the data set: the reference outputs stand in for
both. The plan is written first and the passport last, each atomically, so that a passport that
says "built" stands beside a whole plan.
"""

from __future__ import annotations

import shlex
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.lint import rules, tensorrt
from resnet_convert.parity import reference_outputs
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.latencies import time_engine
from resnet_convert.parity.opening import open_engine
from resnet_convert.parity.parity_error import Subject, gate_error
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.refusals.next_request import after_converting_again
from resnet_convert.stage_log import Progress, StageLog, StageName, StageTime
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.builder import BuildHost, EngineRecord
from resnet_serve import durable, host, passport, precisions
from resnet_serve.datasets.class_labels.files import read_lines
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import (
    BuiltEngineFacts,
    ConvertedPassport,
    EngineState,
    GateFacts,
    ParityFacts,
)
from resnet_serve.runtimes import TARGETS
from resnet_serve.runtimes.profiles import covering
from resnet_serve.triton.config import LABELS_FILE
from resnet_serve.triton.repository import versions
from resnet_serve.triton.repository.versions import MODEL_FILE

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

PLAN_FILE = TARGETS["tensorrt"].model_file


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


@dataclass(frozen=True)
class Prepared:
    """A version that `resnet-convert --target tensorrt` deployed."""

    directory: Path
    passport: ConvertedPassport
    options: BuildOptions
    triton: str | None

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, beside the version; their numbers where there is no file."""
        classes = self.passport.classes or 0
        file = self.directory.parent / LABELS_FILE
        names = read_lines(file) if file.is_file() else ()
        return names if len(names) == classes else tuple(map(str, range(classes)))

    @classmethod
    def open(cls, directory: Path) -> Prepared:
        """A model's directory (its newest version) or a version's; checks the files' hashes."""
        version = versions.find(directory)
        found = passport.read(version / passport.FILE_NAME)
        if (
            found.target != "tensorrt"
            or found.engine is None
            or not isinstance(found, ConvertedPassport)
        ):
            raise UsageError(
                f"{version} was converted for {found.target}, which build-plan does not build",
                remedy=(
                    "Convert it again without --prepare-only, with --for its GPUs: that builds it."
                    if found.target == "tensorrt-rtx"
                    else "Convert it with --target tensorrt."
                ),
            )
        model = version / MODEL_FILE
        if not model.is_file():
            raise InputFileError("there is no such file", where=model, remedy="Convert it again.")
        if durable.sha256(model) != found.model.sha256:
            raise InputFileError(
                "is not the file that its passport describes (its SHA-256 differs)",
                where=model,
                remedy="Copy the version again, or convert it again.",
            )
        options = BuildOptions.from_json(found.engine.to_json())
        return cls(version, found, options, found.engine.triton)


def build_plan(
    directory: Path,
    progress: Progress,
    *,
    workspace_mib: int | None = None,
    level: int | None = None,
    triton: str | None = None,
    timing_cache: Path | None = None,
    force: bool = False,
) -> PlanBuild:
    """Build, inspect, prove and write the plan of a prepared version.

    What is None stays as it was when the version was prepared. Raises `HostError` where there is
    no TensorRT or no GPU, `ParityError` (nothing written) when the gate does not hold.
    """
    prepared = Prepared.open(directory)
    contract = prepared.passport.contract
    recorded = reference_outputs.read(
        prepared.directory / reference_outputs.FILE_NAME,
        prepared.passport.outputs,
        contract.input,
        contract.preprocessing,
        contract.activation,
        prepared.passport.head,
    )
    with durable.explained(prepared.directory):
        tempfile.TemporaryFile(dir=prepared.directory).close()
    options = prepared.options
    options = replace(
        options,
        workspace_mib=options.workspace_mib if workspace_mib is None else workspace_mib,
        level=options.level if level is None else level,
    )
    image = triton or prepared.triton
    log = StageLog(progress)
    with closing(BuildHost.open()) as build_host:
        log.warn(build_host.guard(options, prepared.passport.precision, image))
        made = _build(prepared, recorded, options, image, build_host, log, timing_cache)
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
            otherwise="Build with another --optimization-level, or --force it.",
        )
    _write(made, prepared)
    return made


def _build(
    prepared: Prepared,
    recorded: ReferenceOutputs,
    options: BuildOptions,
    image: str | None,
    build_host: BuildHost,
    log: StageLog,
    timing_cache: Path | None,
) -> PlanBuild:
    with log.stage(StageName.LINT) as say:
        model = _read(prepared.directory / MODEL_FILE)
        rules.refuse(rules.check(model, tensorrt.RULES))
        say("keeps TensorRT's rules")
    stamped = prepared.passport
    data = (prepared.directory / MODEL_FILE).read_bytes()
    with open_engine(
        build_host,
        model,
        data,
        options,
        log,
        max_batch_size=covering(options.profiles),
        timing_cache=timing_cache,
    ) as (candidate, built):
        with log.stage(StageName.PARITY) as say:
            found = compare(recorded, candidate, recorded, log.progress)
            budget = stamped.gate.budget or precisions.find(stamped.precision).budget
            verdict = found.verdict(budget, trained=stamped.trained)
            if candidate.check is not None:
                verdict = Verdict((candidate.check, *verdict.checks))
            say(f"{verdict.headline}: {found.summary}")
        with log.stage(StageName.LATENCY) as say:
            optima = {profile.optimum for profile in options.profiles}
            times = time_engine(
                candidate.model, sorted({1, *optima}), recorded.input_kind, recorded.preprocessing
            )
            say(", ".join(f"{t.median_ms:.2f} ms at batch {size}" for size, t in times.items()))
    return PlanBuild(
        path=prepared.directory,
        precision=stamped.precision,
        record=EngineRecord(EngineState.BUILT, options, image, built, times),
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


def _read(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except Exception as error:  # protobuf's and onnx_ir's own
        raise InputFileError(f"is no ONNX model ({error})", where=path) from error


def _write(made: PlanBuild, prepared: Prepared) -> None:
    if made.record.built is None:
        raise TypeError("a plan that was not built cannot be written")
    durable.write(made.path / PLAN_FILE, made.record.built.engine.plan)
    stamped = replace(prepared.passport, engine=made.facts())
    if not made.verdict.passed:
        stamped = replace(stamped, gate=replace(stamped.gate, overridden=True))
    durable.write(made.path / passport.FILE_NAME, stamped.to_bytes())
