"""The real TensorRT Python bindings, as a description: every class, signature, enum value.

    api = describe("11.4.0.106")
    api.classes["IBuilderConfig"].methods["set_flag"]      # its overloads
    api.member("BuilderFlag", "TF32")                       # raises KeyError where there is none

The wheel contains the bindings without TensorRT itself. Empty libraries compiled here replace it,
so that the module imports on a host without a GPU: names, signatures and enum values are the real
ones, and nothing can be run. Wheels and libraries are kept in pytest's cache directory.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import rtx
from kept import ROOT, NotAvailableError, install, kept, output
from trt_signatures import ANY, Signature, overloads, parse

from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, TENSORRT_RTX, Flavour

VERSIONS = ("10.16.1.11", "11.4.0.106")
RTX = rtx.BINDINGS
EVERY = (*VERSIONS, RTX)
CACHE = ROOT / ".pytest_cache" / "tensorrt-bindings"
LEAKED = {"attr", "value", "common_enter", "common_exit"}  # of the module's own set-up code
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
# What the bindings' extension module looks up when it is loaded (TensorRT OSS, python/src).
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
# The dunders that code may rely on; the others are pickling, printing and comparing.
DUNDERS = (
    *("bool", "contains", "enter", "exit", "getitem", "index", "int", "iter", "len", "members"),
    "setitem",
)


@dataclass(frozen=True)
class Property:
    """An attribute with a getter, a setter or both; `accepts` is the setter's type."""

    type: str
    readable: bool
    accepts: str | None
    static: bool = False

    @property
    def writable(self) -> bool:
        return self.accepts is not None


@dataclass(frozen=True)
class ClassApi:
    """One class. `constructors` is empty where only TensorRT itself makes instances."""

    name: str
    bases: tuple[str, ...]
    buffer: bool
    enum: dict[str, int]
    constructors: tuple[Signature, ...] = ()
    methods: dict[str, tuple[Signature, ...]] = field(default_factory=dict)
    properties: dict[str, Property] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)  # class attributes: name to its type
    nested: dict[str, str] = field(default_factory=dict)  # name to the class's qualified name

    @property
    def interface(self) -> bool:
        """Whether Python code may derive from it: an I… with a constructor without parameters."""
        return self.name.startswith("I") and any(not s.parameters for s in self.constructors)

    def members(self) -> set[str]:
        return {*self.enum, *self.methods, *self.properties, *self.values, *self.nested}


@dataclass(frozen=True)
class Api:
    """One version of the bindings. `values` are module attributes (`float32`): name to its type."""

    version: str
    classes: dict[str, ClassApi]
    functions: dict[str, tuple[Signature, ...]]
    values: dict[str, tuple[str, int | None]]

    def ancestry(self, name: str) -> Iterator[ClassApi]:
        """The class and its bases, nearest first."""
        yield self.classes[name]
        for base in self.classes[name].bases:
            yield from self.ancestry(base)

    def member(self, class_name: str, name: str) -> ClassApi:
        """The class that defines the member. KeyError where neither it nor a base has it."""
        for candidate in self.ancestry(class_name):
            if name in candidate.members():
                return candidate
        raise KeyError(f"{class_name}.{name}")

    @property
    def flavour(self) -> Flavour:
        """The row of this library."""
        return TENSORRT_RTX if self.version == RTX else TENSORRT

    def names(self) -> set[str]:
        """The names of the module itself."""
        top = {name for name in self.classes if "." not in name}
        return {*top, *self.functions, *self.values, "__version__"}


@cache
def describe(version: str) -> Api:
    """The contents of the bindings of that version; raises `NotAvailableError`."""
    text = run(version, [str(Path(__file__).with_name("trt_dump.py")), bindings_module(version)])
    raw = json.loads(text)
    if raw["version"] != version:
        raise NotAvailableError(f"requested TensorRT bindings {version}, got {raw['version']}")
    names = raw["classes"].keys()
    functions = {}
    values = {}
    for entry in raw["members"]:
        if entry["name"] in LEAKED:
            continue
        if entry["kind"] in ("method", "function"):
            functions[entry["name"]] = _signatures(entry, names, static=True)
        elif entry["kind"] == "value":
            values[entry["name"]] = (f"trt.{entry['type']}", entry["int"])
    classes = {name: _class(name, entry, names) for name, entry in raw["classes"].items()}
    return Api(version, classes, functions, values)


