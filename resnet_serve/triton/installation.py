"""Find the tritonserver of this host, and build a backend directory for it.

NVIDIA's container has native backends, which are used as they are; only those of ours that it
lacks (`image`) are added. Elsewhere the `nvidia-pytriton` wheel has the real server with a Python
backend and no other; there our Python-based backends with the native names load the models.

    backends/python/     libtriton_python.so, triton_python_backend_utils.py, the stub
    backends/<name>/     model.py: a loader that imports resnet_serve.triton.backends.<name>.model
"""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_serve.durable import explained
from resnet_serve.errors import HostError

CONTAINER_ROOT = Path("/opt/tritonserver")
_REMEDY = "pip install 'resnet-serve[server]' (Linux x86-64), or use NVIDIA's Triton container."
# The wheel needs NumPy 1, which has no wheel for a later Python.
_NEWEST_PYTHON = (3, 12)
_OTHER_PYTHON = "Use Python 3.11 or 3.12, or NVIDIA's Triton container."
_PACKAGE = Path(__file__).parents[1]
_OURS = Path(__file__).parent / "backends"
_LIBRARY = "libtriton_python.so"
_UTILITIES = "triton_python_backend_utils.py"
_STUB = "triton_python_backend_stub"
# The wheel has no metadata about its server; only the running server reports its version.
_WHEEL_SERVERS = {"0.7.0": "2.51.0"}


@dataclass(frozen=True)
class Installation:
    """One tritonserver; `kind` is where it was found: NVIDIA's container, the PATH or the wheel.

    `version` is None where it is not known before the server runs. `python_backend` is the folder
    of the Python backend's library and utilities, `stub` the program that runs Python backends in
    Python `stub_python` ("3.11"); all three are None for a server without a Python backend.
    """

    binary: Path
    kind: Literal["container", "path", "wheel"]
    version: str | None
    library_path: tuple[Path, ...]
    python_backend: Path | None
    stub: Path | None
    stub_python: str | None
    native_backends: Path | None = None

    def environment(self) -> dict[str, str]:
        """This process's environment variables, changed as the server and its stubs need them."""
        environment = dict(os.environ)
        libraries = [str(path) for path in self.library_path]
        libraries += filter(None, [environment.get("LD_LIBRARY_PATH")])
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
        if self.stub_python == _our_python():
            # An embedded Python finds its standard library beside the first python3 of the PATH.
            beside = str(Path(sys.executable).parent)
            environment["PATH"] = os.pathsep.join([beside, environment.get("PATH", os.defpath)])
        # No backend uses NumPy's BLAS, which starts a thread per core in every stub.
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        return environment


def find(container_root: Path = CONTAINER_ROOT) -> Installation:
    """The tritonserver of NVIDIA's container, else one on the PATH, else the wheel's.

    Raises `HostError` when there is none, or none that can run here.
    """
    if (container_root / "bin/tritonserver").is_file():
        return _native(container_root / "bin/tritonserver", "container")
    on_path = shutil.which("tritonserver")
    if on_path is not None:
        return _native(Path(on_path).resolve(), "path")
    return _wheel()


def _native(binary: Path, kind: Literal["container", "path"]) -> Installation:
    root = binary.parents[1]
    backends = root / "backends"
    if not backends.is_dir():
        raise HostError(
            "this tritonserver has no backends directory beside its bin directory",
            where=binary,
            remedy="Remove it from the PATH, or install the whole of Triton.",
        )
    version = root / "TRITON_VERSION"
    python = backends / "python"
    stub = python / _STUB
    whole = (python / _LIBRARY).is_file() and stub.is_file()
    return Installation(
        binary=binary,
        kind=kind,
        version=version.read_text().strip() if version.is_file() else None,
        library_path=(root / "lib",),
        python_backend=python if whole else None,
        stub=stub if whole else None,
        stub_python=_python_of(stub) if whole else None,
        native_backends=backends,
    )


def _python_of(stub: Path) -> str | None:
    """The Python version a stub embeds, read from the library it is linked to."""
    found = re.search(rb"libpython(3\.\d+)\.so", stub.read_bytes())
    return found[1].decode() if found else None


