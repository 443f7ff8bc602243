"""Every TensorRT name, argument and type in our sources exists in the real bindings, all three.

The names in our code are read from its AST, those that exist from the wheels: no list is kept by
hand, and no name may be missing from either version.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import this_run
import trt_bindings
from kept import NotAvailableError
from this_run import made_once
from trt_bindings import EVERY, RTX, VERSIONS, Api, describe
from trt_mypy import Message, check
from trt_sources import (
    Access,
    Module,
    accesses,
    chains,
    dynamic_names,
    misspell,
    tensorrt_alias,
    tensorrt_modules,
    unknown,
    with_misspelt_access,
    with_misspelt_chain,
)
from trt_stubs import write_stubs

from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

MODULES = tensorrt_modules()
RTX_MODULES = tensorrt_modules(TENSORRT_RTX.module)
CHAINS = sorted({(m, name) for m in MODULES for name in chains(m.tree, m.alias)}, key=str)
MUST_USE = ("convert/resnet_convert/tensorrt/engine.py", "resnet_serve/runtimes/tensorrt.py")
SAMPLE = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt
else:
    trt = optional("tensorrt", extra="tensorrt")

def f(config: trt.IBuilderConfig) -> None:
    config.set_flag(trt.BuilderFlag.TF32)
    trt.Logger(trt.Logger.Severity.ERROR)
    print(f"{trt.float32.itemsize}")
"""
PREFIX = """
import tensorrt as trt

def probe(
    builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig,
    context: trt.IExecutionContext, engine: trt.ICudaEngine, profile: trt.IOptimizationProfile,
    parser: trt.OnnxParser, runtime: trt.Runtime, tensor: trt.ITensor,
) -> None:
    """
# Each line is one function's body; the first kind must pass, the second must be refused.
ACCEPTED = (
    "profile.set_shape('image', (1, 3, 2, 2), [2, 3, 2, 2], trt.Dims((4, 3, 2, 2)))",
    "builder.create_network(flags=1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))",
    "config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED",
    "config.progress_monitor = None",
    "plan: bytes = bytes(builder.build_serialized_network(network, config) or b'')",
    "shape: tuple[int, ...] = tuple(context.get_tensor_shape('image'))",
    "runtime.deserialize_cuda_engine(b'plan')",
    "parser.parse(b'', path='model.onnx')",
    "version: str = trt.__version__",
)
REFUSED = (
    ("trt.Bulider(trt.Logger())", 'no attribute "Bulider"'),
    ("config.set_flg(trt.BuilderFlag.TF32)", 'no attribute "set_flg"'),
    ("config.set_flag(trt.BuilderFlag.FP16X)", 'no attribute "FP16X"'),
    ("config.set_flag(7)", "incompatible type"),
    ("config.set_flag()", "Missing positional argument"),
    ("config.set_flag(trt.BuilderFlag.TF32, True)", "Too many arguments"),
    ("builder.create_network(flag=1)", "Unexpected keyword argument"),
    ("builder.create_network(1.0)", "incompatible type"),
    ("context.set_tensor_address('image', 'address')", "incompatible type"),
    ("context.execute_async_v3()", "Missing positional argument"),
    ("config.num_optimization_profiles = 2", "read-only"),
    ("config.builder_optimization_level = 'three'", "Incompatible types in assignment"),
    ("profile.set_shape('image', 1, 2, 3)", "incompatible type"),
    ("trt.IBuilderConfig()", "Too few arguments"),
    ("bytes(builder.build_serialized_network(network, config))", "IHostMemory | None"),
    ("engine.create_execution_context().infer_shapes()", 'Item "None"'),
    ("trt.OnnxParser(trt.Logger(), network)", "incompatible type"),
    ("trt.Logger(trt.BuilderFlag.TF32)", "incompatible type"),
)
# What one major has and the other has not: the descriptions are two, and real.
ONLY_10 = (
    "tensor.dtype = trt.float16",
    "config.set_flag(trt.BuilderFlag.FP16)",
    "trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "engine.device_memory_size",
)


