"""Runs in its own process: imports the bindings that it is given, writes their contents as JSON.

pybind11 keeps signatures in docstrings only, so the docstrings are written: of every class its
bases and members, of the module its functions and values. `trt_bindings` reads them.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import sys
from types import FunctionType, ModuleType
from typing import Any

bindings = importlib.import_module(sys.argv[1])
BF_GETBUFFER = 1  # CPython's typeslots.h
Entry = dict[str, Any]


def main() -> None:
    classes: dict[str, Entry] = {}
    members: list[Entry] = []
    for name, value in vars(bindings).items():
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if isinstance(value, type):
            collect(value, classes)
        else:
            members.append(described(name, value))
    version = bindings.__version__
    json.dump({"version": version, "classes": classes, "members": members}, sys.stdout)


def collect(cls: type, classes: dict[str, Entry]) -> None:
    if cls.__qualname__ in classes:
        return
    nested = [value for value in vars(cls).values() if isinstance(value, type)]
    classes[cls.__qualname__] = {
        "bases": [base.__qualname__ for base in cls.__bases__ if is_ours(base)],
        "buffer": gives_buffer(cls),
        "enum": {name: int(value) for name, value in getattr(cls, "__members__", {}).items()},
        "members": [described(name, value) for name, value in vars(cls).items()],
    }
    for inner in nested:
        collect(inner, classes)


def described(name: str, value: object) -> Entry:
    entry: Entry = {"name": name}
    if isinstance(value, type):
        return entry | {"kind": "class", "type": value.__qualname__}
    if isinstance(value, property):
        return entry | {
            "kind": "static property" if "static" in type(value).__name__ else "property",
            "readable": value.fget is not None,
            "get": value.fget and value.fget.__doc__,
            "writable": value.fset is not None,
            "set": value.fset and value.fset.__doc__,
        }
    if isinstance(value, staticmethod):
        return entry | {"kind": "static method", "doc": value.__func__.__doc__}
    if isinstance(value, FunctionType):
        return entry | {"kind": "function", "parameters": list(inspect.signature(value).parameters)}
    if is_ours(type(value)):
        return entry | {"kind": "value", "type": type(value).__qualname__, "int": number(value)}
    if callable(value):
        return entry | {"kind": "method", "doc": value.__doc__}
    return entry | {"kind": "other"}


def is_ours(cls: type) -> bool:
    return cls.__module__.startswith(bindings.__name__)


def number(value: Any) -> int | None:
    return int(value) if hasattr(value, "__int__") else None


def gives_buffer(cls: type) -> bool:
    """Whether it has the buffer protocol, which Python 3.11 shows in the type's C slots alone."""
    slot = ctypes.pythonapi.PyType_GetSlot
    slot.argtypes, slot.restype = [ctypes.py_object, ctypes.c_int], ctypes.c_void_p
    return bool(slot(cls, BF_GETBUFFER))


if __name__ == "__main__":
    main()
