"""Headers: what a file of the Hugging Face Hub holds, without downloading its tensors.

A safetensors file begins with the name, type and shape of every tensor, so that a range of bytes is
enough to see whether it fits. The tensors have no values here: all are zero, and take no memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from resnet_serve.checkpoints.sources import hub
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

_TYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
}
_INDEX = ".index.json"


@dataclass(frozen=True)
class Header:
    """The names and shapes in a file, as tensors of zeros, and its metadata.

    `path` is where the file would be; the JSON files beside it are there.
    """

    path: Path
    place: hub.Place
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    notices: tuple[str, ...]


def needed(spec: str, preferred: tuple[str, ...]) -> hub.Place | None:
    """The commit and file that a value means, where it is not in the cache; else None.

    Raises what `hub.fetch` does for a repository, revision or file that does not exist.
    """
    place, _ = hub.resolved(spec, preferred)
    if hub.in_cache(str(place)):
        return None
    hub.check_file(place)
    return place


def has_header(place: hub.Place) -> bool:
    """Whether a file, or the shards of an index, tell what they hold."""
    return str(place.file).endswith((".safetensors", f".safetensors{_INDEX}"))


def read(spec: str, preferred: tuple[str, ...]) -> Header:
    """The header of a file, and the small JSON files beside it; raises `InputFileError`."""
    place, names = hub.resolved(spec, preferred)
    path = hub.fetch_beside(place, names)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for name in _files(place):
        shapes, stored = hub.header(place, name)
        tensors |= {key: _zeros(key, *each, place) for key, each in shapes.items()}
        metadata |= stored
    return Header(path, place, tensors, metadata, hub.moving(spec, place))


def _files(place: hub.Place) -> list[str]:
    """The file itself, or the shards that an index names."""
    name = str(place.file)
    if not name.endswith(_INDEX):
        return [name]
    try:
        index = json.loads(hub.downloaded(place, name).read_text(encoding="utf-8"))
        shards = sorted(set(index["weight_map"].values()))
        folder = PurePosixPath(name).parent
        return [str(folder / shard) for shard in shards]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputFileError(f"not an index of shards ({error})", where=place) from error


def _zeros(name: str, kind: str, shape: tuple[int, ...], place: hub.Place) -> Tensor:
    dtype = getattr(torch, _TYPES.get(kind, ""), None)
    if dtype is None:
        raise InputFileError(f"{name} is of the type {kind}, which is not read", where=place)
    return torch.zeros((), dtype=dtype).expand(shape)
