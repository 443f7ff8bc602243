"""Document: a preprocessing as JSON, typed: every field has an effect or is refused.

    {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

`resolved` turns it into the fields of `Preprocessing`: `crop_pct` becomes a resize in pixels, and
`rescale` (x·rescale − mean)/std becomes a mean and std in units of [0, 1]. The JSON Schema of the
model is published: `resnet-serve schema preprocessing`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing.limits import DEFAULTS, Limits
from resnet_serve.preprocessing.rules import BRIGHTEST, refused

Whole = Annotated[int, Strict()]
Side = Annotated[int, Strict(), Field(gt=0)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Level = Annotated[int, Strict(), Field(ge=0, le=255)]
_WHITE = 255


class LimitsDocument(BaseModel):
    """What one image file may cost before it is refused; a missing field is its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Limits")

    max_pixels: Side = Field(
        DEFAULTS.max_pixels,
        description="Width × height; at most 4 bytes of each are decoded.",
    )
    max_aspect_ratio: Annotated[Number, Field(ge=1)] = Field(
        DEFAULTS.max_aspect_ratio, description="The longer side over the shorter one."
    )
    max_file_bytes: Side = Field(DEFAULTS.max_file_bytes, description="The size of the file.")
    max_scans: Side = Field(
        DEFAULTS.max_scans,
        description="The scans of a progressive JPEG, each of which passes over all pixels; "
        "cameras and libraries write 10.",
    )
    max_seconds: Annotated[Number, Field(gt=0)] = Field(
        DEFAULTS.max_seconds,
        description="CPU time of the decoding thread for one file. WebP, AVIF and compressed "
        "TIFF are decoded in one step that is not interrupted: max_pixels bounds their time.",
    )


class PreprocessingDocument(BaseModel):
    """The preprocessing of the weights of a network; a missing field is that of the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Preprocessing")

    resize: Side | tuple[Side, Side] | None = Field(
        256,
        description="Pixels after the resize: one number for the shorter side, or "
        "[height, width], which changes the shape; null for no resize.",
    )
    resize_mode: Literal["shorter", "longest", "exact", "none"] | None = Field(
        None,
        description="What a resize of one number is of; follows from resize where it is missing. "
        "Without resize, 'exact' resizes to the crop.",
    )
    crop: Side | tuple[Side, Side] = Field(
        (224, 224),
        description="The input of the network in pixels, one number or [height, width]: cropped "
        "from the centre, padded with fill where the image is smaller.",
    )
    crop_pct: Annotated[float, Strict(), Field(ge=0.1, le=10)] | None = Field(
        None,
        description="Instead of resize: the part of the resized side that the crop keeps, "
        "resize = floor(crop / crop_pct).",
    )
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = Field(
        "bilinear", description="The filter of the resize, as Pillow computes it."
    )
    antialias: Annotated[bool, Strict()] = Field(
        True,
        description="False is bilinear interpolation of four neighbours, as torchvision computes "
        "it of a tensor with antialias=False.",
    )
    channel_order: Literal["rgb", "bgr"] = Field(
        "rgb", description="The order of the network's channels, and of mean and std."
    )
    fill: Level | tuple[Level, ...] = Field(
        0, description="The colour of padding, one number or RGB, from 0 to 255."
    )
    rescale: Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)] = Field(
        1 / _WHITE,
        description="(x·rescale - mean) / std for pixels x from 0 to 255. 1 for a mean and std on "
        "the scale of 0 to 255.",
    )
    mean: tuple[Number, ...] = Field(
        (0.485, 0.456, 0.406),
        description="One number per channel, 3 or 1 for grey images; [0, 0, 0] for none.",
    )
    std: tuple[Number, ...] = Field(
        (0.229, 0.224, 0.225),
        description="One number per channel, above 0; [1, 1, 1] for none.",
    )
    limits: LimitsDocument = Field(
        LimitsDocument.model_validate({}),
        description="What one image file may cost before it is refused, by the fields below.",
    )


FIELDS = tuple(sorted(PreprocessingDocument.model_fields))


def schema() -> str:
    """The JSON Schema of a preprocessing, as text."""
    return json.dumps(PreprocessingDocument.model_json_schema(), indent=2, sort_keys=True) + "\n"


def table() -> str:
    """Its fields as rows of a Markdown table: name, default, what it means."""
    rows = []
    limits = {f"limits.{name}": each for name, each in LimitsDocument.model_fields.items()}
    for name, field in {**PreprocessingDocument.model_fields, **limits}.items():
        nested = isinstance(field.default, LimitsDocument)
        default = "1/255" if name == "rescale" else "null" if nested else json.dumps(field.default)
        shown = "" if default == "null" else f"`{default}`"
        rows.append(f"| `{name}` | {shown} | {field.description} |\n")
    return "".join(rows)


def resolved(data: object, base: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Preprocessing` for the fields in `data` over those of `base`.

    Raises `InputFileError` for unknown fields, wrong types, and fields that contradict each other.
    """
    if not isinstance(data, Mapping):
        raise InputFileError(
            f"not a preprocessing (a mapping of fields, not {type(data).__name__})",
            where="preprocessing",
        )
    try:
        document = PreprocessingDocument.model_validate(dict(data))
    except ValidationError as error:
        raise _explained(error) from error
    given = {name: getattr(document, name) for name in document.model_fields_set}
    fields = dict(base)
    limits = document.limits.model_dump(exclude_unset=True)
    fields["limits"] = Limits(**{**base["limits"], **limits})
    for name in ("interpolation", "antialias", "channel_order", "fill", "mean", "std"):
        if name in given:
            fields[name] = given[name]
    return {**fields, **_geometry(given, base), **_scale(given)}


