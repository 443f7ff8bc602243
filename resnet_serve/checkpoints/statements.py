"""Statements: what a checkpoint file says of its network and its classes beside the tensors.

| field | of | decides |
|---|---|---|
| `arch`, `architecture`, `model_name`, … | training scripts, Lightning, timm | the network |
| `class_to_idx`, `idx_to_class`, `id2label` | `ImageFolder`, transformers | class names |
| `classes`, `class_names`, `categories`, … | training scripts, torchvision | class names |
| `meta.dataset_meta.classes`, `meta.CLASSES` | OpenMMLab | class names |
| `num_classes`, `nb_classes`, `num_labels`, … | training scripts, Lightning | how many classes |
| `meta.cfg` | OpenMMLab | the network, how many classes, preprocessing |
| `mean`, `pretrained_cfg`, `transform`, … | training scripts, timm | preprocessing (`transforms`) |

They are looked for at the top of the file, beside its state dict, and in the settings of a training
(`hyper_parameters`, `hparams`, `args`, `config`, …). The metadata of a safetensors file counts too.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_serve.checkpoints import json_files
from resnet_serve.checkpoints.transforms import openmmlab, stated
from resnet_serve.checkpoints.transforms.stated import Stated

Sources = Sequence[tuple[tuple[str, ...], Mapping[str, Any]]]
_SETTINGS = ("hyper_parameters", "hparams", "args", "config", "cfg", "opt", "meta", "dataset_meta")
_NETWORK = ("architecture", "arch", "model_name", "model", "backbone", "network")
_NUMBERS = ("class_to_idx", "label2id", "label_to_idx")
_BY_NUMBER = ("idx_to_class", "id2label", "idx_to_label", "names")
_LISTS = ("classes", "class_names", "label_names", "categories", "names", "CLASSES", "labels")
_COUNTS = ("num_classes", "nb_classes", "n_classes", "num_labels", "number_of_classes", "classes")
# Within settings, where a configuration has a mapping of its own for them.
_INNER = ("model", "network", "model_args", "model_kwargs", "model_config", "data", "dataset")
# Fields for nothing but class names.
_ONLY_NAMES = (*_NUMBERS, "idx_to_class", "id2label", "idx_to_label", "class_names", "label_names")
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
class Count:
    """How many classes there are by one field."""

    field: str
    classes: int


@dataclass(frozen=True)
class Statements:
    """What a file says; each is in the order in which it is believed.

    `counts` are numbers of classes, `preprocessing` what is said of the images, `unread` the fields
    for class names that hold something else.
    """

    networks: tuple[Said, ...] = ()
    names: tuple[Names, ...] = ()
    counts: tuple[Count, ...] = ()
    unread: tuple[str, ...] = ()
    preprocessing: tuple[Stated, ...] = ()


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
    configured = [*_configured(sources)]
    networks += [Said(field, name) for field, name, _ in configured if name is not None]
    counts = [
        Count(_field(place, key), fields[key])
        for place, fields in sources
        for key in _COUNTS
        if type(fields.get(key)) is int and fields[key] > 0
    ]
    counts += [Count(field, count) for field, _, count in configured if count is not None]
    read = {each.field for each in names}
    unread = (
        _field(place, key)
        for place, fields in sources
        for key in _ONLY_NAMES
        if fields.get(key) is not None and _field(place, key) not in read
    )
    return Statements(
        tuple(networks),
        tuple(names),
        tuple(counts),
        tuple(unread),
        stated.in_places(sources),
    )


def _configured(sources: Sources) -> Iterator[tuple[str, str | None, int | None]]:
    """The network and the number of classes of OpenMMLab's configurations."""
    for place, fields in sources:
        for key in ("cfg", "config"):
            config = openmmlab.config_of(fields.get(key))
            if config is not None:
                field = _field(place, key)
                yield field, openmmlab.network(config), openmmlab.classes(config)


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
        inside = key in _SETTINGS or (key in _INNER and bool(place) and place[-1] in _SETTINGS)
        inner = isinstance(key, str) and (inside or depth < 1) and key not in stated.PUBLISHED
        if inner and _fields(fields[key]) is not None and not _of_classes(key):
            yield from _places(fields[key], (*place, key), depth + (1 if inside else 2))


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
    if isinstance(value, list | tuple) and all(_is_pair(each) for each in value):
        value = dict(value)
    if not (isinstance(value, Mapping) and value):
        return None
    numbers = {str(key): name for key, name in value.items()}
    if not all(key.isascii() and key.isdecimal() for key in numbers):
        return None
    if set(numbers) != {str(index) for index in range(len(numbers))}:
        return ()
    return json_files.names_in(numbers[str(index)] for index in range(len(numbers))) or ()


def _is_pair(value: object) -> bool:
    """Whether it is a number and a name."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and type(value[0]) is int
        and isinstance(value[1], str)
    )


def _listed(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple):
        return None
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in value]
    if not all(isinstance(each, str) for each in texts):
        return None
    return json_files.names_in(texts)
