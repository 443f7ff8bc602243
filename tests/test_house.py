"""The rules of the house, read from the sources: who imports whom, how big, how named.

The files are found when the tests run, so that a new module is held to the rules at once.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "resnet_serve": ROOT / "resnet_serve",
    "resnet_convert": ROOT / "convert" / "resnet_convert",
    "resnet_client": ROOT / "clients" / "python" / "resnet_client",
}
SOURCES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
SCRIPTS = sorted(
    path for name in ("examples", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
SOFT_LIMIT, HARD_LIMIT = 300, 400
NO_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}

# What may import an engine, as paths inside resnet_serve; a path that ends in / is a folder.
ENGINES = {
    "torch": ("architectures/", "checkpoints/", "weights.py", "runtimes/pytorch.py"),
    "onnxruntime": ("runtimes/onnxruntime.py", "triton/backends/onnxruntime/"),
    "openvino": ("runtimes/openvino.py", "triton/backends/openvino/"),
    "tensorrt": ("runtimes/tensorrt.py", "triton/backends/tensorrt/"),
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
    "pytriton",
    "openvino",
    "tensorrt",
    "triton",
    "triton_python_backend_utils",
    "pytest",
    "hypothesis",
]


@dataclass(frozen=True)
class Import:
    """`module` is dotted and complete: `from a import b` is `a.b`."""

    module: str
    line: int
    for_types_only: bool

    def within(self, package: str) -> bool:
        return self.module == package or self.module.startswith(f"{package}.")


def imports(source: str, package: str) -> Iterator[Import]:
    """Every import of a module: statements, `optional("…")` and `import_module("…")`."""
    tree = ast.parse(source)
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).rpartition(".")[2]
            argument = node.args[0]
            if function in ("optional", "import_module", "__import__") and isinstance(
                argument, ast.Constant
            ):
                names = [str(argument.value)]
        for name in names:
            yield Import(name, getattr(node, "lineno", 0), id(node) in typing_only)


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    package = module_name(path).rpartition(".")[0]
    return tuple(imports(path.read_text(encoding="utf-8"), package))


def module_name(path: Path) -> str:
    """The dotted name; of a package, that of its `__init__`, so that its parent is the package."""
    for name, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            return ".".join((name, *path.relative_to(folder).with_suffix("").parts))
    raise AssertionError(path)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_a_house() -> None:
    for name, folder in PACKAGES.items():
        assert any(path.is_relative_to(folder) for path in SOURCES), f"{name} has no modules"


# --- who imports whom -------------------------------------------------------------------------


def test_the_three_packages_depend_on_each_other_one_way() -> None:
    allowed = {
        "resnet_serve": ("resnet_serve",),
        "resnet_convert": ("resnet_convert", "resnet_serve"),
        "resnet_client": ("resnet_client", "resnet_serve.errors", "resnet_serve.preprocessing"),
    }
    wrong = [
        f"{shown(path)}:{found.line} imports {found.module}"
        for path in SOURCES
        for found in imports_of(path)
        if any(found.within(package) for package in PACKAGES)
        and not any(found.within(name) for name in allowed[module_name(path).partition(".")[0]])
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_imported_in_its_own_place_alone(engine: str) -> None:
    serving = PACKAGES["resnet_serve"]
    wrong = [
        f"{shown(path)}:{found.line} imports {found.module}"
        for path in SOURCES
        if path.is_relative_to(serving)
        and not any(
            f"{path.relative_to(serving).as_posix()}".startswith(place) for place in ENGINES[engine]
        )
        for found in imports_of(path)
        if found.within(engine) and not found.for_types_only
    ]
    assert not wrong, "\n".join(wrong)


def test_torchvision_and_timm_are_not_depended_on() -> None:
    wrong = [
        f"{shown(path)}:{found.line} imports {found.module}"
        for path in SOURCES
        for found in imports_of(path)
        if found.within("torchvision") or found.within("timm")
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
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, f"importing prints: {done.stdout}"
    failed = json.loads(done.stdout)
    assert not failed, "\n".join(f"{name}: {reason}" for name, reason in failed.items())


# --- how big, how named -----------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=shown)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{shown(path)} has no docstring"


def test_modules_are_small() -> None:
    lines = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES + SCRIPTS
    }
    long = {name: count for name, count in lines.items() if count > SOFT_LIMIT}
    too_long = {name: count for name, count in long.items() if count > HARD_LIMIT}
    assert not too_long, f"more than {HARD_LIMIT} lines: {too_long}"
    if long:
        warnings.warn(f"more than {SOFT_LIMIT} lines: {long}", stacklevel=1)


def test_no_module_is_a_drawer() -> None:
    drawers = [
        shown(path)
        for path in SOURCES + SCRIPTS
        if NO_NAMES & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]
    assert not drawers, drawers


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
    assert [found.module for found in imports(source, "a.b")] == modules


def test_imports_for_types_are_told_apart() -> None:
    source = "if TYPE_CHECKING:\n    import torch\nelse:\n    torch = optional('torch')"
    assert [found.for_types_only for found in imports(source, "a")] == [True, False]
