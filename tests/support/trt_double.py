"""A recording double of `tensorrt`: the bindings' classes, signatures and numbers, and no GPU.

    double = Double(describe("11.4.0.106"), {
        "OnnxParser.parse": False,                             # what a method returns, always
        "ICudaEngine.get_tensor_name": lambda self, i: "image",  # or what it does, self first
        "ICudaEngine.num_io_tensors": 2,                       # a property
        "ITensor.shape": (-1, 3, 224, 224),                    # given out as a Dims
        "Builder.build_serialized_network": b"plan",           # given out as an IHostMemory
        "Builder.__init__": no_gpu,                            # a constructor that raises
    })
    with installed(double):
        ...                                                    # our modules now use the double
    double.order("IBuilderConfig.add_optimization_profile", "Builder.build_serialized_network")
    double.each("IExecutionContext.set_input_shape", "IExecutionContext.execute_async_v3")
    assert double.named("IBuilderConfig.set_flag")[0].arguments["flag"] == double.module.…

Without a behaviour a call succeeds: it returns True, 0, "", [], or a double of the annotated class.
There are no names that the real bindings of that version do not have, and a behaviour for such a
name is refused. `double.new("ICudaEngine")` makes an object that only TensorRT could.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
from trt_bindings import Api
from trt_classes import Bound, Buffer, State, bind, make_class
from trt_signatures import Signature
from trt_values import accepts, neutral, shaped

OURS = ("resnet_serve", "resnet_convert", "resnet_client")
# What the bindings do in Python: numpy's type of a DataType, and its size in bytes.
_NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}
_HALVES = {"BF16": 2, "FP8": 1, "INT4": 0.5, "FP4": 0.5}


@dataclass(frozen=True)
class Call:
    """One call, or one property that was set: `arguments` by the bindings' own parameter names."""

    cls: str
    method: str
    arguments: dict[str, Any]
    on: Any

    @property
    def name(self) -> str:
        return f"{self.cls}.{self.method}" if self.cls else self.method

    @property
    def args(self) -> tuple[Any, ...]:
        return tuple(self.arguments.values())


