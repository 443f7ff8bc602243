"""Stated: the preprocessing that a checkpoint has in plain values, beside its tensors.

    whole   `preprocessing` in our fields, timm's `pretrained_cfg`, a torchvision preset or the text
            of a Compose, transformers' image processor, OpenMMLab's `meta.cfg`, the arguments
            `val_resize_size`, `val_crop_size` of torchvision's training script
    parts   `mean`, `std`, `input_size`, `crop_pct`, `interpolation`, … in the settings

Parts are taken over what is usual of the network, and what they leave open stays an assumption.
Nothing is run: these are numbers, names and texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from resnet_serve.checkpoints import timm_files
from resnet_serve.checkpoints.transforms import (
    albumentations_steps,
    image_processors,
    openmmlab,
    torchvision_steps,
    written,
)
from resnet_serve.checkpoints.transforms.steps import REMEDY, Step
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.preprocessing.document import FIELDS
from resnet_serve.preprocessing.rules import BRIGHTEST

Places = Iterable[tuple[tuple[str, ...], Mapping[str, Any]]]
# timm's records of published weights; what they say of classes is not of these weights.
PUBLISHED = ("pretrained_cfg", "default_cfg", "data_config", "data_cfg")
_TIMM_FIELDS = {"input_size", "crop_mode", "test_input_size", "fixed_input_size"}
_OPENMMLAB = ("cfg", "config", "data_preprocessor", "img_norm_cfg")
_NAMED = ("preprocess", "transform", "image_processor", "normalize", "norm")
_SIZES = ("input_size", "img_size", "image_size", "crop_size", "resolution")
_RESIZES = ("resize", "resize_size", "scale_size")


@dataclass(frozen=True)
class Stated:
    """What one field says: `read` gives the fields of a preprocessing, over those of a base.

    `field` is its place, as `hyper_parameters.transform`; `whole` that it leaves nothing open.
    """

    field: str
    whole: bool
    read: Callable[[Path, Preprocessing], Preprocessing]


@dataclass(frozen=True)
class Found:
    """The preprocessing of a file, the field that says it, what it leaves open, and notices."""

    preprocessing: Preprocessing
    field: str
    whole: bool
    notices: tuple[str, ...] = ()


def in_places(places: Places) -> tuple[Stated, ...]:
    """All that is stated in the mappings of a file, in the order in which it is believed."""
    known = list(places)
    whole = (each for place, fields in known for each in _whole(place, fields))
    parts = (each for place, fields in known for each in _parts(place, fields))
    return (*whole, *parts)


def first(stated: Iterable[Stated], path: Path, base: Preprocessing) -> Found | None:
    """The preprocessing of a file over that of `base`; the others are held to it.

    Raises `InputFileError` for one that cannot be used.
    """
    found: Found | None = None
    notices: list[str] = []
    for each in stated:
        try:
            preprocessing = each.read(path, base)
        except InputFileError as error:
            if found is not None:
                continue
            raise InputFileError(
                f"its {each.field} cannot be used: {error.what}", where=path, remedy=REMEDY
            ) from error
        if found is None:
            found = Found(preprocessing, each.field, each.whole)
        elif each.whole and preprocessing != found.preprocessing:
            differs = different(preprocessing, found.preprocessing)
            notices.append(f"{found.field} is used; {each.field} of {path} says {differs}")
    if found is None:
        return None
    return Found(found.preprocessing, found.field, found.whole, tuple(notices))


def different(said: Preprocessing, used: Preprocessing) -> str:
    """What a preprocessing has that is not as in the one that is used: "resize 232, crop …"."""
    names = ("resize", "crop", "interpolation", "antialias", "channel_order", "fill", "mean", "std")
    return ", ".join(
        f"{name} {_shown(getattr(said, name))}"
        for name in names
        if getattr(said, name) != getattr(used, name)
    )


def _shown(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return f"({', '.join(f'{x:.4g}' if isinstance(x, float) else str(x) for x in value)})"


def _whole(place: tuple[str, ...], fields: Mapping[str, Any]) -> Iterator[Stated]:
    for key, value in fields.items():
        if not isinstance(key, str) or ("train" in key.lower() and key not in PUBLISHED):
            continue
        named = ".".join((*place, key))
        named_so = any(part in key.lower() for part in _NAMED)
        if isinstance(value, Mapping) and key in PUBLISHED:
            yield Stated(named, True, _timm(value))
        elif key in _OPENMMLAB and (config := openmmlab.config_of(_wrapped(key, value))):
            if openmmlab.normalizes(config):
                yield Stated(
                    named,
                    openmmlab.has_pipeline(config),
                    _fields(partial(openmmlab.fields, config)),
                )
        elif isinstance(value, Mapping) and named_so:
            yield from _of_mapping(named, value)
        elif isinstance(value, str) and named_so and (step := written.step_of(value)):
            yield Stated(named, True, _fields(partial(_of_step, step)))
    if fields.get("val_resize_size") is not None and fields.get("val_crop_size") is not None:
        named = ".".join((*place, "val_resize_size"))
        preset = {
            "resize_size": fields["val_resize_size"],
            "crop_size": fields["val_crop_size"],
            "interpolation": fields.get("interpolation") or "bilinear",
        }
        yield Stated(named, True, _fields(lambda: torchvision_steps.preset(preset)))


def _wrapped(key: str, value: object) -> object:
    """A part of a configuration as one."""
    return {key: value} if key in ("data_preprocessor", "img_norm_cfg") else value


def _of_mapping(named: str, value: Mapping[str, Any]) -> Iterator[Stated]:
    """A mapping that is called a preprocessing, in the fields of the library that it has."""
    if not value or not all(isinstance(key, str) for key in value):
        return
    if _TIMM_FIELDS & value.keys():
        yield Stated(named, True, _timm(value))
    elif "resize_size" in value and "crop_size" in value:
        yield Stated(named, True, _fields(lambda: torchvision_steps.preset(value)))
    elif image_processors.is_processor(value):
        yield Stated(named, True, lambda path, _: image_processors.preprocessing(value, path))
    elif value.keys() <= set(FIELDS):
        whole = {"crop", "mean", "std"} <= value.keys() and bool(
            {"resize", "crop_pct"} & set(value)
        )
        yield Stated(named, whole, _fields(lambda: value))
    elif (parts := _named_parts(value)) is not None:
        yield Stated(named, False, parts)


def _parts(place: tuple[str, ...], fields: Mapping[str, Any]) -> Iterator[Stated]:
    parts = _named_parts(fields)
    if parts is not None:
        names = ("mean", "std", *_SIZES, *_RESIZES, "crop_pct")
        present = (name for name in names if fields.get(name) not in (None, ""))
        yield Stated(".".join((*place, "/".join(present))), False, parts)


def _named_parts(
    fields: Mapping[str, Any],
) -> Callable[[Path, Preprocessing], Preprocessing] | None:
    """Loose numbers as parts of a preprocessing; None where there are none."""
    colours = _colours(fields)
    side = next((s for name in _SIZES if (s := _side(fields.get(name))) is not None), None)
    crop_pct, resize = fields.get("crop_pct"), None
    for name in _RESIZES:
        resize = resize or (fields[name] if type(fields.get(name)) is int else None)
    interpolation = fields.get("interpolation")
    geometry = side is not None and (isinstance(crop_pct, float | int) or resize is not None)
    if not colours and not geometry:
        return None

    def read(path: Path, base: Preprocessing) -> Preprocessing:
        found: dict[str, Any] = dict(colours)
        if side is not None:
            found["crop"] = side
            if resize is not None:
                found["resize"] = resize
            elif isinstance(crop_pct, float | int) and crop_pct:
                found["crop_pct"] = float(crop_pct)
            elif isinstance(base.resize, int):  # as the usual resize is to the usual crop
                found["resize"] = math.floor(base.resize * side / min(base.crop))
        if isinstance(interpolation, str) and interpolation not in ("", "random"):
            found["interpolation"] = interpolation.rpartition(".")[2].lower()
        return _fields(lambda: found)(path, base)

    return read


def _colours(fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("mean", "std"):
        value = fields.get(name, fields.get(f"norm_{name}", fields.get(f"image_{name}")))
        values = list(value) if isinstance(value, list | tuple) else []
        if len(values) not in (1, 3) or not all(type(x) in (int, float) for x in values):
            return {}
        found[name] = [float(x) for x in values]
    if max(map(abs, (*found["mean"], *found["std"]))) > BRIGHTEST:
        found["rescale"] = 1
    return found


def _side(value: object) -> int | None:
    values = list(value) if isinstance(value, list | tuple) else [value]
    sides = values[-2:]
    square = len(values) <= 3 and len(set(map(str, sides))) == 1
    return sides[0] if square and type(sides[0]) is int and sides[0] > 0 else None


def _of_step(step: Step) -> Mapping[str, Any]:
    if torchvision_steps.is_torchvision(step):
        return torchvision_steps.fields(step)
    return albumentations_steps.fields(step)


def _timm(value: Mapping[str, Any]) -> Callable[[Path, Preprocessing], Preprocessing]:
    return lambda path, _: timm_files.preprocessing({"pretrained_cfg": dict(value)}, path)


def _fields(
    read: Callable[[], Mapping[str, Any]],
) -> Callable[[Path, Preprocessing], Preprocessing]:
    return lambda _, base: Preprocessing.from_json(read(), base)
