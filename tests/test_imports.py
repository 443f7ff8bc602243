"""Who may import whom, read from the sources: packages, floors, cycles and engines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import (
    PACKAGES,
    SOURCES,
    Import,
    folders,
    graph,
    imports,
    imports_of,
    longest_path,
    module_name,
    package_of,
    shown,
)

# What each package may import of ours.
ALLOWED = {
    "resnet_serve": ("resnet_serve",),
    "resnet_convert": ("resnet_convert", "resnet_serve"),
    "resnet_client": (
        "resnet_client",
        "resnet_serve.activation",
        "resnet_serve.preprocessing",
        "resnet_serve.errors",
        "resnet_serve.host",
    ),
}
# The converter from the bottom up. A folder or module imports from the lines above its own alone.
FLOORS = (
    ("stage_log", "head"),
    ("graph",),
    ("lint",),
    ("quantization", "tensorrt"),
    ("request",),
    ("parity", "calibration"),
    ("reference_check", "stages"),
    ("folded",),
    ("precision", "roofline"),
    ("autoselect", "proof"),
    ("conversion", "validation"),
    ("report", "inputs"),
    ("refusals",),
    ("deployment", "dry_run", "ensembles"),
    ("pipeline", "build_plan"),
    ("cli",),
)
# The web application and runs of many images are clients of servers: they alone reach over to the
# client's package. `resnet_client` imports nothing of the sort, and only commands import them.
CLIENTS = ("batch", "web")
MOST_FLOORS = 15  # of modules, along the longest chain of imports
CONSOLE_SCRIPT = ("cli", "cli.__main__")

# Who imports an engine when it is used, as paths inside the package; with / at its end, a folder.
ENGINES = {
    "resnet_serve": {
        "torch": ("architectures/", "checkpoints/", "weights/", "runtimes/pytorch.py"),
        "onnxruntime": (
            "runtimes/onnxruntime.py",
            "runtimes/onnxruntime_cuda.py",
            "triton/backends/onnxruntime/model.py",
        ),
        "openvino": ("runtimes/openvino.py", "triton/backends/openvino/model.py"),
        "tensorrt": ("runtimes/tensorrt_flavours.py",),
        "tensorrt_rtx_bindings": ("runtimes/tensorrt_rtx_library.py",),
        "cuda": ("cuda/with_cuda_python.py",),
        "pycuda": ("cuda/with_pycuda.py",),
    },
    "resnet_convert": {
        "torch": (
            "graph/program.py",
            "graph/trace.py",
            "graph/writer.py",
            "ensembles/composition.py",
        ),
        "onnxruntime": (),
        "openvino": (),
        "tensorrt": (),
        "tensorrt_rtx_bindings": (),
        "cuda": (),
        "pycuda": (),
    },
    "resnet_client": dict.fromkeys(
        ("torch", "onnxruntime", "openvino", "tensorrt", "cuda", "pycuda"), ()
    ),
}
NOT_IN_THE_BASE = [
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "safetensors",
    "sklearn",
    "scipy",
    "matplotlib",
    "jinja2",
    "huggingface_hub",
    "kubernetes",
    "yaml",
    "pytriton",
    "openvino",
    "optuna",
    "ray",
    "pyarrow",
    "pandas",
    "starlette",
    "uvicorn",
    "python_multipart",
    "tensorrt",
    "tensorrt_rtx_bindings",
    "triton",
    "triton_python_backend_utils",
    "pytest",
    "hypothesis",
]


def is_client(path: Path) -> bool:
    """Whether a source belongs to a part of resnet_serve that is a client of the server."""
    return any(path.is_relative_to(PACKAGES["resnet_serve"] / name) for name in CLIENTS)


def allowed(path: Path) -> tuple[str, ...]:
    """What a source may import of ours."""
    more = ("resnet_client",) if is_client(path) else ()
    return (*ALLOWED[package_of(path)], *more)


def found() -> Iterator[tuple[Path, Import]]:
    """Every import of every source."""
    return ((path, each) for path in SOURCES for each in imports_of(path))


def test_all_packages_are_found() -> None:
    for name, folder in PACKAGES.items():
        assert any(path.is_relative_to(folder) for path in SOURCES), f"{name} has no modules"


def test_the_three_packages_depend_on_each_other_one_way() -> None:
    wrong = [
        f"{shown(path)}:{each.line} imports {each.module}"
        for path, each in found()
        if any(each.within(package) for package in PACKAGES)
        and not any(each.within(name) for name in allowed(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_client_is_used_by_clients_of_the_server_alone() -> None:
    """So that there is no cycle: the client imports no such folder, and nothing else does."""
    folders_of_clients = [f"resnet_serve.{name}" for name in CLIENTS]
    wrong = [
        f"{shown(path)}:{each.line} imports {each.module}"
        for path, each in found()
        if any(each.within(name) for name in folders_of_clients)
        and not is_client(path)
        and not path.is_relative_to(PACKAGES["resnet_serve"] / "cli")
    ]
    assert not wrong, "\n".join(wrong)
    stale = [name for name in CLIENTS if not (PACKAGES["resnet_serve"] / name).is_dir()]
    assert not stale


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_cycle(package: str) -> None:
    edges = graph(package)
    longest_path(edges)
    longest_path(folders(edges))


def test_the_converter_has_few_floors() -> None:
    """Without the console script, whose two modules import the command when it is run."""
    edges = graph("resnet_convert")
    chain = longest_path({name: edges[name] for name in edges if name not in CONSOLE_SCRIPT})
    assert len(chain) <= MOST_FLOORS, " → ".join(chain)


def test_the_converter_imports_downwards_only() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    edges = folders(graph("resnet_convert"))
    assert set(edges) == set(floor), "FLOORS names every folder and module of the converter"
    upwards = [
        f"{name} imports {wanted}"
        for name, all_wanted in edges.items()
        for wanted in sorted(all_wanted)
        if floor[wanted] >= floor[name]
    ]
    assert not upwards, "\n".join(upwards)


@pytest.mark.parametrize(
    ("package", "engine"), [(name, engine) for name, row in ENGINES.items() for engine in row]
)
def test_an_engine_is_imported_in_its_own_places_alone(package: str, engine: str) -> None:
    used = {
        path.relative_to(PACKAGES[package]).as_posix(): each
        for path, each in found()
        if package_of(path) == package and each.within(engine) and not each.for_types_only
    }
    places = ENGINES[package][engine]
    wrong = [
        f"{name}:{each.line} imports {each.module}"
        for name, each in used.items()
        if not any(
            name == place or (place[-1] == "/" and name.startswith(place)) for place in places
        )
    ]
    assert not wrong, "\n".join(wrong)
    stale = [place for place in places if not any(name.startswith(place) for name in used)]
    assert not stale, f"{engine} is not imported there any more: {stale}"


def test_torchvision_and_timm_are_not_depended_on() -> None:
    wrong = [
        f"{shown(path)}:{each.line} imports {each.module}"
        for path, each in found()
        if each.within("torchvision") or each.within("timm")
    ]
    assert not wrong, "\n".join(wrong)


IMPORT_ALL = """
import sys
sys.path[:0] = {paths!r}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (base dependencies only)",
                                      name=name)
        return None

