"""`resnet-serve doctor`: what this host has, what each feature lacks, and how to get it.

Nothing is assumed: packages are imported (in processes of their own, as a broken one may crash),
programs are run, files are written. The doctor needs the base installation alone and never fails:
a check that cannot be done is a warning among the findings.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from resnet_serve import host as this_host
from resnet_serve.cuda import nvidia_smi
from resnet_serve.doctor import onnxruntime_builds, rtx_library
from resnet_serve.doctor.diagnosis import FEATURES, Diagnosis, Finding, Status, table
from resnet_serve.errors import HostError, ResnetServeError
from resnet_serve.host import Host
from resnet_serve.runtimes import TARGETS, tensorrt_rtx_library
from resnet_serve.user_cache import user_cache

__all__ = ["FEATURES", "PORTS", "Diagnosis", "Finding", "examine", "table"]

PORTS = (8000, 8001, 8002)

_IMPORT_TIMEOUT_S = 120
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory, not a temporary file
_LOW_SHARED_MEMORY = 128 * 2**20  # a container has 64 MiB by default
_LOW_DISK = 2 * 2**30


@dataclass(frozen=True)
class Package:
    """A Python package: its module, its name in pip, and the requirement that installs it.

    `needed_for` are the features that do not work without it; `purpose` says what an optional
    package is for.
    """

    module: str
    distribution: str
    requirement: str
    needed_for: tuple[str, ...] = ()
    purpose: str = ""


PACKAGES = (
    Package("numpy", "numpy", "resnet-serve", FEATURES),
    Package("PIL", "pillow", "resnet-serve", FEATURES),
    Package("tritonclient.grpc", "tritonclient", "resnet-serve", ("serve", "loadtest", "classify")),
    Package("torch", "torch", "resnet-serve[convert]", ("convert",)),
    Package("safetensors", "safetensors", "resnet-serve[convert]", ("convert",)),
    Package("onnx", "onnx", "resnet-serve[convert]", ("convert",)),
    Package("onnx_ir", "onnx-ir", "resnet-serve[convert]", ("convert",)),
    Package("onnxruntime", "onnxruntime", "resnet-serve[server]", ("convert", "serve")),
    Package("jinja2", "jinja2", "resnet-serve[convert]", ("convert",)),
    Package("matplotlib", "matplotlib", "resnet-serve[plot]", ("convert",)),
    Package("sklearn", "scikit-learn", "resnet-serve[digits]", purpose="the handwritten digits"),
    *(
        Package(row.package, row.package, f"resnet-serve[{row.extra}]", purpose=row.purpose)
        for row in TARGETS.values()
        if row.purpose and row.package != tensorrt_rtx_library.MODULE  # has a finding of its own
    ),
)


def examine(
    repository: Path = Path("model_repository"),
    *,
    cache: Path | None = None,
    ports: Sequence[int] = PORTS,
) -> Diagnosis:
    """Check everything, which takes a few seconds, mostly for importing packages. Never raises.

    `repository` and `cache` are the folders to check, the user's cache when None; `ports` are
    those of Triton's HTTP, gRPC and metrics endpoints.
    """
    host = this_host.describe()
    with ThreadPoolExecutor(max_workers=host.cores) as pool:
        packages = list(
            pool.map(lambda package: _safely(package.module, package_of, package), PACKAGES)
        )
    findings = [
        _safely("Python", _python),
        _safely("processor", _processor, host),
        _safely("GPU", _gpu),
        *packages,
        _safely(onnxruntime_builds.SUBJECT, onnxruntime_builds.examine, repository),
        _safely(rtx_library.SUBJECT, rtx_library.examine),
        _safely("tritonserver", _tritonserver),
        _safely("perf_analyzer", _perf_analyzer, cache),
        _safely("shared memory", _shared_memory),
        _safely("user cache", _place, "user cache", cache),
        _safely("repository", _place, "repository", repository),
        _safely("ports", _ports, ports),
    ]
    return Diagnosis(tuple(findings), host)


def _safely(subject: str, check: Callable[..., Finding], *arguments: object) -> Finding:
    try:
        return check(*arguments)
    except ResnetServeError as error:
        return Finding(subject, "warning", str(error))
    except Exception as error:  # noqa: BLE001 - the doctor reports, it never fails
        reason = " ".join(str(error).split())
        return Finding(
            subject, "warning", f"could not be checked ({type(error).__name__}: {reason})"
        )


def _python() -> Finding:
    from resnet_serve.triton import installation

    version = ".".join(map(str, sys.version_info[:3]))
    try:
        installation.shared_python()
    except HostError as error:  # a container's Triton has its own: a warning
        return Finding("Python", "warning", f"{version}: {error.what}", error.remedy or "")
    return Finding("Python", "ok", f"{version} with its shared library, {sys.executable}")


def _processor(host: Host) -> Finding:
    found = f"{host.processor}, {host.cores} usable cores, {host.memory_gib} GiB"
    sets = ", ".join(host.instruction_sets) or "no AVX2, AVX-512 or AMX"
    if host.fast_int8:
        return Finding("processor", "ok", f"{found}; {sets}")
    return Finding(
        "processor", "warning", f"{found}; {sets}: INT8 may not be faster here, measure it"
    )


def _gpu() -> Finding:
    try:
        found = nvidia_smi.gpus()
    except HostError as error:
        return Finding("GPU", "warning", error.what, "check the NVIDIA driver")
    if not found:
        return Finding("GPU", "missing", "no GPU: TensorRT engines cannot be built here")
    described = (
        f"{gpu.name}, driver {gpu.driver}, compute capability {gpu.compute_capability}, "
        f"{gpu.memory_gib:g} GiB"
        for gpu in found
    )
    return Finding("GPU", "ok", "; ".join(described))


def package_of(package: Package) -> Finding:
    """Whether a package is installed and can be imported, and its version."""
    name, command = package.distribution, f"pip install '{package.requirement}'"
    purpose = f" (only for {package.purpose})" if package.purpose else ""
    try:
        installed = importlib.util.find_spec(package.module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        installed = False
    if not installed:
        return Finding(name, "missing", f"not installed{purpose}", command, package.needed_for)
    imported = _run([sys.executable, "-Pc", f"import {package.module}"], _IMPORT_TIMEOUT_S)
    if imported.returncode != 0:
        lines = imported.stderr.strip().splitlines() or [f"status {imported.returncode}"]
        repair = f"pip install --force-reinstall '{package.requirement}'"
        return Finding(
            name, "missing", f"cannot be imported: {lines[-1]}", repair, package.needed_for
        )
    return Finding(name, "ok", _version(package), needed_for=package.needed_for)


def _version(package: Package) -> str:
    try:
        return metadata.version(package.distribution)
    except metadata.PackageNotFoundError:  # another distribution may hold the module
        owners = metadata.packages_distributions().get(package.module.partition(".")[0], ())
        found = ", ".join(f"{metadata.version(name)} ({name})" for name in dict.fromkeys(owners))
        return found or "of unknown version"


def _tritonserver() -> Finding:
    from resnet_serve.triton import installation

    try:
        found = installation.find()
    except HostError as error:
        what = error.what if error.where is None else f"{error.where}: {error.what}"
        return Finding("tritonserver", "missing", what, error.remedy or "", ("serve",))
    version = found.version or "of unknown version"
    return Finding("tritonserver", "ok", f"{version}, {found.binary}", needed_for=("serve",))


def _perf_analyzer(cache: Path | None) -> Finding:
    from resnet_serve.loadtest import perf_program, perf_wheel

    program = perf_program.find(cache)
    if program is not None:
        status: Status = "ok" if program.note is None else "warning"
        found = f"{program.version}, {program.path}"
        return Finding(
            "perf_analyzer", status, f"{found}. {program.note or ''}".strip(". "), "", ("loadtest",)
        )
    try:
        wheel = perf_wheel.for_this_host()
    except HostError as error:
        return Finding("perf_analyzer", "missing", error.what, error.remedy or "", ("loadtest",))
    if importlib.util.find_spec("pip") is None:
        found = "not installed, and there is no pip to download it"
        command = f"{sys.executable} -m ensurepip"
        return Finding("perf_analyzer", "missing", found, command, ("loadtest",))
    size_mb = wheel.size_bytes / 1e6
    return Finding(
        "perf_analyzer",
        "warning",
        f"not installed yet: the first load test downloads {wheel.version} ({size_mb:.0f} MB)",
        "resnet-serve loadtest NAME",
        ("loadtest",),
    )


def _shared_memory() -> Finding:
    if not _SHARED_MEMORY.is_dir():
        command = "mount a tmpfs at /dev/shm"
        return Finding("shared memory", "missing", "there is no /dev/shm", command, ("serve",))
    free = shutil.disk_usage(_SHARED_MEMORY).free
    found = f"{free / 2**20:,.0f} MiB free in {_SHARED_MEMORY}"
    if free < _LOW_SHARED_MEMORY:
        return Finding("shared memory", "warning", found, "docker run --shm-size=1g …")
    return Finding("shared memory", "ok", found)


def _place(subject: str, path: Path | None) -> Finding:
    """Whether files can be written at `path`, or where it would be created, and the free space."""
    wanted = (path or user_cache()).absolute()
    existing = next(place for place in (wanted, *wanted.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Finding(subject, "warning", f"{existing}: {reason}", "choose a writable path")
    free = shutil.disk_usage(existing).free
    status: Status = "ok" if free >= _LOW_DISK else "warning"
    command = "" if status == "ok" else "free some disk space"
    return Finding(subject, status, f"{wanted}, {free / 2**30:,.1f} GiB free", command)


def _ports(ports: Sequence[int]) -> Finding:
    used = [str(port) for port in ports if not _free(port)]
    if used:
        found = f"in use: {', '.join(used)}"
        return Finding("ports", "warning", found, "resnet-serve up --port 0 (uses free ones)")
    return Finding("ports", "ok", f"{', '.join(map(str, ports))} are free")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