def bindings_module(version: str) -> str:
    """The Python module of the bindings of that version."""
    return "tensorrt_rtx_bindings" if version == RTX else "tensorrt_bindings"


def run(version: str, arguments: list[str]) -> str:
    """The output of a Python process that can import `bindings_module`, the real one."""
    if version == RTX:  # with its libraries, which load without a GPU
        loaded = [str(path) for path in rtx.libraries()]
        environment = {**rtx.environment(), "LD_PRELOAD": ":".join(loaded)}
        return output([sys.executable, *arguments], "run TensorRT-RTX's bindings", environment)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LD_LIBRARY_PATH": str(libraries(version.partition(".")[0])),
        "PYTHONPATH": str(bindings(version)),
    }
    command = [sys.executable, *arguments]
    return output(command, f"run TensorRT's bindings {version}", environment)


def _class(name: str, raw: dict[str, Any], names: Any) -> ClassApi:
    result = ClassApi(name, tuple(raw["bases"]), raw["buffer"], raw["enum"])
    constructors: tuple[Signature, ...] = ()
    for entry in raw["members"]:
        member, kind = entry["name"], entry["kind"]
        if member == "__init__":
            constructors = _signatures(entry, names)
        elif member.startswith("_") and member.strip("_") not in DUNDERS:
            continue
        elif kind in ("method", "static method", "function"):
            result.methods[member] = _signatures(entry, names, static=kind == "static method")
        elif kind in ("property", "static property"):
            result.properties[member] = _property(entry, names)
        elif kind == "class":
            result.nested[member] = entry["type"]
        elif kind == "value" and member not in raw["enum"]:
            result.values[member] = f"trt.{entry['type']}"
    return ClassApi(**{**vars(result), "constructors": constructors})


def _signatures(
    entry: dict[str, Any], names: Any, *, static: bool = False
) -> tuple[Signature, ...]:
    if entry["kind"] == "function":  # a Python function: names without types
        own = entry["parameters"] if static else entry["parameters"][1:]
        line = f"({'' if static else 'self, '}{', '.join(own)}) -> {ANY}"
        return (parse(line, names, static=static),)
    lines = overloads(entry["doc"], entry["name"])
    return tuple(parse(line, names, static=static) for line in lines)


def _property(entry: dict[str, Any], names: Any) -> Property:
    kind, accepts = ANY, None
    if entry["get"]:
        line = entry["get"].strip().splitlines()[0]
        kind = parse(line[line.index("(") :], names, static=True).returns
    if entry["writable"]:
        accepts = ANY
        if entry["set"]:
            accepts = parse(entry["set"].strip().splitlines()[0], names).parameters[0].type
    return Property(kind, entry["readable"], accepts, entry["kind"] == "static property")


def bindings(version: str) -> Path:
    """The folder with `tensorrt_bindings` of that version; pip installs it where it is missing."""
    wheel = f"tensorrt-cu13-bindings=={version}"
    return kept(
        CACHE, f"{version}-{sys.implementation.cache_tag}", lambda folder: install(folder, wheel)
    )


def libraries(major: str) -> Path:
    """The folder with the empty libraries that the bindings of that major version link with."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    compiler = next((name for name in compilers if name and shutil.which(name)), None)

    def build(folder: Path) -> None:
        if compiler is None:
            raise NotAvailableError(
                "TensorRT's contract tests need a C compiler (cc, gcc or clang)"
            )
        source = folder / "empty.c"
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in SYMBOLS))
        for name in LIBRARIES:
            target = folder / f"lib{name}.so.{major}"
            output(
                [compiler, "-shared", "-fPIC", "-o", str(target), str(source)], f"compile {name}"
            )

    return kept(CACHE, f"libraries-{major}", build)