sys.meta_path.insert(0, Refuse())
import importlib, json
failed = {{}}
for name in {names!r}:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = f"{{type(error).__name__}}: {{error}}"
print(json.dumps(failed))
"""


def test_every_module_imports_with_the_base_dependencies_alone() -> None:
    """In an interpreter that has nothing else; Triton's backends live in Triton's interpreter."""
    names = [
        module_name(path).removesuffix(".__init__")
        for path in SOURCES
        if not ("backends" in path.parts and path.name == "model.py")
    ]
    paths = [str(folder.parent) for folder in PACKAGES.values()]
    program = IMPORT_ALL.format(paths=paths, blocked=NOT_IN_THE_BASE, names=names)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, f"importing prints: {done.stdout}"
    failed = json.loads(done.stdout)
    assert not failed, "\n".join(f"{name}: {reason}" for name, reason in failed.items())


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        ("resnet_serve.cli.application", ("resnet_serve.checkpoints.", "torch", "matplotlib")),
        ("resnet_convert.cli.convert", ("torch", "onnxruntime", "matplotlib", "sklearn")),
        ("resnet_client", ("numpy", "grpc", "PIL")),
    ],
)
def test_a_command_starts_without_what_it_may_not_need(
    module: str, left_out: tuple[str, ...]
) -> None:
    """Each `--help` and each `resnet-serve list` would wait for it."""
    paths = [str(folder.parent) for folder in PACKAGES.values()]
    program = f"import sys; sys.path[:0] = {paths!r}; import {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True
    )
    loaded = done.stdout.split()
    assert module in loaded
    assert not [name for name in loaded if name.startswith(left_out)]


# --- that these tests can fail ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import torch.nn as nn, os", ["torch.nn", "os"]),
        ("from torch import nn", ["torch.nn"]),
        (
            "def f():\n    if True:\n        from resnet_serve import weights",
            ["resnet_serve.weights"],
        ),
        ("from . import numerics", ["a.b.numerics"]),
        ("from ..triton.config import x", ["a.triton.config.x"]),
        ("torch = optional('torch', extra='convert')", ["torch"]),
        ("import importlib\nimportlib.import_module('onnxruntime')", ["importlib", "onnxruntime"]),
        ("installed('torch')", []),
    ],
)
def test_imports_are_found(source: str, modules: list[str]) -> None:
    assert [each.module for each in imports(source, "a.b")] == modules


def test_imports_for_types_are_told_apart() -> None:
    source = "if TYPE_CHECKING:\n    import torch\nelse:\n    torch = optional('torch')"
    assert [each.for_types_only for each in imports(source, "a")] == [True, False]


def test_a_chain_and_a_cycle_are_found() -> None:
    edges = {"a": frozenset({"b.x"}), "b.x": frozenset({"c"}), "c": frozenset[str]()}
    assert longest_path(edges) == ["a", "b.x", "c"]
    assert folders(edges) == {"a": {"b"}, "b": {"c"}, "c": set()}
    with pytest.raises(ValueError, match=r"a → b\.x → c → a"):
        longest_path({**edges, "c": frozenset({"a"})})
