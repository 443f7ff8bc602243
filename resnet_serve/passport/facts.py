"""Facts: frozen dataclasses that are read from JSON by their annotations, and written again.

    @dataclass(frozen=True, kw_only=True)
    class ModelFacts(Facts):
        file: str
        opset: int

    ModelFacts.from_json({"file": "model.onnx", "opset": 17}).to_json()

A field without a default must be in the JSON. A field whose default is None may be missing, and is
left out again while it is None. Keys that no field has are kept in `extra` and written again, so
that facts of a later resnet-serve survive. JSON has neither NaN nor infinity: both are written as
null, and null where a number must be is read as NaN.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from resnet_serve.errors import ResnetServeError

_EXTRA = "extra"
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class MalformedFactsError(ValueError):
    """JSON that is not what a field needs; the text names the field, as `weights.trained`."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One JSON object; subclasses add its fields."""

    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: object, where: str = "") -> Self:
        """Read an object; `where` names it in errors. Raises `MalformedFactsError`."""
        found = _object(data, where)
        kind: Any = cls.kind_of(found)
        known = _hints(kind)
        extra = {key: value for key, value in found.items() if key not in known}
        made: Self = kind(**_values(kind, found, where), extra=extra)
        return made

    @classmethod
    def kind_of(cls, data: Mapping[str, Any]) -> type[Facts]:  # noqa: ARG003 - subclasses look at it
        """The subclass that an object is read as."""
        return cls

    def to_json(self) -> dict[str, Any]:
        """The object, ready for `json.dumps(allow_nan=False)`."""
        written = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != _EXTRA
            and not (each.default is None and getattr(self, each.name) is None)
        }
        encoded: dict[str, Any] = encode({**self.extra, **written})
        return encoded


def encode(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, NaN and infinities as null."""
    if hasattr(value, "to_json"):
        return encode(value.to_json())
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decode(kind: Any, value: object, where: str) -> Any:
    """A JSON value as the annotation `kind` wants it; raises `MalformedFactsError`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (kind,) = (each for each in arguments if each is not types.NoneType)
        return decode(kind, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is Mapping:
        keys, values = arguments
        return {
            _key(keys, key, where): decode(values, item, f"{where}.{key}")
            for key, item in _object(value, where).items()
        }
    if kind in _WORDS:
        return _plain(kind, value, where)
    if kind is datetime:
        return _moment(value, where)
    if issubclass(kind, StrEnum):
        if value not in list(kind):
            raise MalformedFactsError(f"{where} is {_shown(value)}, not one of {', '.join(kind)}")
        return kind(value)
    if issubclass(kind, Facts):
        return kind.from_json(value, where)
    if hasattr(kind, "from_json"):
        try:
            return kind.from_json(value)
        except ResnetServeError as error:
            raise MalformedFactsError(f"{where} is {error.what}") from error
    return kind(**_values(kind, _object(value, where), where))


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind) if each.name != _EXTRA}


def _values(kind: Any, data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The arguments to make a dataclass with; what has a default may be missing."""
    optional = {each.name for each in fields(kind) if each.default is not MISSING}
    found = {}
    for name, hint in _hints(kind).items():
        path = f"{where}.{name}" if where else name
        if name in data:
            found[name] = decode(hint, data[name], path)
        elif name not in optional:
            raise MalformedFactsError(f"{path} is missing")
    return found


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise MalformedFactsError(f"{where or 'it'} is {_shown(value)}, not an object")
    return value


def _tuple(arguments: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise MalformedFactsError(f"{where} is {_shown(value)}, not a list")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        raise MalformedFactsError(f"{where} has {len(value)} entries, not {len(kinds)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(decode(kind, item, f"{where}[{at}]") for at, (kind, item) in pairs)


def _key(kind: Any, key: str, where: str) -> Any:
    if kind is not int:
        return key
    if not (key.isascii() and key.isdecimal() and len(key) < 10):
        raise MalformedFactsError(f"{where} has the key {_shown(key)}, not a whole number")
    return int(key)


def _plain(kind: type, value: object, where: str) -> object:
    if kind is float:
        if value is None:
            return math.nan
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return math.inf
    elif type(value) is kind:
        return value
    raise MalformedFactsError(f"{where} is {_shown(value)}, not {_WORDS[kind]}")


def _moment(value: object, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise MalformedFactsError(f"{where} is {_shown(value)}, not a date and time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
