"""Which Python values the bindings accept for each of their types, and what a double returns.

pybind11 checks each argument against the parameter's type and refuses the call when one does not
fit. These are its rules, as far as our code needs them: an int is what has `__index__` or `__int__`
and is not a float, a Dims is also any sequence of ints, an enum is only that enum.
"""

from __future__ import annotations

import ast
import collections.abc
import re
from functools import cache
from typing import Any, Protocol

import numpy as np
from trt_stubs import CONVERTED

SEQUENCES = {name.removeprefix("trt.") for name, to in CONVERTED.items() if "SupportsIndex" in to}
_NEUTRAL: dict[str, Any] = {
    "bool": True,
    "int": 0,
    "float": 0.0,
    "str": "",
    "bytes": b"",
    "tuple": (),
    "typing_extensions.Buffer": b"",
}


class World(Protocol):
    """The classes of one double, by their names in the bindings."""

    classes: dict[str, Any]

    def new(self, name: str, content: Any = None) -> Any: ...

    def nullable(self, name: str) -> bool: ...


def accepts(text: str, value: object, world: World) -> bool:
    """Whether pybind11 accepts the value where a docstring has this type."""
    return _accepts(_parsed(text), value, world)


def _accepts(node: ast.expr, value: Any, world: World) -> bool:
    if isinstance(node, ast.BinOp):
        return _accepts(node.left, value, world) or _accepts(node.right, value, world)
    inner = node.slice if isinstance(node, ast.Subscript) else None
    name = ast.unparse(node.value if isinstance(node, ast.Subscript) else node)
    if name.startswith("trt."):
        return _accepts_object(name.removeprefix("trt."), value, world)
    if name in ("collections.abc.Sequence", "list"):
        if not isinstance(value, collections.abc.Sequence) or isinstance(value, (str, bytes)):
            return False
        return inner is None or all(_accepts(inner, item, world) for item in value)
    return _accepts_plain(name, value)


def _accepts_object(name: str, value: Any, world: World) -> bool:
    if value is None:
        return world.nullable(name)
    if isinstance(value, world.classes[name]):
        return True
    if name in SEQUENCES:
        return _accepts(_parsed("list[int]"), value, world)
    return name == "Weights" and isinstance(value, np.ndarray)


def _accepts_plain(name: str, value: Any) -> bool:
    match name:
        case "None":
            return value is None
        case "bool":
            return isinstance(value, (bool, np.bool_))
        case "int" | "typing.SupportsInt":
            number = hasattr(value, "__index__") or hasattr(value, "__int__")
            return number and not isinstance(value, (float, np.floating, str))
        case "float" | "typing.SupportsFloat":
            return hasattr(value, "__float__") or hasattr(value, "__index__")
        case "str":
            return isinstance(value, (str, bytes))
        case "typing_extensions.Buffer":
            try:
                memoryview(value)
            except TypeError:
                return False
            return True
        case "bytes" | "tuple" | "dict" | "slice":
            kinds = {"bytes": bytes, "tuple": tuple, "dict": dict, "slice": slice}
            return isinstance(value, kinds[name])
    return True


def neutral(text: str, world: World) -> Any:
    """What a double returns without a behaviour: success, an empty value, or a new double."""
    node = _parsed(text)
    while isinstance(node, ast.BinOp):
        node = node.left
    name = ast.unparse(node.value if isinstance(node, ast.Subscript) else node)
    if name.startswith("trt."):
        cls = world.classes[name.removeprefix("trt.")]
        members = getattr(cls, "__members__", None)
        return next(iter(members.values())) if members else world.new(name.removeprefix("trt."))
    return [] if name == "list" else _NEUTRAL.get(name)


def shaped(text: str, value: Any, world: World) -> Any:
    """A test's value as the bindings return it: a tuple as a Dims, bytes as an IHostMemory."""
    within = re.fullmatch(r"list\[(.*)\]", text)
    if within and isinstance(value, (list, tuple)):
        return [shaped(within[1], item, world) for item in value]
    name = text.removeprefix("trt.")
    if name in SEQUENCES and isinstance(value, (tuple, list)):
        return world.new(name, value)
    if isinstance(value, bytes) and issubclass(world.classes.get(name, object), bytearray):
        return world.new(name, value)
    return value


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
