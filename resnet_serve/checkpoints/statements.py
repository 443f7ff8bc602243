"""Statements: what a checkpoint file says of its network and its classes beside the tensors.

| field | of | decides |
|---|---|---|
| `arch`, `architecture`, `model_name`, … | training scripts, Lightning, timm | the network |
| `class_to_idx`, `idx_to_class`, `id2label` | `ImageFolder`, transformers | class names |
| `classes`, `class_names`, `categories`, … | training scripts, torchvision | class names |
| `meta.dataset_meta.classes`, `meta.CLASSES` | OpenMMLab | class names |

They are looked for at the top of the file, beside its state dict, and in the settings of a training
(`hyper_parameters`, `hparams`, `args`, `config`, …). The metadata of a safetensors file counts too.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resnet_serve.checkpoints import json_files

_SETTINGS = ("hyper_parameters", "hparams", "args", "config", "cfg", "opt", "meta", "dataset_meta")
_NETWORK = ("architecture", "arch", "model_name", "model", "backbone", "network")
_NUMBERS = ("class_to_idx", "label2id", "label_to_idx")
_BY_NUMBER = ("idx_to_class", "id2label", "idx_to_label", "names")
_LISTS = ("classes", "class_names", "label_names", "categories", "names", "CLASSES", "labels")
_DEEPEST = 3


@dataclass(frozen=True)
class Said:
    """What one field says; `field` is its place, as `hyper_parameters.arch`."""

    field: str
    value: str


@dataclass(frozen=True)
class Names:
    """Class names in the order of the logits as one field has them; none where it has no order."""

    field: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Statements:
    """What a file says; `networks` and `names` are in the order in which they are believed."""

    networks: tuple[Said, ...] = ()
    names: tuple[Names, ...] = ()


def of(loaded: object, metadata: Mapping[str, str]) -> Statements:
    """What is stated in the object that was loaded from a file, and in the file's metadata."""
    sources = [*_places(loaded, (), 0), *_places(_parsed(metadata), ("metadata",), 0)]
    networks = [
        Said(_field(place, key), fields[key])
        for place, fields in sources
        for key in _NETWORK
        if isinstance(fields.get(key), str) and fields[key].strip()
    ]
    names = [
        Names(_field(place, key), found)
        for keys, read in ((_NUMBERS, _numbered), (_BY_NUMBER, _by_number), (_LISTS, _listed))
        for place, fields in sources
        for key in keys
        if (found := read(fields.get(key))) is not None
    ]
    return Statements(tuple(networks), tuple(names))


def _places(
    value: object, place: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The mappings that may record something: a container, its settings, and so on."""
    fields = _fields(value)
    if fields is None:
        return
    yield place, fields
    if depth == _DEEPEST:
        return
    for key in fields:
        # A container around the state dict may have fields beside it.
        inner = isinstance(key, str) and (key in _SETTINGS or depth < 1)
        if inner and _fields(fields[key]) is not None and not _of_classes(key):
            yield from _places(fields[key], (*place, key), depth + (1 if key in _SETTINGS else 2))


def _fields(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return value
    return vars(value) if isinstance(value, Namespace) else None


def _of_classes(key: str) -> bool:
    return key in (*_NUMBERS, *_BY_NUMBER, *_LISTS)


def _parsed(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Metadata are texts; of those in JSON, the value.

    What we write ourselves is read and checked by `metadata`, and is not repeated here.
    """
    found: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if key not in ("labels", "preprocessing", "training"):
            found[key] = value
    return found


def _field(place: tuple[str, ...], key: str) -> str:
    return ".".join((*place, key))


def _numbered(value: object) -> tuple[str, ...] | None:
    """Names from a mapping of names to numbers; without an order where these are not 0 to n − 1."""
    if not (isinstance(value, Mapping) and value and all(type(n) is int for n in value.values())):
        return None
    if sorted(value.values()) != list(range(len(value))):
        return ()
    return json_files.names_in(sorted(value, key=lambda name: value[name])) or ()


def _by_number(value: object) -> tuple[str, ...] | None:
    """Names from a mapping of numbers, or texts of them, to names."""
    if not (isinstance(value, Mapping) and value):
        return None
    numbers = {str(key): name for key, name in value.items()}
    if not all(key.isascii() and key.isdecimal() for key in numbers):
        return None
    if set(numbers) != {str(index) for index in range(len(numbers))}:
        return ()
    return json_files.names_in(numbers[str(index)] for index in range(len(numbers))) or ()


def _listed(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        return None
    return json_files.names_in(value)
