"""The signatures in pybind11's docstrings, as data.

    parse("set_flag(self: tensorrt_bindings.tensorrt.IBuilderConfig, flag: …) -> None", classes)

Types are Python expressions in which the bindings' own classes are `trt.<name>`; C++ names that
leaked into a docstring (`nvinfer1::ICudaEngine`) become the Python class or, unknown, `typing.Any`.
"""

from __future__ import annotations

import ast
import contextlib
import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass

ANY = "typing.Any"
_UNNAMED = re.compile(r"arg\d+$")
_PREFIX = re.compile(r"\btensorrt(?:_rtx)?_bindings\.tensorrt(?:_rtx)?\.")
_CPP = re.compile(r"\b\w+(?:::\w+)+(?:<[^()]*>)?")
_DEFAULT = re.compile(r"= <[^>]*>")
_KEYWORD = re.compile(rf"([(,] ?)({'|'.join(keyword.kwlist)}):")  # `in`: C++ has no such keyword


@dataclass(frozen=True)
class Parameter:
    """One parameter besides self. pybind11 knows no keyword for the unnamed: positional only."""

    name: str
    type: str
    optional: bool
    positional_only: bool


@dataclass(frozen=True)
class Signature:
    """One overload; `static` has no self."""

    parameters: tuple[Parameter, ...]
    returns: str
    static: bool = False

    def __str__(self) -> str:
        shown = (f"{p.name}: {p.type}{' = ...' if p.optional else ''}" for p in self.parameters)
        return f"({', '.join(shown)}) -> {self.returns}"


def overloads(doc: str | None, name: str) -> list[str]:
    """The signature lines of a docstring, without the name: one, or those numbered "1. name(…"."""
    found = re.findall(rf"^(?:\d+\. )?{re.escape(name)}(\(.*\) -> .*)$", doc or "", re.MULTILINE)
    return [line for line in found if line != "(*args, **kwargs) -> None"]


def parse(line: str, classes: Collection[str], *, static: bool = False) -> Signature:
    """Read "(self: A, x: B = 3) -> C". Raises ValueError when it is not such a line."""
    text = _CPP.sub(lambda match: _from_cpp(match[0], classes), line.strip())
    text = _KEYWORD.sub(r"\1\2_:", _PREFIX.sub("trt.", _DEFAULT.sub("= ...", text)))
    function = _function(text)
    if function is None or function.returns is None:
        raise ValueError(f"a signature of the bindings that nobody can read: {line}")
    arguments = [*function.args.posonlyargs, *function.args.args]
    defaults = [None] * (len(arguments) - len(function.args.defaults)) + function.args.defaults
    parameters = tuple(
        Parameter(
            name=argument.arg,
            type=_type(argument.annotation, default),
            optional=default is not None,
            positional_only=bool(_UNNAMED.match(argument.arg))
            or argument in function.args.posonlyargs,
        )
        for argument, default in zip(arguments, defaults, strict=True)
    )
    return Signature(parameters[0 if static else 1 :], ast.unparse(function.returns), static)


def _function(text: str) -> ast.FunctionDef | None:
    # C++ may have a default in front of a parameter without one, where it has no effect.
    for candidate in (text, re.sub(r" = [^,)]*", "", text)):
        with contextlib.suppress(SyntaxError):
            found = ast.parse(f"def f{candidate}: ...").body[0]
            return found if isinstance(found, ast.FunctionDef) else None
    return None


def _type(annotation: ast.expr | None, default: ast.expr | None) -> str:
    text = ANY if annotation is None else ast.unparse(annotation)
    none = isinstance(default, ast.Constant) and default.value is None
    return f"{text} | None" if none else text


def _from_cpp(name: str, classes: Collection[str]) -> str:
    last = re.sub(r"<.*", "", name).split("::")[-1]
    # The bindings drop the I of what is no interface in Python: nvinfer1::IBuilder is Builder.
    for candidate in (last, last.removeprefix("I")):
        if candidate in classes:
            return f"trt.{candidate}"
    return ANY