@pytest.fixture(scope="session", params=EVERY)
def api(request: pytest.FixtureRequest) -> Api:
    """The bindings of TensorRT 10 and 11, and of TensorRT-RTX."""
    return describe(request.param)


def test_the_modules_that_use_tensorrt_are_found() -> None:
    found = {str(module) for module in MODULES}
    assert found >= set(MUST_USE)
    assert tensorrt_alias(SAMPLE) == "trt"
    assert tensorrt_alias("rt = optional('tensorrt', extra='x')") == "rt"
    assert tensorrt_alias("import torch") is None
    with pytest.raises(ValueError, match="import tensorrt as trt"):
        tensorrt_alias("from tensorrt import Builder")


def test_the_chains_of_a_sample() -> None:
    assert set(chains(ast.parse(SAMPLE), "trt")) == {
        "IBuilderConfig",
        "BuilderFlag.TF32",
        "Logger",
        "Logger.Severity.ERROR",
        "float32.itemsize",
    }


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_name_exists_in_the_bindings(module: Module, api: Api) -> None:
    missing = {n: u for n in chains(module.tree, module.alias) if (u := unknown(n, api))}
    assert not missing, f"{module} names what TensorRT {api.version} does not have"


@pytest.mark.parametrize("module", RTX_MODULES, ids=str)
def test_what_only_rtx_has_exists_there_and_nowhere_else(module: Module) -> None:
    names = chains(module.tree, module.alias)
    assert names
    assert not {name: missing for name in names if (missing := unknown(name, describe(RTX)))}
    for version in VERSIONS:
        there = [name for name in names if not unknown(name, describe(version))]
        assert set(names) - set(there), f"TensorRT {version} has all of it"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_name_is_built_at_run_time(module: Module) -> None:
    """No test could check what `getattr(trt.BuilderFlag, name)` needs."""
    assert dynamic_names(module.tree, module.alias) == []


@pytest.mark.parametrize(("module", "name"), CHAINS, ids=[f"{m.path.stem}-{n}" for m, n in CHAINS])
def test_a_misspelt_name_is_found(module: Module, name: str, api: Api) -> None:
    copy = ast.parse(with_misspelt_chain(module.source, module.alias, name))
    wrong = {n for n in chains(copy, module.alias) if unknown(n, api)}
    head, dot, last = name.rpartition(".")
    expected = f"{head}{dot}{misspell(last)}"
    assert wrong == {n for n in wrong if n == expected or n.startswith(f"{expected}.")} != set()


@dataclass(frozen=True)
class Checked:
    """mypy's lines, of one run, on our modules, their broken copies and the probes."""

    said: Mapping[Path, list[Message]]
    copies: Mapping[Path, tuple[Module, Access]]
    probes: Mapping[str, Path]
    stub: Path

    def errors(self, path: Path) -> list[str]:
        return [str(m) for m in self.said.get(path.resolve(), []) if m.kind == "error"]

    def of_probe(self, body: str) -> list[str]:
        return self.errors(self.probes[body])