def _geometry(given: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    crop = given.get("crop", base["crop"])
    crop = (crop, crop) if isinstance(crop, int) else crop
    mode = given.get("resize_mode") or ""
    if given.get("crop_pct") is not None:
        if "resize" in given:
            raise refused("resize and crop_pct say the same thing twice: give one of them")
        return {"crop": crop, "resize_mode": mode, "resize": _kept(given["crop_pct"], crop, mode)}
    if "resize" in given:
        if given["resize"] is None:
            _check_unused(given)
        return {"crop": crop, "resize_mode": mode, "resize": given["resize"]}
    if mode == "exact":
        return {"crop": crop, "resize_mode": mode, "resize": crop}
    if mode == "none":
        _check_unused(given)
        return {"crop": crop, "resize_mode": mode, "resize": None}
    if mode:
        if not isinstance(base["resize"], int):
            raise refused(f"resize_mode {mode!r} needs resize, in pixels")
        return {"crop": crop, "resize_mode": mode}
    # Weights whose images are resized to the crop: another crop is another resize too.
    if base["resize_mode"] == "exact" and base["resize"] == base["crop"]:
        return {"crop": crop, "resize": crop}
    return {"crop": crop}


def _kept(part: float, crop: tuple[int, int], mode: str) -> int | tuple[int, int]:
    """The resize of timm's crop_pct."""
    height, width = (math.floor(side / part) for side in crop)
    if mode == "exact":
        return height, width
    if mode == "none":
        raise refused("crop_pct has no effect with resize_mode 'none': leave one of them out")
    if height != width:
        raise refused("crop_pct is for square crops: give resize in pixels")
    return height


def _scale(given: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and std in units of [0, 1], of those in units of 1/rescale."""
    if "rescale" not in given:
        return {}
    if "mean" not in given or "std" not in given:
        raise refused("rescale says the scale of mean and std: give all three")
    unit = given["rescale"] * _WHITE
    scaled = {name: tuple(value / unit for value in given[name]) for name in ("mean", "std")}
    if max(map(abs, (*scaled["mean"], *scaled["std"])), default=0) > BRIGHTEST:
        raise refused(
            f"mean and std do not fit rescale {given['rescale']:g}: white would be {unit:g}, and "
            f"the largest of them is {max(map(abs, (*given['mean'], *given['std']))):g}"
        )
    return scaled


def _check_unused(given: Mapping[str, Any]) -> None:
    for name in ("interpolation", "antialias"):
        if name in given:
            raise refused(f"{name} has no effect without a resize: leave it out")


def _explained(error: ValidationError) -> InputFileError:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    place = [each for each in first["loc"] if isinstance(each, str)] or ["it"]
    limit = place[0] == "limits" and place[1:2] and place[1] in LimitsDocument.model_fields
    name = ".".join(place[:2] if place[0] == "limits" else place[:1])
    if first["type"] == "extra_forbidden":
        known = LimitsDocument.model_fields if place[0] == "limits" else FIELDS
        return InputFileError(
            f"unknown field {name!r}",
            where="preprocessing",
            remedy=f"Its fields are {', '.join(sorted(known))}.",
        )
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    described = LimitsDocument if limit else PreprocessingDocument
    wanted = described.model_fields[place[1] if limit else place[0]].description or ""
    return InputFileError(
        f"{name} cannot be used: {shown}: {first['msg'].lower()}",
        where="preprocessing",
        remedy=wanted,
    )
