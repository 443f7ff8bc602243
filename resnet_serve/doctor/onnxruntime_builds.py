"""Which build of ONNX Runtime is here, and whether its CUDA provider can be used.

`onnxruntime` and `onnxruntime-gpu` both install the package `onnxruntime`: with both, the one that
was installed last is imported, and uninstalling either removes files of the other. The libraries
of the provider are loaded in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from resnet_serve.cuda import nvidia_smi
from resnet_serve.doctor.diagnosis import Finding
from resnet_serve.errors import ResnetServeError
from resnet_serve.runtimes.onnxruntime_cuda import CUDA, INSTALL
from resnet_serve.triton.repository import Repository

SUBJECT = "ONNX Runtime CUDA"
_BUILDS = ("onnxruntime", "onnxruntime-gpu")
_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
_TIMEOUT_S = 120
_PROBE = """
import json
import onnxruntime
from resnet_serve.runtimes import onnxruntime_cuda
cuda = onnxruntime_cuda.CUDA in onnxruntime.get_available_providers()
missing = onnxruntime_cuda.missing_libraries() if cuda else {}
print(json.dumps({"providers": onnxruntime.get_available_providers(), "missing": missing}))
"""


@dataclass(frozen=True)
class Builds:
    """The versions of the installed builds, and what the one that is imported has.

    `wanted` says who wants CUDA: the GPU of this host, or models of the repository; "" for nobody.
    """

    versions: Mapping[str, str]
    providers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    wanted: str = ""

    def finding(self) -> Finding:
        """The builds as a line of the doctor."""
        names = " and ".join(f"{name} {version}" for name, version in self.versions.items())
        if len(self.versions) > 1:
            imported = _BUILDS[1] if CUDA in self.providers else _BUILDS[0]
            return Finding(
                SUBJECT,
                "warning",
                f"{names} are both installed and own the same files; imported is {imported}",
                INSTALL,
            )
        if CUDA not in self.providers:
            found = f"{names or 'not installed'}: no CUDA provider"
            if self.wanted:
                return Finding(SUBJECT, "warning", f"{found}, and {self.wanted}", INSTALL)
            return Finding(SUBJECT, "missing", f"{found} (only for --accelerator cuda)", INSTALL)
        if self.missing:
            found = f"{names}: {', '.join(self.missing)} cannot be loaded"
            return Finding(SUBJECT, "warning", found, _LIBRARIES)
        return Finding(SUBJECT, "ok", f"{names}, and every library that it needs")


def examine(repository: Path) -> Finding:
    """Look at this host; raises `HostError` where nvidia-smi fails."""
    versions = {}
    for name in _BUILDS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    providers, missing = probed() if versions else ((), ())
    return Builds(versions, providers, missing, wanted(repository)).finding()


def wanted(repository: Path) -> str:
    """Who wants CUDA here, in words; "" for nobody."""
    if nvidia_smi.gpus():
        return "this host has a GPU"
    try:
        deployed = Repository(repository).deployed() if repository.is_dir() else ()
    except ResnetServeError:
        return ""
    names = [each.name for each in deployed if getattr(each.passport, "cuda", None) is not None]
    return f"{', '.join(dict.fromkeys(names))} was converted for it" if names else ""


def probed() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The providers of the build that is imported, and the libraries that CUDA lacks.

    Both are empty where the package cannot be imported, of which there is a finding of its own.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _PROBE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    )
    lines = ended.stdout.splitlines()
    if ended.returncode != 0 or not lines:
        return (), ()
    found = json.loads(lines[-1])
    return tuple(found["providers"]), tuple(found["missing"])
