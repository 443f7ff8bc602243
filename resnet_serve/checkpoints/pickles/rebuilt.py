"""Rebuilt: what replaces the functions by which a pickle makes tensors and containers.

`called` gives the result of a name with arguments, and a `Placeholder` for every name that is not
in its table. A tensor is a `View` until the bytes of its storage are read. The functions are those
of torch's `torch/_utils.py`, `torch/_tensor.py` and `torch/storage.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from resnet_serve.checkpoints.pickles.machine import Global, PickleError, Placeholder
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

_PLAIN = (
    *("torch.Tensor", "torch._tensor.Tensor", "torch.nn.Parameter"),
    *("torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"),
)
# Tensors that are not plain, by the function that rebuilds them: what they are, and the call.
NOT_PLAIN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "torch._utils._rebuild_sparse_tensor": ("a sparse tensor", ".to_dense()"),
        "torch._utils._rebuild_sparse_csr_tensor": ("a sparse tensor", ".to_dense()"),
        "torch._utils._rebuild_qtensor": ("quantized", ".dequantize()"),
        "torch._utils._rebuild_nested_tensor": ("a nested tensor", ""),
        "torch._utils._rebuild_meta_tensor_no_storage": ("a meta tensor without values", ""),
        "torch._utils._rebuild_wrapper_subclass": ("a tensor subclass", ""),
    }
)
_TYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
)


@dataclass(frozen=True)
class Storage:
    """The numbers of tensors: their type, None for untyped bytes, and how to read the bytes."""

    kind: str | None
    read: Callable[[], bytearray]


@dataclass(frozen=True)
class View:
    """A tensor in a storage: its offset, size and strides, in elements, and its own type."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    kind: str | None = None

    def tensor(self) -> Tensor:
        """The tensor; raises `PickleError` where it reaches over the end of its storage."""
        dtype = dtypes().get(self.kind or self.storage.kind or "")
        if dtype is None:
            raise PickleError(f"it has a tensor of an unknown type ({self.kind})")
        numbers = torch.frombuffer(self.storage.read() or bytearray(16), dtype=dtype)
        elements, last = 1, self.offset
        for length, step in zip(self.size, self.stride, strict=True):
            elements *= length
            last += (length - 1) * step
        if elements == 0:
            return torch.empty(self.size, dtype=dtype)
        if last >= len(numbers) or elements > len(numbers):
            raise PickleError("it is damaged (a tensor is larger than its storage)")
        return numbers.as_strided(self.size, self.stride, self.offset)


@cache
def dtypes() -> Mapping[str, torch.dtype]:
    """The types of tensors by the names that pickles have for them and for their storages."""
    found = {f"torch.{name}": getattr(torch, name) for name in _TYPES if hasattr(torch, name)}
    for storage, name in (
        *(("Float", "float32"), ("Double", "float64"), ("Half", "float16")),
        *(("BFloat16", "bfloat16"), ("Long", "int64"), ("Int", "int32"), ("Short", "int16")),
        *(("Char", "int8"), ("Byte", "uint8"), ("Bool", "bool")),
        *(("ComplexFloat", "complex64"), ("ComplexDouble", "complex128")),
    ):
        found[f"torch.{storage}Storage"] = found[f"torch.{name}"]
    return MappingProxyType(found)


def called(name: str, arguments: tuple[object, ...]) -> object:
    """The result of calling `name`: a view or container, or a placeholder; runs nothing."""
    rebuild = _TABLE.get(name)
    if rebuild is None:
        return Placeholder(name, arguments)
    try:
        return rebuild(*arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise PickleError(f"it is damaged (a call of {name})") from error


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> View:
    return _view(storage, offset, size, stride, None)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, kind: Any, *_: Any
) -> View:
    return _view(storage, offset, size, stride, kind.name)


def _view(storage: Any, offset: Any, size: Any, stride: Any, kind: str | None) -> View:
    numbers = (offset, *size, *stride)
    if not (isinstance(storage, Storage) and len(size) == len(stride)):
        raise PickleError("it is damaged (a tensor without a storage)")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise PickleError("it is damaged (a tensor of no size)")
    return View(storage, offset, tuple(size), tuple(stride), kind)


def _parameter(data: object, *_: object) -> object:
    return data


def _of_type(function: Any, kind: Any, arguments: Any, *_: object) -> object:
    """A tensor with attributes, or of a class of its own, which is a placeholder."""
    if isinstance(kind, Global) and kind.name in _PLAIN and isinstance(function, Global):
        return called(function.name, arguments)
    return Placeholder("torch._utils._rebuild_wrapper_subclass")


def _mapping(entries: Any = ()) -> dict[object, object]:
    found: dict[object, object] = {}
    for key, value in entries.items() if isinstance(entries, dict) else entries:
        if not isinstance(key, str | int | float | bytes):
            raise PickleError("it is damaged (a key that is no name or number)")
        found[key] = value
    return found


def _items(items: Any = ()) -> tuple[object, ...]:
    """A set too is only what is in it: nothing is hashed."""
    return tuple(items)


def _encoded(text: str, _encoding: object = "latin1") -> bytes:
    """Bytes as protocols before 3 write them: letters of Latin-1."""
    return text.encode("latin1")


def _bytes(content: Any = b"") -> bytes:
    if not isinstance(content, bytes):
        raise PickleError("it is damaged (bytes of something else)")
    return content


_TABLE: Mapping[str, Callable[..., object]] = MappingProxyType(
    {
        "_codecs.encode": _encoded,
        **{
            f"{module}.{name}": make
            for module in ("builtins", "__builtin__")
            for name, make in (
                *(("set", _items), ("frozenset", _items), ("list", _items), ("tuple", _items)),
                *(("bytes", _bytes), ("bytearray", _bytes), ("dict", _mapping)),
            )
        },
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_v3,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type": _of_type,
        "torch._tensor._rebuild_from_type_v2": _of_type,
        "torch.Size": _items,
        "collections.OrderedDict": _mapping,
    }
)