@pytest.fixture(scope="session")
def checked(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    folder = tmp_path_factory.mktemp(f"tensorrt-{api.version}").resolve()
    return Checked(*made_once("mypy", api.version, lambda: _checked(api, folder)))


def _checked(
    api: Api, folder: Path
) -> tuple[
    Mapping[Path, list[Message]],
    Mapping[Path, tuple[Module, Access]],
    Mapping[str, Path],
    Path,
]:
    stubs = write_stubs(api, folder / "stubs")
    names = {name for described in api.classes.values() for name in described.members()}
    copies: dict[Path, tuple[Module, Access]] = {}
    for module in MODULES:
        for access in accesses(module.source, module.alias):
            if access.attribute in names:
                copy = folder / f"copy_{len(copies)}_of_{module.path.stem}.py"
                text = with_misspelt_access(module.source, module.alias, access)
                copy.write_text(text, encoding="utf-8")
                copies[copy] = (module, access)
    probes: dict[str, Path] = {}
    for body in (*ACCEPTED, *(body for body, _ in REFUSED), *ONLY_10):
        probes[body] = folder / f"probe_{len(probes)}.py"
        probes[body].write_text(f"{PREFIX}{body}\n", encoding="utf-8")
    files = [*(module.path for module in MODULES), *copies, *probes.values()]
    said = check(stubs, files, folder, this_run.folder() / "mypy-cache")
    return said, copies, probes, stubs / "tensorrt" / "__init__.pyi"


def test_the_stubs_have_no_hole(checked: Checked) -> None:
    """A name that is missing in the stubs would be Any, and everything would pass."""
    assert checked.errors(checked.stub) == []


@pytest.mark.parametrize("body", ACCEPTED)
def test_right_use_is_accepted(body: str, checked: Checked) -> None:
    assert checked.of_probe(body) == []


@pytest.mark.parametrize(("body", "reason"), REFUSED)
def test_wrong_use_is_refused(body: str, reason: str, checked: Checked) -> None:
    assert any(reason in error for error in checked.of_probe(body)), checked.of_probe(body)


@pytest.mark.parametrize("body", ONLY_10)
def test_what_tensorrt_11_removed_is_gone(body: str, api: Api, checked: Checked) -> None:
    assert bool(checked.of_probe(body)) == (not api.version.startswith("10."))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_our_code_type_checks_against_the_bindings(module: Module, checked: Checked) -> None:
    errors = checked.errors(module.path)
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_misspelt_attribute_is_reported(module: Module, checked: Checked, api: Api) -> None:
    """Every attribute that has a TensorRT name, one copy of the source for each.

    mypy cannot report what it sees as Any. For names that no other library would have, that is a
    hole in our annotations and fails here.
    """
    unseen, proved = [], set()
    for copy, (origin, access) in checked.copies.items():
        if origin != module:
            continue
        wrong = f'has no attribute "{misspell(access.attribute)}"'
        reports = [error for error in checked.errors(copy) if wrong in error]
        proved |= {access.attribute for report in reports if _of_tensorrt(report, api)}
        if not reports and "_" in access.attribute:
            unseen.append(f"line {access.line}: .{access.attribute} is taken from something Any")
    # What a module has of TensorRT-RTX alone is Any without it.
    if api.version == RTX or module.path not in {each.path for each in RTX_MODULES}:
        assert not unseen
    if str(module) in MUST_USE:
        assert len(proved) >= 5, f"hardly anything of {module} is checked: {sorted(proved)}"


def _of_tensorrt(report: str, api: Api) -> bool:
    return any(f'"{name}"' in report for name in api.classes)


def test_the_versions_are_the_two_that_we_promise() -> None:
    assert [version.partition(".")[0] for version in VERSIONS] == ["10", "11"]


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trt_bindings, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(NotAvailableError, match="need a C compiler"):
        trt_bindings.libraries("11")


def test_a_missing_wheel_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trt_bindings, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(NotAvailableError, match=r"cannot install the wheel .*==11\.4\.0\.106"):
        trt_bindings.bindings("11.4.0.106")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Logger.WARNING", None),
        ("Logger.Severity.WARNING", None),
        ("ILogger.__init__", None),
        ("BuilderFlag.TF32.name", None),
        ("BuilderFlag.__members__", None),
        ("float32.itemsize", None),
        ("__version__.split", None),
        ("Builder.create_network", None),
        ("Loger.WARNING", "Loger"),
        ("Logger.Severity.WARN", "Logger.Severity.WARN"),
        ("BuilderFlag.TF32.nmae", "BuilderFlag.TF32.nmae"),
        ("float32.itemsiez", "float32.itemsiez"),
        ("__version__.spilt", "__version__.spilt"),
        ("IBuilderConfig.__init__", "IBuilderConfig.__init__"),
    ],
)
def test_what_a_chain_lacks(line: str, problem: str | None, api: Api) -> None:
    assert unknown(line, api) == problem
