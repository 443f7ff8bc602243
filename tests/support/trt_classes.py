"""The classes of a double, made from the description: with the members of the bindings only.

Python itself raises AttributeError for an unknown attribute, because the classes have slots, and
for setting a property without a setter. As pybind11 does, the classes raise TypeError for a call
that fits no signature, for a class derived in Python whose `__init__` does not call its base's, and
for making an instance that only TensorRT can make.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from trt_bindings import ClassApi, Property
from trt_signatures import Signature
from trt_values import SEQUENCES, World, accepts, neutral

BINDINGS = "tensorrt_bindings.tensorrt"


class Recorder(World, Protocol):
    """Records every call, and returns its result."""

    def answer(self, owner: str, name: str, self_: Any, call: Bound, returns: str) -> Any: ...

    def read(self, owner: str, name: str, self_: Any, kind: str) -> Any: ...

    def wrote(self, owner: str, name: str, self_: Any, value: Any) -> None: ...


@dataclass(frozen=True)
class Bound:
    """A call that fits a signature: as it was written, and its arguments by name."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arguments: dict[str, Any]
    returns: str


@dataclass
class State:
    """The state of an object of a double: properties, and the content of a Dims or a buffer."""

    values: dict[str, Any] = field(default_factory=dict)
    content: tuple[int, ...] = ()


class Pybind(type):
    """pybind11's metaclass: classes derived in Python must call the base's constructor."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if not hasattr(made, "_state"):
            base = next(c for c in cls.__mro__ if "_described" in vars(c))
            name = f"{BINDINGS}.{vars(base)['_described']}"
            raise TypeError(f"{name}.__init__() must be called when overriding __init__")
        return made


class Object(metaclass=Pybind):
    """The base of every object of a double."""

    __slots__ = ("_state",)


class Buffer(bytearray, metaclass=Pybind):
    """An object with the buffer protocol, which before Python 3.12 needs such a base.

    Everything else of bytearray is hidden: IHostMemory has no length and no items.
    """

    __slots__ = ("_state",)
    __len__ = __getitem__ = __setitem__ = __delitem__ = __iter__ = __contains__ = None  # type: ignore[assignment]
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]
    __repr__ = object.__repr__
    __str__ = object.__str__

    def __bool__(self) -> bool:
        return True

    def __getattribute__(self, name: str) -> Any:
        hidden = name in vars(bytearray) and not name.startswith("__")
        if hidden and not any(name in vars(c) for c in type(self).__mro__ if c not in _OURS):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return super().__getattribute__(name)


_OURS = (Buffer, bytearray, object)


class Enum(Object):
    """A py::enum_: it has a number but is not one, so that shifting by it needs `int(…)`."""

    __slots__ = ()
    __members__: dict[str, Enum] = {}  # noqa: RUF012

    def __init__(self, value: int) -> None:
        self._state = State({"value": int(value)})

    @property
    def value(self) -> int:
        number: int = self._state.values["value"]
        return number

    @property
    def name(self) -> str:
        names = (name for name, member in self.__members__.items() if member == self)
        return next(names, "???")

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __repr__(self) -> str:
        return f"<{self}: {self.value}>"


def make_class(described: ClassApi, bases: tuple[type, ...], recorder: Recorder) -> type:
    """One class of the double, without its nested classes. `bases` are the double's own."""
    root: type = Enum if described.enum else Buffer if described.buffer else Object
    body: dict[str, Any] = {
        "__slots__": (),
        "__module__": BINDINGS,
        "__qualname__": described.name,
        "_described": described.name,
    }
    if not described.enum:
        body["__init__"] = _constructor(described, recorder)
        body |= {
            name: _method(described, name, signatures, recorder)
            for name, signatures in described.methods.items()
        }
    if described.name in SEQUENCES:
        body |= {"__len__": _length, "__getitem__": _item, "__eq__": _equal, "__hash__": None}
    for name, attribute in described.properties.items():
        if attribute.static:
            body.setdefault(name, neutral(attribute.type, recorder))
        elif name not in vars(root):
            body[name] = _property(described, name, attribute, recorder)
    made = Pybind(described.name.rpartition(".")[2], bases or (root,), body)
    if described.enum:
        members = {name: made(value) for name, value in described.enum.items()}
        for name, member in members.items():
            setattr(made, name, member)
        made.__members__ = members  # type: ignore[attr-defined]
    return made


