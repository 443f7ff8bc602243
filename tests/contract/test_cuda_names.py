"""Our use of cuda-python and pycuda, checked against the real packages; no GPU is needed.

cuda-bindings imports without a driver, so that its names and signatures are read from the module.
pycuda does not build without CUDA: the names of its extension module are read from its C++ source.
"""

from __future__ import annotations

import ast
import ctypes
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from kept import kept
from patience import PATIENCE_S

from resnet_serve.cuda import open_device, with_cuda_python, with_pycuda
from resnet_serve.errors import HostError

CACHE = Path(__file__).resolve().parents[2] / ".pytest_cache" / "cuda-packages"
CUDA_PYTHON = ("cuda-bindings==13.4.4", "cuda-pathfinder==1.9.0")
PYCUDA = "2026.1"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr}"
    return done.stdout


def cuda_python() -> Path:
    """The folder with `cuda.bindings`."""

    def install(folder: Path) -> None:
        run([*PIP, "install", "--no-deps", "--target", str(folder), *CUDA_PYTHON])

    return kept(CACHE, f"{CUDA_PYTHON[0]}-{sys.implementation.cache_tag}", install)


def pycuda_source() -> Path:
    """The folder with pycuda's source; pip prepares its metadata, and compiles nothing."""

    def download(folder: Path) -> None:
        pycuda = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", f"pycuda=={PYCUDA}"]
        run([*PIP, "download", "--dest", str(folder), *pycuda])
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            # Python before 3.11.4 has no filters; the archive is held to its hash by pip.
            filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(folder, **filtered)

    return kept(CACHE, f"pycuda-{PYCUDA}", download) / f"pycuda-{PYCUDA}"


# --- what our files mention -------------------------------------------------------------------


def chain(node: ast.expr) -> list[str]:
    """`a.b.c` as its parts; a call in between is left out, anything else starts as ?."""
    if isinstance(node, ast.Attribute):
        return [*chain(node.value), node.attr]
    if isinstance(node, ast.Call):
        return chain(node.func)
    return [node.id if isinstance(node, ast.Name) else "?"]


def mentions(tree: ast.AST, module: str) -> set[str]:
    """Every longest `module.…` chain of the file, without the module's name."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = (
        chain(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and id(node) not in inner
    )
    return {".".join(parts[1:]) for parts in found if parts[0] == module}


def calls(tree: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    """Each function of the module with the number of arguments it gets.

    Called itself, or handed on with its arguments behind it: `_call(cudart.cudaFree, address)`.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for place, each in enumerate([node.func, *node.args]):
            if isinstance(each, ast.Attribute) and chain(each)[0] == module:
                behind = [one for one in node.args[place:] if not isinstance(one, ast.Starred)]
                yield ".".join(chain(each)[1:]), len(behind)
                break


def tree_of(module: object) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))


# --- cuda-python ------------------------------------------------------------------------------

ASK = """
import inspect, json, sys
from cuda.bindings import runtime as cudart
answer = {}
for name in json.load(sys.stdin):
    found = cudart
    for part in name.split("."):
        found = getattr(found, part, None)
    try:
        answer[name] = None if found is None else len(inspect.signature(found).parameters)
    except (TypeError, ValueError):
        answer[name] = -1
handles = [int(kind()) for kind in
           (cudart.cudaStream_t, cudart.cudaEvent_t, cudart.cudaGraphExec_t)]
print(json.dumps([answer, handles, dir(cudart.cudaDeviceProp)]))
"""


def ask(names: set[str]) -> tuple[dict[str, int | None], list[int], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(sorted(names)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(cuda_python())},
    )
    assert done.returncode == 0, done.stderr
    answer, handles, properties = json.loads(done.stdout)
    return answer, handles, properties


def test_cuda_python_has_every_name_we_use_and_takes_our_arguments() -> None:
    tree = tree_of(with_cuda_python)
    names = mentions(tree, "cudart")
    assert len(names) > 20
    answer, handles, properties = ask(names)
    assert not [name for name in names if answer[name] is None]
    called = dict(calls(tree, "cudart"))
    assert all(answer[name] == count for name, count in calls(tree, "cudart")), (called, answer)
    functions = {
        name for name in names if re.fullmatch(r"cuda[A-Z]\w+", name) and answer[name] >= 0
    }
    assert functions - {"cudaError_t"} <= called.keys()
    assert handles == [0, 0, 0]
    used = {name.partition(".")[0] for name in mentions(tree, "found")}
    assert {"name", "major", "totalGlobalMem"} <= used <= set(properties)


def test_a_misspelt_name_is_seen() -> None:
    tree = ast.parse("_call(cudart.cudaStreamSynchronise, s)\ncudart.cudaFree(a, b)")
    answer, *_ = ask(mentions(tree, "cudart"))
    assert answer == {"cudaStreamSynchronise": None, "cudaFree": 1}
    assert dict(calls(tree, "cudart")) == {"cudaStreamSynchronise": 1, "cudaFree": 2}


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


no_driver = pytest.mark.skipif(has_driver(), reason="this host has an NVIDIA driver")


