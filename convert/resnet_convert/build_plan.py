"""Build-plan: on the GPU host, the plan of a model that was prepared anywhere.

    model.onnx + reference_outputs.npz ─► lint ─► engine ─► inspect ─► gate ─► model.plan, passport

Needs TensorRT and the GPU, neither PyTorch nor the data set: the reference outputs stand in for
both. The plan is written first and the passport last, each atomically, so that a passport that
says "built" stands beside a whole plan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert.conversion import MODEL_FILE
from resnet_convert.lint import rules, tensorrt
from resnet_convert.parity import measure, reference_outputs
from resnet_convert.parity.candidate import time_batches
from resnet_convert.parity.measure import Measurements
from resnet_convert.parity.parity_error import refusal
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.stage_log import Progress, StageLog, StageTime
from resnet_convert.tensorrt.builder import BuildHost, EngineRecord
from resnet_convert.tensorrt.engine import BuildOptions
from resnet_serve import durable, host, passport
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional
from resnet_serve.parity import numerics
from resnet_serve.parity.gate import Verdict
from resnet_serve.passport import Passport
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.runtimes.profiles import covering

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

    def to_json(self) -> dict[str, object]:
        return {"path": str(self.path), **_facts(self), "warnings": list(self.warnings)}


@dataclass(frozen=True)
class Prepared:
    """A version that `resnet-convert --target tensorrt` deployed."""

    directory: Path
    passport: Passport

    @classmethod
    def open(cls, directory: Path) -> Prepared:
        """A model's directory (its newest version) or a version's; checks the files' hashes."""
        version = _version(directory)
        found = passport.read(version / passport.FILE_NAME)
        if found.target != "tensorrt" or found.engine is None:
            raise UsageError(
                f"{version} was converted for {found.target}, which has no plan to build",
                remedy="Convert it with --target tensorrt.",
            )
        model = version / MODEL_FILE
        if not model.is_file():
            raise InputFileError("there is no such file", where=model, remedy="Convert it again.")
        if durable.sha256(model) != found.data["model"]["sha256"]:
            raise InputFileError(
                "is not the file its passport speaks of (its SHA-256 differs)",
                where=model,
                remedy="Copy the version again, or convert it again.",
            )
        prepared = cls(version, found)
        try:
            _ = (prepared.options, prepared.data["engine"]["triton"], prepared.data["contract"])
        except (LookupError, TypeError, AttributeError) as error:
            raise InputFileError(
                f"its engine lacks what a plan is built from ({error!r})",
                where=version / passport.FILE_NAME,
                remedy="Convert it again.",
            ) from error
        return prepared

    @property
    def options(self) -> BuildOptions:
        return BuildOptions.from_json(self.data["engine"])

    @property
    def data(self) -> Mapping[str, Any]:
        return self.passport.data


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
    proof = reference_outputs.read(prepared.directory / reference_outputs.FILE_NAME)
    with durable.explained(prepared.directory):
        tempfile.TemporaryFile(dir=prepared.directory).close()
    options = prepared.options
    options = replace(
        options,
        workspace_mib=options.workspace_mib if workspace_mib is None else workspace_mib,
        level=options.level if level is None else level,
    )
    image = triton or prepared.data["engine"]["triton"]
    log = StageLog(progress)
    with closing(BuildHost.open()) as build_host:
        warning = build_host.guard(options, prepared.passport.precision, image)
        log.warnings += [] if warning is None else [warning]
        made = _build(prepared, proof, options, image, build_host, log, timing_cache)
    if not made.verdict.passed and not force:
        raise refusal(
            "no plan was written",
            made.verdict,
            made.measurements,
            proof.name_of,
            where=made.path,
            remedy="Build with another --optimization-level, take a higher precision, or --force "
            "it.",
        )
    _write(made, prepared)
    return made


def _build(
    prepared: Prepared,
    proof: ReferenceOutputs,
    options: BuildOptions,
    image: str | None,
    build_host: BuildHost,
    log: StageLog,
    timing_cache: Path | None,
) -> PlanBuild:
    with log.stage("lint") as say:
        model = _read(prepared.directory / MODEL_FILE)
        rules.refuse(rules.check(model, tensorrt.RULES))
        say("keeps TensorRT's rules")
    contract = prepared.data["contract"]
    steps = Preprocessing.from_json(contract["preprocessing"])
    data = (prepared.directory / MODEL_FILE).read_bytes()
    with build_host.build(model, data, options, log, timing_cache=timing_cache) as (built, plan):
        with log.stage("parity") as say:
            found = measure.decisions(
                proof.pairs(),
                plan,
                proof,
                lambda pixels: measure.taken(contract["input"], pixels, steps),
                log.progress,
                runtime="tensorrt",
                compiled=built.inspection.kinds,
                largest_batch=covering(options.profiles),
            )
            verdict = found.verdict(prepared.passport.precision, trained=prepared.passport.trained)
            verdict = Verdict((built.inspection.check(), *verdict.checks))
            say(f"{'passed' if verdict.passed else 'NOT MET'}: {found.likeness}")
        with log.stage("latency") as say:
            optima = sorted({profile.optimum for profile in options.profiles})
            times = time_batches(plan, sorted({1, *optima}), contract["input"], steps)
            say(", ".join(f"{t.median_ms:.2f} ms at batch {size}" for size, t in times.items()))
    return PlanBuild(
        path=prepared.directory,
        precision=prepared.passport.precision,
        record=EngineRecord("built", options, image, built, times),
        measurements=found,
        verdict=verdict,
        warnings=tuple(log.warnings),
        stages=tuple(log.stages),
    )


def _version(directory: Path) -> Path:
    if (directory / passport.FILE_NAME).is_file():
        return directory
    if not directory.is_dir():
        raise InputFileError("there is no such directory", where=directory)
    numbers = [path for path in directory.iterdir() if path.name.isdecimal()]
    stamped = [path for path in numbers if (path / passport.FILE_NAME).is_file()]
    if not stamped:
        raise InputFileError(
            "is no model that resnet-convert deployed",
            where=directory,
            remedy="Give the model's directory in the repository, or one of its versions.",
        )
    return max(stamped, key=lambda path: int(path.name))


def _read(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except Exception as error:  # protobuf's and onnx_ir's own
        raise InputFileError(f"is no ONNX model ({error})", where=path) from error


def _facts(made: PlanBuild) -> dict[str, object]:
    found = made.measurements
    return {
        **made.record.to_json(),
        "parity": {
            "images": found.images,
            "images_sha256": found.images_sha256,
            "numerics": numerics.by_batch(found.numerics),
            "decisions": found.decisions and found.decisions.to_json(),
        },
        "gate": {**made.verdict.to_json(), "overridden": not made.verdict.passed},
        "host": host.describe().to_json(),
        "versions": passport.versions(),
    }


def _write(made: PlanBuild, prepared: Prepared) -> None:
    if made.record.built is None:
        raise TypeError("a plan that was not built cannot be written")
    durable.write(made.path / PLAN_FILE, made.record.built.engine.plan)
    data = {**prepared.data, "engine": _facts(made)}
    if not made.verdict.passed:
        data["gate"] = {**prepared.data["gate"], "overridden": True}
    durable.write(made.path / passport.FILE_NAME, Passport(data).to_json())
