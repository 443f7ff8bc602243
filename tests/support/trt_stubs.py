"""The bindings' description as a stub package `tensorrt`, to check our code with mypy.

    write_stubs(describe("10.16.1.11"), folder)     # then mypy with MYPYPATH=folder

The types are those of the docstrings, with three things that are not in them: what pybind11
converts (a tuple is accepted as a Dims), that a float is never accepted as an int, and which calls
return None when TensorRT fails, so that code which does not check for it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from trt_bindings import Api, ClassApi, Property
from trt_signatures import ANY, Parameter, Signature

# py::implicitly_convertible<…> in TensorRT OSS, python/src: infer/pyFoundationalTypes.cpp and
# infer/pyGraph.cpp.
_INTEGERS = "_collections_abc.Sequence[_typing.SupportsIndex]"
CONVERTED = {
    "trt.Dims": _INTEGERS,
    "trt.Dims2": _INTEGERS,
    "trt.DimsHW": _INTEGERS,
    "trt.Dims3": _INTEGERS,
    "trt.Dims4": _INTEGERS,
    "trt.Permutation": _INTEGERS,
    "trt.Weights": ANY,  # numpy.ndarray
}
# Documented to return None (TensorRT Python API, the classes' pages).
NULLABLE = {
    "Builder.build_serialized_network",
    "Builder.build_engine_with_config",
    "IBuilderConfig.get_timing_cache",
    "ICudaEngine.create_execution_context",
    "Runtime.deserialize_cuda_engine",
}
_HEADER = '''"""TensorRT {version}, as its Python bindings describe themselves."""
import builtins as _builtins
import collections.abc as _collections_abc
import tensorrt as _trt
import typing as _typing
import typing_extensions as _typing_extensions

__version__: _builtins.str
'''
_BUILTIN = re.compile(r"(?<![\w.])(int|float|bool|str|bytes|list|tuple|dict|slice|object)\b")
_MODULE = re.compile(r"(?<![\w.])(collections\.abc|typing_extensions|typing|trt)(?=\.)")


def write_stubs(api: Api, folder: Path) -> Path:
    """Write `folder/tensorrt/__init__.pyi`; returns the folder, for MYPYPATH."""
    package = folder / "tensorrt"
    package.mkdir(parents=True)
    (package / "__init__.pyi").write_text("\n".join(_module(api)) + "\n", encoding="utf-8")
    own = api.flavour.module
    if own != "tensorrt":  # the same classes by their own name
        (folder / own).mkdir()
        (folder / own / "__init__.pyi").write_text("from tensorrt import *\n", encoding="utf-8")
    return folder


def _module(api: Api) -> Iterator[str]:
    yield _HEADER.format(version=api.version)
    for name, (kind, _) in api.values.items():
        yield f"{name}: {_result(kind)}"
    for name, signatures in api.functions.items():
        yield from _function(name, signatures, where=None)
    for name in api.classes:
        if "." not in name:
            yield from _class(api, api.classes[name])


def _class(api: Api, described: ClassApi) -> Iterator[str]:
    name = described.name
    bases = f"({', '.join(f'_trt.{base}' for base in described.bases)})" if described.bases else ""
    yield f"class {name.rpartition('.')[2]}{bases}:"
    yield from (f"    {line}" for line in _body(api, described))


def _body(api: Api, described: ClassApi) -> Iterator[str]:
    yield "__slots__ = ()"
    for name, target in described.nested.items():
        if target == f"{described.name}.{name}":
            yield from _class(api, api.classes[target])
        else:
            yield f"{name} = _trt.{target}"
    for name in described.enum:
        yield f"{name}: _typing.ClassVar[_trt.{described.name}]"
    for name, kind in described.values.items():
        yield f"{name}: _typing.ClassVar[{_result(kind)}]"
    if described.constructors:
        yield from _function("__init__", described.constructors, described)
    else:
        yield "def __init__(self, no_constructor_defined: _typing.Never, /) -> None: ..."
    for name, signatures in described.methods.items():
        yield from _function(name, signatures, described)
    if "__getitem__" in described.methods and "__iter__" not in described.methods:
        item = _result(described.methods["__getitem__"][0].returns)
        yield f"def __iter__(self) -> _collections_abc.Iterator[{item}]: ..."
    if described.buffer:
        yield "def __buffer__(self, flags: _builtins.int, /) -> _builtins.memoryview: ..."
    for name, attribute in described.properties.items():
        yield from _property(name, attribute)


def _function(
    name: str, signatures: tuple[Signature, ...], where: ClassApi | None
) -> Iterator[str]:
    for signature in signatures:
        if len(signatures) > 1:
            yield "@_typing.overload"
        if where is not None and signature.static:
            yield "@_builtins.staticmethod"
        # What Python code overrides is called with plain ints.
        plain = where is not None and where.interface
        parameters = [] if signature.static else ["self"]
        for index, parameter in enumerate(signature.parameters):
            default = " = ..." if parameter.optional else ""
            parameters.append(f"{parameter.name}: {_argument(parameter, plain=plain)}{default}")
            rest = signature.parameters[index + 1 :]
            if parameter.positional_only and not any(p.positional_only for p in rest):
                parameters.append("/")
        returns = _result(signature.returns)
        if where is not None and f"{where.name}.{name}" in NULLABLE:
            returns += " | None"
        yield f"def {name}({', '.join(parameters)}) -> {returns}: ..."


def _property(name: str, attribute: Property) -> Iterator[str]:
    if attribute.static:
        yield f"{name}: _typing.ClassVar[{_result(attribute.type)}]"
        return
    yield "@_builtins.property"
    readable = _result(attribute.type) if attribute.readable else "_typing.NoReturn"
    yield f"def {name}(self) -> {readable}: ..."
    if attribute.accepts is not None:
        yield f"@{name}.setter"
        # A null pointer takes an allocator, a monitor or a recorder away again.
        null = " | None" if re.match(r"trt\.I[A-Z]", attribute.accepts) else ""
        value = _argument(Parameter("value", attribute.accepts, False, True), plain=False)
        yield f"def {name}(self, value: {value}{null}, /) -> None: ..."


def _argument(parameter: Parameter, *, plain: bool) -> str:
    text = parameter.type
    # pybind11 converts an object with __index__ and refuses a float.
    text = text.replace("typing.SupportsInt", "int" if plain else "typing.SupportsIndex")
    if plain:
        text = text.replace("typing.SupportsFloat", "float")
    text = text.replace("typing_extensions.CapsuleType", ANY).replace("numpy.ndarray", ANY)
    converted = CONVERTED.get(text)
    return f"{_names(text)} | {_names(converted)}" if converted else _names(text)


def _result(text: str) -> str:
    for unknown in ("typing_extensions.CapsuleType", "numpy.ndarray", "object"):
        text = re.sub(rf"(?<![\w.]){re.escape(unknown)}\b", ANY, text)
    return _names(text)


def _names(text: str) -> str:
    """The same type by names that no member of a stub hides (`trt.bool` is a DataType)."""
    text = _BUILTIN.sub(r"_builtins.\1", text)
    return _MODULE.sub(lambda match: "_" + match[1].replace(".", "_"), text)
