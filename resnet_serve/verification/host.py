"""`resnet-serve verify --host`: whether this machine can serve what the passports describe.

A plan belongs to the TensorRT, GPU and driver it was built with, an INT8 model for CPUs to the
instructions it was proved with; the passport has them all. Here they are compared with the serving
machine, after the hashes of the files, which needs neither a GPU nor TensorRT. Only an engine that
was built without its GPU is loaded, and run, where all the rest is ok: see `engine_run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from resnet_serve import composed, engine_targets
from resnet_serve import host as this_host
from resnet_serve.cuda import nvidia_smi
from resnet_serve.cuda.device import Gpu
from resnet_serve.errors import (
    HostError,
    InputFileError,
    UsageError,
)
from resnet_serve.host import Host
from resnet_serve.passport import BuiltEngineFacts, EngineState, Passport
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import releases
from resnet_serve.triton.repository import changes
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import engine_run, files
from resnet_serve.verification.report import HostCheck, Report

HostVerdict = files.Verdict

_PACKAGES = tuple(
    f"{name}{part}"
    for name in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
    for part in ("", "-bindings")
)
_BUILD_HERE = "build the plan on this machine: resnet-convert build-plan {path}"
_PROVE_HERE = "convert it again on a machine like this one, or serve fp32"
_DIAGNOSE = "see: resnet-serve doctor"


@dataclass(frozen=True)
class Machine:
    """The serving machine; `tensorrt` is each version by where it was found.

    `gpus` is None where they cannot be listed, for the reason `gpu_problem`.
    """

    host: Host
    gpus: tuple[Gpu, ...] | None = ()
    gpu_problem: str = ""
    tensorrt: Mapping[str, str] = field(default_factory=dict)


def describe(trt_version: str | None = None) -> Machine:
    """Describe this machine; `trt_version` is the TRT_VERSION of NVIDIA's images."""
    found = {}
    for package in _PACKAGES:
        try:
            found[f"the package {package}"] = _without_suffix(metadata.version(package))
            break
        except metadata.PackageNotFoundError:
            continue
    if trt_version:
        found["TRT_VERSION"] = _without_suffix(trt_version)
    try:
        gpus, problem = nvidia_smi.gpus(), ""
    except HostError as error:
        gpus, problem = None, str(error)
    return Machine(this_host.describe(), gpus, problem, found)


def chosen(found: Sequence[Deployed], name: str | None) -> list[Deployed]:
    """The versions to check: those of `name`, or all; `UsageError` when there are none."""
    if name is None and not found:
        raise UsageError("nothing is deployed there", remedy="resnet-convert deploys a model.")
    of_name = [deployed for deployed in found if name in (None, deployed.name)]
    if name is not None and not of_name:
        raise changes.unknown(found, name)
    return of_name


def verify(found: Sequence[Deployed], machine: Machine) -> Report:
    """Compare every version with this machine."""
    checks = []
    for deployed in found:
        for subject, verdict, detail, remedy in _checks(deployed, machine):
            advice = "" if verdict == "ok" else remedy.replace("{path}", str(deployed.path))
            checks.append(
                HostCheck(deployed.name, deployed.version, subject, verdict, detail, advice)
            )
    return Report(tuple(checks))


_Row = tuple[str, HostVerdict, str, str]


def _checks(deployed: Deployed, machine: Machine) -> Iterator[_Row]:
    model, engine = deployed.passport.model, deployed.passport.engine
    if composed.members(deployed.passport):
        for subject, path, sha256 in composed.files(deployed):
            yield _file(subject, path.parent, path.name, sha256)
        yield from _kept(deployed)
        yield from _unbuilt(deployed)
        return
    yield _file("model", deployed.path, model.file, model.sha256)
    yield from _kept(deployed)
    if engine is None:
        yield from _instructions(deployed.passport, machine.host)
    elif isinstance(engine, BuiltEngineFacts):
        row = TARGETS[deployed.passport.target]
        plan = _file("plan", deployed.path, row.model_file, engine.plan_sha256)
        yield plan
        if engine.targets is not None:
            fits = [*engine_targets.checks(engine, row, machine.gpus or (), _some_gpu(machine))]
            yield from fits
            yield engine_run.row(deployed, engine, [plan, *fits])
            return
        yield _tensorrt(engine, machine.tensorrt)
        yield from _gpu(engine, machine)
    elif engine.state is EngineState.NOT_BUILT:
        yield "plan", "differs", "the plan is not built yet", _BUILD_HERE
    else:
        yield _some_gpu(machine)