def bind(
    name: str, signatures: tuple[Signature, ...], args: Any, kwargs: Any, world: World
) -> Bound:
    """Fit a call to the first overload that accepts it; pybind11's TypeError where none does."""
    for signature in signatures:
        arguments = _fitted(signature, args, kwargs, world)
        if arguments is not None:
            return Bound(args, kwargs, arguments, signature.returns)
    what = "constructor" if name == "__init__" else "function"
    shown = "\n".join(f"    {n}. {s}" for n, s in enumerate(signatures, 1))
    given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
    raise TypeError(
        f"{name}(): incompatible {what} arguments. The following argument types are supported:\n"
        f"{shown}\n\nInvoked with: {given}"
    )


def _fitted(signature: Signature, args: Any, kwargs: Any, world: World) -> dict[str, Any] | None:
    parameters = signature.parameters
    if len(args) > len(parameters):
        return None
    arguments = {p.name: value for p, value in zip(parameters, args, strict=False)}
    by_keyword = {p.name for p in parameters[len(args) :] if not p.positional_only}
    if not by_keyword >= kwargs.keys():
        return None
    arguments |= kwargs
    for parameter in parameters:
        if parameter.name not in arguments:
            if not parameter.optional:
                return None
        elif not accepts(parameter.type, arguments[parameter.name], world):
            return None
    return arguments


def _constructor(described: ClassApi, recorder: Recorder) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if not described.constructors:
            raise TypeError(f"{BINDINGS}.{described.name}: No constructor defined!")
        call = bind("__init__", described.constructors, args, kwargs, recorder)
        given = {k: v for k, v in call.arguments.items() if k in described.properties}
        self._state = State(given)
        if described.name in SEQUENCES and args:
            self._state.content = tuple(map(int, args[0]))
        recorder.answer(described.name, "__init__", self, call, "None")

    return __init__


def _method(
    described: ClassApi, name: str, signatures: tuple[Signature, ...], recorder: Recorder
) -> Any:
    if name == "__enter__":
        return _enter

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = bind(name, signatures, args, kwargs, recorder)
        return recorder.answer(described.name, name, self, call, call.returns)

    def static(*args: Any, **kwargs: Any) -> Any:
        return method(None, *args, **kwargs)

    made = static if any(signature.static for signature in signatures) else method
    made.__name__, made.__qualname__ = name, f"{described.name}.{name}"
    return staticmethod(made) if made is static else made


def _property(described: ClassApi, name: str, attribute: Property, recorder: Recorder) -> property:
    def get(self: Any) -> Any:
        if not attribute.readable:
            raise AttributeError(f"unreadable attribute {name!r}")
        return recorder.read(described.name, name, self, attribute.type)

    def put(self: Any, value: Any) -> None:
        accepted = attribute.accepts or ""
        if not accepts(accepted, value, recorder):
            raise TypeError(
                f"{described.name}.{name} takes {accepted}, not {value!r} (incompatible function "
                f"arguments)"
            )
        recorder.wrote(described.name, name, self, value)

    return property(get, put if attribute.writable else None)


def _enter(self: Any) -> Any:
    message = "Context managers for TensorRT types are deprecated."
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return self


def _length(self: Any) -> int:
    return len(self._state.content)


def _item(self: Any, index: Any) -> Any:
    return self._state.content[index]


def _equal(self: Any, other: object) -> bool:
    if not isinstance(other, (tuple, list)):
        raise TypeError("__eq__(): incompatible function arguments: a Dims equals a tuple or list")
    return bool(self._state.content == tuple(other))