def _wheel() -> Installation:
    spec = importlib.util.find_spec("pytriton")
    locations = spec.submodule_search_locations if spec is not None else None
    if not locations:
        if python_is_too_new():
            raise HostError(
                "there is no tritonserver on this host, and the wheel that has one needs NumPy 1, "
                f"which has no wheel for Python {_our_python()}",
                remedy=_OTHER_PYTHON,
            )
        raise HostError("there is no tritonserver on this host", remedy=_REMEDY)
    package = Path(locations[0])
    root = package / "tritonserver"
    binary = root / "bin/tritonserver"
    if not binary.is_file():
        raise HostError(
            "the installed nvidia-pytriton has no tritonserver", where=package, remedy=_REMEDY
        )
    stubs = root / "python_backend_stubs"
    stub = stubs / _our_python() / _STUB
    if not stub.is_file():
        raise HostError(
            f"the wheel's Triton cannot run backends in Python {_our_python()}",
            where=binary,
            remedy=_OTHER_PYTHON,
        )
    numpy = importlib.metadata.version("numpy")
    if not numpy.startswith("1."):  # its processes would end at the first request
        raise HostError(
            f"the wheel's Triton runs its backends with NumPy 1, and NumPy {numpy} is installed",
            where=binary,
            remedy=_OTHER_PYTHON if python_is_too_new() else "pip install 'numpy<2'",
        )
    try:
        version = _WHEEL_SERVERS.get(importlib.metadata.version("nvidia-pytriton"))
    except importlib.metadata.PackageNotFoundError:
        version = None
    return Installation(
        binary=binary,
        kind="wheel",
        version=version,
        library_path=(*shared_python(), package.parent / "nvidia_pytriton.libs"),
        python_backend=root / "backends/python",
        stub=stub,
        stub_python=_our_python(),
    )


def _our_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def python_is_too_new() -> bool:
    """Whether the extra `server` has no tritonserver for this Python."""
    return tuple(map(int, _our_python().split("."))) > _NEWEST_PYTHON


def shared_python() -> tuple[Path, ...]:
    """The folder of this Python's shared libpython; empty where the loader finds it by itself.

    Raises `HostError` where there is none.
    """
    name = f"libpython{_our_python()}.so.1.0"
    library, multiarch = (sysconfig.get_config_var(key) for key in ("LIBDIR", "MULTIARCH"))
    candidates = [Path(library)] if library else []
    candidates += [Path(library) / multiarch] if library and multiarch else []
    # A relocated Python (conda, uv) may report the directory it was built in.
    candidates += [Path(sys.base_prefix) / "lib"]
    for directory in candidates:
        if (directory / name).is_file():
            return (directory,)
    if ctypes.util.find_library(f"python{_our_python()}") is not None:
        return ()
    raise HostError(
        f"this Python has no shared {name}, which Triton's Python backends are linked to",
        where=sys.executable,
        remedy="Use a Python built with --enable-shared (uv's and conda's are; "
        f"Debian: apt install libpython{_our_python()}).",
    )


def our_backends() -> tuple[str, ...]:
    """The names of the Python-based backends in this package."""
    return tuple(sorted(path.parent.name for path in _OURS.glob("*/model.py")))


def build_backends(installation: Installation, directory: Path) -> Path:
    """Fill `directory` with a backend directory for `installation` and return it.

    Native backends are linked, not copied; a native backend is preferred to ours with its name.
    Raises `HostError` where the directory cannot be written.
    """
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        if installation.native_backends is not None:
            for native in sorted(installation.native_backends.iterdir()):
                if native.is_dir():
                    (directory / native.name).symlink_to(native, target_is_directory=True)
        if installation.python_backend is None or installation.stub is None:
            return directory
        python = directory / "python"
        if not python.exists():
            # Triton refuses a library that is a link out of its backend's directory.
            python.mkdir()
            for name in (_LIBRARY, _UTILITIES):
                shutil.copy2(installation.python_backend / name, python / name)
            shutil.copy2(installation.stub, python / _STUB)
            (python / _STUB).chmod(0o755)
        for name in our_backends():
            if not (directory / name).exists():
                (directory / name).mkdir()
                (directory / name / "model.py").write_text(_loader(installation, directory, name))
    return directory


def _loader(installation: Installation, directory: Path, name: str) -> str:
    """The text of a `model.py` that imports the backend with this process's import path.

    The stub embeds an isolated Python: it reads neither PYTHONPATH nor the virtual environment.
    """
    if installation.stub_python == _our_python():
        # As bytes: an isolated Python decodes file names as ASCII in any locale.
        ours = [os.fsencode(Path(entry).absolute()) for entry in sys.path]
        paths = f"[*map(os.fsdecode, {ours!r}), *sys.path]"
    else:
        # Another Python cannot use our compiled packages: it gets resnet_serve only.
        packages = directory.with_name("packages")
        packages.mkdir(exist_ok=True)
        link = packages / _PACKAGE.name
        if not link.exists():
            link.symlink_to(_PACKAGE, target_is_directory=True)
        paths = f"[*sys.path, {str(packages)!r}]"
    return (
        f"# Written by resnet-serve when it started this server.\n"
        f"import os\nimport sys\n\n"
        f"sys.path[:] = dict.fromkeys({paths})\n\n"
        f"from resnet_serve.triton.backends.{name}.model import TritonPythonModel\n"
    )