class Double:
    """See the module. `module` replaces `tensorrt`; `calls` are recorded in order."""

    def __init__(self, api: Api, behaviours: Mapping[str, Any] | None = None) -> None:
        self.api = api
        self.calls: list[Call] = []
        self.classes: dict[str, Any] = {}
        self.behaviours = {
            "nptype": _nptype,
            "volume": math.prod,
            "DataType.itemsize": _itemsize,
        } | dict(behaviours or {})
        for name in self.behaviours:
            self._must_exist(name)
        for name in api.classes:
            self._class(name)
        self.module = self._module()

    def new(self, name: str, content: Any = None) -> Any:
        """An object as TensorRT returns it; `content` is that of a Dims or a buffer."""
        made = self.classes[name].__new__(self.classes[name])
        made._state = State(content=() if content is None else tuple(content))
        if isinstance(made, Buffer):
            bytearray.__init__(made, content or b"")
        return made

    def named(self, name: str) -> list[Call]:
        """The calls of one method, constructor (`Builder.__init__`) or setter, in their order."""
        return [self.calls[place] for place in self._places(name)]

    def order(self, *names: str) -> None:
        """Assert that all of these were called, every call of one before the first of the next."""
        places = {name: self._places(name) for name in names}
        for name, found in places.items():
            assert found, f"{name} was never called"
        for before, after in itertools.pairwise(names):
            assert max(places[before]) < min(places[after]), f"{before} came after {after}"

    def each(self, first: str, then: str) -> None:
        """Assert that there is a `first` before each `then`, and after the `then` before it."""
        since, found = -1, self._places(then)
        assert found, f"{then} was never called"
        for place in found:
            assert any(since < p < place for p in self._places(first)), f"{then} without {first}"
            since = place

    def _places(self, name: str) -> list[int]:
        self._must_exist(name)
        owner, _, member = name.rpartition(".")
        if owner and member != "__init__":  # a call is recorded under the class that defines it
            name = f"{self.api.member(owner, member).name}.{member}"
        return [place for place, call in enumerate(self.calls) if call.name == name]

    def nullable(self, name: str) -> bool:
        """Whether a null pointer may stand for the class: monitors and allocators can be unset."""
        return self.api.classes[name].interface and name != "ILogger"

    def answer(self, owner: str, name: str, self_: Any, call: Bound, returns: str) -> Any:
        """Record a call and return what its behaviour returns, or a neutral result."""
        if not name.startswith("__") or name == "__init__":
            self.calls.append(Call(owner, name, call.arguments, self_))
        key = self._key(owner, name, self_)
        if key is not None:
            behaviour = self.behaviours[key]
            if not callable(behaviour):
                return self._checked(key, behaviour, returns)
            first = () if self_ is None else (self_,)
            return self._checked(key, behaviour(*first, *call.args, **call.kwargs), returns)
        if name == "__getitem__":
            raise IndexError("the double of a collection is empty")
        return neutral(returns, self)

    def read(self, owner: str, name: str, self_: Any, kind: str) -> Any:
        values = self_._state.values
        if name in values:
            return values[name]
        key = self._key(owner, name, self_)
        if key is not None:
            behaviour = self.behaviours[key]
            return self._checked(key, behaviour(self_) if callable(behaviour) else behaviour, kind)
        if name == "nbytes" and isinstance(self_, Buffer):
            return memoryview(self_).nbytes
        return values.setdefault(name, neutral(kind, self))

    def wrote(self, owner: str, name: str, self_: Any, value: Any) -> None:
        self.calls.append(Call(owner, name, {"value": value}, self_))
        self_._state.values[name] = value

    def _key(self, owner: str, name: str, self_: Any) -> str | None:
        if not owner:
            return name if name in self.behaviours else None
        start = owner if self_ is None else type(self_)._described
        keys = (f"{described.name}.{name}" for described in self.api.ancestry(start))
        return next((key for key in keys if key in self.behaviours), None)

    def _checked(self, key: str, value: Any, kind: str) -> Any:
        result = shaped(kind, value, self)
        if result is not None and not accepts(kind, result, self):
            raise TypeError(f"the behaviour of {key} answers {value!r}; the bindings: {kind}")
        return result

    def _must_exist(self, key: str) -> None:
        owner, dot, name = key.rpartition(".")
        if not dot:
            known = key in self.api.functions
        elif owner not in self.api.classes:
            known = False
        elif name == "__init__":
            known = bool(self.api.classes[owner].constructors)
        else:
            known = any(
                name in described.methods or name in described.properties
                for described in self.api.ancestry(owner)
            )
        if not known:
            raise ValueError(f"TensorRT {self.api.version} has no {key}")

    def _class(self, name: str) -> type:
        if name not in self.classes:
            described = self.api.classes[name]
            bases = tuple(self._class(base) for base in described.bases)
            self.classes[name] = made = make_class(described, bases, self)
            for inner, target in described.nested.items():
                setattr(made, inner, self._class(target))
            for attribute, kind in described.values.items():
                members = self._class(kind.removeprefix("trt.")).__members__  # type: ignore[attr-defined]
                setattr(made, attribute, members[attribute])
        made = self.classes[name]
        assert isinstance(made, type)
        return made

    def _module(self) -> ModuleType:
        module = ModuleType("tensorrt", f"A double of TensorRT {self.api.version}.")
        vars(module)["__version__"] = self.api.version
        # Without it, a check whether TensorRT is installed (torch makes one) raises ValueError.
        module.__spec__ = ModuleSpec("tensorrt", None)
        for name, cls in self.classes.items():
            if "." not in name:
                setattr(module, name, cls)
        for name, signatures in self.api.functions.items():
            setattr(module, name, self._function(name, signatures))
        for name, (kind, number) in self.api.values.items():
            setattr(module, name, self.classes[kind.removeprefix("trt.")](number))
        return module

    def _function(self, name: str, signatures: tuple[Signature, ...]) -> Any:
        def function(*args: Any, **kwargs: Any) -> Any:
            call = bind(name, signatures, args, kwargs, self)
            return self.answer("", name, None, call, call.returns)

        return function


def _nptype(trt_type: Any) -> Any:
    if trt_type.name not in _NUMPY:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return _NUMPY[trt_type.name]


def _itemsize(trt_type: Any) -> float:
    if trt_type.name in _NUMPY:
        return np.dtype(_NUMPY[trt_type.name]).itemsize
    return _HALVES[trt_type.name]


@contextmanager
def installed(double: Double) -> Iterator[Double]:
    """Within it, `import tensorrt`, its flavour's own module and our modules'
    `optional("tensorrt")` give the double.
    """
    names = {"tensorrt", double.api.flavour.module}
    before = {name: sys.modules.get(name) for name in names}
    kept = [(stand_in, vars(stand_in)["_module"]) for stand_in in _stand_ins()]
    sys.modules |= dict.fromkeys(names, double.module)
    for stand_in, _ in kept:
        stand_in._module = None
    try:
        yield double
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
        for stand_in in _stand_ins():  # also those of modules imported since
            stand_in._module = None
        for stand_in, module in kept:
            stand_in._module = module


def _stand_ins() -> list[Any]:
    """Our modules' `optional("tensorrt", …)`."""
    from resnet_serve.optional import _Optional

    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in OURS]
    values = {id(value): value for module in modules for value in vars(module).values()}
    return [
        value
        for value in values.values()
        if type(value) is _Optional and vars(value)["_name"] == "tensorrt"
    ]
