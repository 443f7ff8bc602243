"""The TensorRT-RTX library of this host: two packages, found, compared, and loaded together.

    onnxruntime-ep-nv-tensorrt-rtx-cu13    the shared libraries (a package of ONNX Runtime's)
    tensorrt-rtx-cu13-bindings             the Python module `tensorrt_rtx_bindings`

The module looks for the shared libraries by name alone, so they are loaded first, with global
symbols. Neither a GPU nor a driver is needed to load them, or to build plans.
"""

from __future__ import annotations

import ctypes
import importlib
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from resnet_serve.errors import HostError

MODULE = "tensorrt_rtx_bindings"
LIBRARIES = "onnxruntime_ep_nv_tensorrt_rtx"
BINDINGS = ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings")
INSTALL = "pip install 'resnet-serve[tensorrt-rtx]'"
# In this order: the parser needs the first.
_SHARED = ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so")
_LEAST_GLIBC = (2, 28)


@dataclass(frozen=True)
class Installed:
    """The two packages: the version of the bindings, and the shared libraries in load order."""

    version: str
    shared: tuple[Path, ...]


def find() -> Installed:
    """The packages that are installed here; nothing is loaded.

    Raises `HostError` where one is missing, where they belong to different versions, and where the
    platform has none.
    """
    missing = [name for name in (LIBRARIES, MODULE) if find_spec(name) is None]
    if missing:
        raise HostError(
            f"TensorRT-RTX is not installed here ({' and '.join(missing)} not found)",
            remedy=_no_packages() or INSTALL,
        )
    shared = tuple(_shared(_folder(), stem) for stem in _SHARED)
    version = _bindings_version()
    library = shared[0].name.partition(".so.")[2]
    if version.split(".")[:3] != library.split("."):
        raise HostError(
            f"the Python bindings of TensorRT-RTX are of version {version}, its libraries of "
            f"version {library}: they must match",
            remedy=f"{INSTALL} --force-reinstall",
        )
    return Installed(version, shared)


def load() -> ModuleType:
    """Load the shared libraries and import the bindings; errors as for `find`, and for a file that
    cannot be loaded.
    """
    found = find()
    try:
        for path in found.shared:
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        return importlib.import_module("tensorrt_rtx_bindings")
    except (ImportError, OSError) as error:
        raise HostError(
            f"TensorRT-RTX {found.version} cannot be loaded ({' '.join(str(error).split())})",
            remedy=_no_packages() or f"{INSTALL} --force-reinstall",
        ) from error


def _folder() -> Path:
    spec = find_spec(LIBRARIES)
    places = (spec.submodule_search_locations if spec is not None else None) or []
    return Path(next(iter(places), ""))


def _shared(folder: Path, stem: str) -> Path:
    """The library with its whole version in its name; the package makes links to it."""
    named = [p for p in folder.glob(f"{stem}.*") if re.fullmatch(r"\d+\.\d+\.\d+", _numbers(p))]
    if not named:
        raise HostError(f"there is no {stem}", where=folder, remedy=f"{INSTALL} --force-reinstall")
    return max(named, key=lambda path: tuple(map(int, _numbers(path).split("."))))


def _numbers(path: Path) -> str:
    return path.name.partition(".so.")[2]


def _bindings_version() -> str:
    for name in BINDINGS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    raise HostError(
        f"the package of {MODULE} is not known to pip, so its version cannot be compared",
        remedy=f"{INSTALL} --force-reinstall",
    )


def _no_packages() -> str | None:
    """Why no package can be installed on this platform, None where it can."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        found = f"this is {system} on {machine}"
    else:
        name, version = platform.libc_ver()
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if name == "glibc" and numbers >= _LEAST_GLIBC:
            return None
        found = f"this has {name or 'another C library'} {version}".rstrip()
    return (
        f"Build on Linux on x86-64 with glibc 2.28 or newer, which its packages are for: {found}."
    )