def _unbuilt(deployed: Deployed) -> Iterator[_Row]:
    """A composed model is served when the plans of its members are built."""
    try:
        for name, path in composed.unbuilt(deployed):
            remedy = _BUILD_HERE.format(path=path)
            yield f"plan of {name}", "differs", "the plan is not built yet", remedy
    except InputFileError as error:
        yield "members", "damaged", str(error), files.DEPLOY_AGAIN


def _file(subject: str, folder: Path, name: str, sha256: str) -> _Row:
    row = files.compare(folder / name, sha256, subject)
    return row.subject, row.verdict, row.found, row.remedy


def _kept(deployed: Deployed) -> Iterator[_Row]:
    for row in files.rows(deployed):
        yield row.subject, row.verdict, row.found, row.remedy


def _tensorrt(engine: BuiltEngineFacts, here: Mapping[str, str]) -> _Row:
    subject = "TensorRT"
    built, compatible = engine.tensorrt, engine.version_compatible
    detail = f"built with {built}{', version-compatible' if compatible else ''}"
    if not here:
        remedy = "run this where the plan is served: in the container, or with its Python"
        return subject, "unknown", f"{detail}; no TensorRT is found on this machine", remedy
    shown = " and ".join(f"{version} ({source})" for source, version in here.items())
    detail = f"{detail}; this machine has {shown}"
    try:
        fits = all(
            releases.loads(built, version, version_compatible=compatible)
            for version in here.values()
        )
    except UsageError as error:
        return subject, "unknown", f"{detail}: {error.what}", _BUILD_HERE
    if not fits:
        release = next((row for row in releases.RELEASES.values() if row.pypi == built), None)
        elsewhere = "" if release is None else f", or serve it in {release.image}"
        return subject, "differs", detail, f"{_BUILD_HERE}{elsewhere}"
    return subject, "ok", detail, ""


def _some_gpu(machine: Machine) -> _Row:
    if machine.gpus is None:
        return "GPU", "unknown", machine.gpu_problem, _DIAGNOSE
    if not machine.gpus:
        return "GPU", "differs", "it is served on a GPU, and this machine has none", _DIAGNOSE
    return "GPU", "ok", ", ".join(gpu.name for gpu in machine.gpus), ""


def _gpu(engine: BuiltEngineFacts, machine: Machine) -> Iterator[_Row]:
    there = _some_gpu(machine)
    built_on = engine.gpu
    if there[1] != "ok" or not machine.gpus or built_on is None:
        yield there
        return
    for gpu in machine.gpus:  # Triton puts an instance on each
        yield _same_gpu(built_on, engine.hardware_compatibility, gpu)
    driver, here = built_on.driver, machine.gpus[0].driver
    detail = f"built with {driver}; this machine has {here}"
    ours, theirs = releases.numbers(here), releases.numbers(driver)
    if ours is None or theirs is None:  # where the kernel hides it, the passport has CUDA's
        yield "driver", "unknown", detail, "compare them by hand"
    elif ours < theirs:
        yield "driver", "differs", detail, f"update the NVIDIA driver to {driver} or newer"
    else:
        yield "driver", "ok", detail, ""


def _same_gpu(built_on: Gpu, compatibility: str | None, gpu: Gpu) -> _Row:
    name, capability = built_on.name, built_on.compute_capability
    detail = (
        f"built on {name} ({capability}); this machine has {gpu.name} ({gpu.compute_capability})"
    )
    wanted, found = releases.numbers(capability), releases.numbers(gpu.compute_capability)
    if wanted is None or found is None:
        return "GPU", "unknown", detail, "compare them by hand"
    if compatibility == "ampere+":
        fits, detail = found >= (8, 0), f"{detail}, for Ampere and newer"
    elif compatibility == "same":
        fits, detail = found == wanted, f"{detail}, for the same compute capability"
    else:
        fits = (gpu.name, found) == (name, wanted)
    hint = "" if compatibility else ", or build it with --hardware-compat"
    return "GPU", "ok" if fits else "differs", detail, f"{_BUILD_HERE}{hint}"


def _instructions(passport: Passport, host: Host) -> Iterator[_Row]:
    """Without VNNI or AMX, u8×s8 products saturate: outputs that the gate has not measured."""
    target = TARGETS.get(passport.target)
    if passport.precision != "int8" or target is None or target.dialect != "u8s8":
        return
    before = passport.host.fast_int8
    with_vnni = {True: "with VNNI", False: "without VNNI"}
    detail = (
        f"proved {with_vnni[before]}; this machine has {host.processor}, "
        f"{with_vnni[host.fast_int8]}"
    )
    differs = before and not host.fast_int8
    yield "processor", "differs" if differs else "ok", detail, _PROVE_HERE


def _without_suffix(version: str) -> str:
    """TensorRT's own version of "10.14.1.48.post1" and "8.6.1.6+cuda12.0.1.011"."""
    return version.partition("+")[0].partition(".post")[0]