@no_driver
def test_the_real_cuda_python_without_a_driver_is_refused_in_one_line() -> None:
    program = (
        "from resnet_serve.cuda.with_cuda_python import CudaPythonDevice\n"
        "from resnet_serve.errors import HostError\n"
        "try:\n    CudaPythonDevice.open(0)\n"
        "except HostError as error:\n    print(error)\n"
    )
    root = Path(with_cuda_python.__file__).parents[2]
    said = run([sys.executable, "-c", program], PYTHONPATH=f"{cuda_python()}:{root}")
    assert said == (
        "cudaGetDeviceCount failed: CUDA driver version is insufficient for CUDA runtime version\n"
    )


@no_driver
def test_this_host_has_no_driver() -> None:
    with pytest.raises(HostError, match="this host has no NVIDIA driver") as refusal:
        open_device()
    assert refusal.value.exit_code == 4


# --- pycuda -----------------------------------------------------------------------------------

# What our variables hold, as pycuda's classes.
RECEIVERS = {
    "Device": "Device",
    "Context": "Context",
    "device": "Device",
    "self._context": "Context",
    "stream.native": "Stream",
    "event.native": "Event",
    "start.native": "Event",
    "native": ("DeviceAllocation", "Stream"),
}
# "…", name: of functions, of classes, and of what a class has.
FUNCTION = re.compile(r'(?:py::def\("|DEF_SIMPLE_FUNCTION\()(\w+)')
EXCEPTION = re.compile(r"DECLARE_EXC\((\w+), ")
CLASS = re.compile(r'py::class_<[^;]*?\(\s*"(\w+)"')
MEMBER = re.compile(r'(?:\.def\("|\.DEF_SIMPLE_METHOD\(|\.add_property\("|\.def_readonly\(")(\w+)')
DEFINITION = re.compile(r'py::def\("(\w+)",.*?;', re.DOTALL)


@cache
def wrapper() -> str:
    return (pycuda_source() / "src/wrapper/wrap_cudadrv.cpp").read_text(encoding="utf-8")


def exported() -> set[str]:
    text = wrapper()
    top = {*FUNCTION.findall(text), *EXCEPTION.findall(text), *CLASS.findall(text)}
    driver = ast.parse((pycuda_source() / "pycuda/driver.py").read_text(encoding="utf-8"))
    assert "from pycuda._driver import *" in ast.unparse(driver)
    return top | {
        node.name for node in driver.body if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def members(name: str) -> set[str]:
    text = wrapper()
    starts = [*CLASS.finditer(text)]
    ends = [*(found.start() for found in starts[1:]), len(text)]
    for found, end in zip(starts, ends, strict=True):
        if found[1] == name:
            return set(MEMBER.findall(text[found.end() : end]))
    raise AssertionError(f"pycuda has no class {name}")


def parameters(function: str) -> int | None:
    """How many parameters a function names; None where it names none."""
    text = next((found[0] for found in DEFINITION.finditer(wrapper()) if found[1] == function), "")
    several = re.findall(r"py::args\(([^)]*)\)", text)
    count = len(re.findall(r"py::arg\(", text)) + sum(len(each.split(",")) for each in several)
    return count or None


def unknown(tree: ast.AST) -> set[str]:
    """The names that the file uses of pycuda and pycuda does not have."""
    top = {name.partition(".")[0] for name in mentions(tree, "drv")}
    wrong = top - exported()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        receiver = ".".join(chain(node.value)).removeprefix("drv.")
        if receiver not in RECEIVERS:
            continue
        kinds = RECEIVERS[receiver]
        known = [members(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        if not any(node.attr in each for each in known):
            wrong.add(f"{receiver}.{node.attr}")
    return wrong


def test_pycuda_has_every_name_we_use() -> None:
    tree = tree_of(with_pycuda)
    assert {"init", "Device.count", "Stream", "mem_alloc"} <= mentions(tree, "drv")
    assert unknown(tree) == set()


def test_pycuda_takes_our_arguments() -> None:
    counted = {}
    for name, count in calls(tree_of(with_pycuda), "drv"):
        most = parameters(name)
        if most is not None:
            counted[name] = count
            assert count <= most, name
    assert counted.keys() >= {"memcpy_htod_async", "memcpy_dtoh_async", "pagelocked_empty"}


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("drv.memcpy_to_device(a, b)", {"memcpy_to_device"}),
        ("drv.Device(0).retain_context()", {"Device.retain_context"}),
        ("stream.native.synchronise()", {"stream.native.synchronise"}),
        ("start.native.time_till(end.native)", set()),
        ("drv.Context.pop()", set()),
    ],
)
def test_a_name_that_pycuda_lacks_is_seen(source: str, wrong: set[str]) -> None:
    assert unknown(ast.parse(source)) == wrong


def test_pycuda_has_no_graphs_of_its_own() -> None:
    """If it gets them, `driver_graphs` can be removed."""
    assert not [name for name in exported() if "graph" in name.lower()]


@pytest.mark.parametrize("module", [with_pycuda, with_cuda_python])
def test_no_context_of_its_own(module: object) -> None:
    """`pycuda.autoinit` would make one that shares nothing with torch."""
    imported = {
        alias.name
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {"pycuda.autoinit", "autoinit"}
    assert "make_context" not in {
        node.attr for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute)
    }
