"""albumentations' transforms as the fields of a preprocessing.

    Compose([Resize(256, 256), CenterCrop(224, 224), Normalize(mean, std), ToTensorV2()])

Its images are arrays, resized by OpenCV, which does not antialias: INTER_LINEAR is `antialias`
false. OpenCV's other filters and roundings have no equivalent here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_serve.checkpoints.transforms.steps import Step, numbers, refused, sides
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD

_LINEAR = 1
_CONSTANT = 0
_WHITE = 255.0
_NOTHING = ("ToTensorV2", "NoOp")


def fields(step: Step) -> dict[str, Any]:
    """The fields of the preprocessing that a transform computes.

    Raises `InputFileError` for a step without equivalent, and for the transform of a training.
    """
    found: dict[str, Any] = {}
    for each in _flat(step):
        _take(each, found)
    return _checked(found)


def _take(step: Step, found: dict[str, Any]) -> None:
    data = step.attributes()
    if step.kind in _NOTHING:
        return
    if data.get("p", 1) != 1 and data.get("always_apply") is not True:
        raise refused(f"{step.kind} is applied at random (p = {data['p']!r:.20})")
    if "mean" in found:
        raise refused(f"{step.kind} comes after Normalize")
    if step.kind == "Normalize":
        _normalize(step, data, found)
    elif "crop" in found:
        raise refused(f"{step.kind} comes after the crop or the padding")
    elif step.kind == "CenterCrop":
        found["crop"] = list(sides((data.get("height"), data.get("width")), step))
    elif step.kind == "PadIfNeeded":
        _pad(step, data, found)
    elif "resize" in found:
        raise refused(f"{step.kind} comes after a resize")
    elif step.kind in ("Resize", "LongestMaxSize"):
        _resize(step, data, found)
    else:
        raise refused(f"{step.name} is a step of training, or has no equivalent here")


def _resize(step: Step, data: Mapping[str, Any], found: dict[str, Any]) -> None:
    filter_number = data.get("interpolation", _LINEAR)
    if filter_number != _LINEAR:
        raise refused(f"{step.kind} has OpenCV's filter {filter_number!r:.20}, not INTER_LINEAR")
    found["antialias"] = False
    if step.kind == "Resize":
        found["resize"] = list(sides((data.get("height"), data.get("width")), step))
        return
    found["resize"] = sides(data.get("max_size"), step)[0]
    found["resize_mode"] = "longest"


def _pad(step: Step, data: Mapping[str, Any], found: dict[str, Any]) -> None:
    size = list(sides((data.get("min_height"), data.get("min_width")), step))
    position = str(data.get("position", "center")).rpartition(".")[2].lower()
    if found.get("resize_mode") != "longest" or min(size) < found["resize"]:
        raise refused("PadIfNeeded has an equivalent after LongestMaxSize of its size only")
    if data.get("border_mode", _CONSTANT) != _CONSTANT or position != "center":
        raise refused("PadIfNeeded does not pad all around with one colour")
    found["crop"] = size
    fill = data.get("fill", data.get("value")) or 0
    values = [int(each) for each in numbers(fill, "fill", step)]
    found["fill"] = values[0] if len(values) == 1 else values


def _normalize(step: Step, data: Mapping[str, Any], found: dict[str, Any]) -> None:
    if data.get("normalization", "standard") != "standard":
        raise refused(f"Normalize with {data['normalization']!r:.40} has no equivalent here")
    (white,) = numbers(data.get("max_pixel_value", _WHITE), "max_pixel_value", step)[:1]
    for name, default in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
        values = numbers(data.get(name, default), name, step)
        found[name] = values * 3 if len(values) == 1 else values
    found["rescale"] = 1 / white if white else 0


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    if "mean" not in found:
        raise refused("there is no Normalize, so that the scale of its pixels is not known")
    resize = found.get("resize")
    if "crop" not in found:
        if not isinstance(resize, list):
            raise refused("it does not bring images to one size")
        return {**found, "crop": resize}
    if isinstance(resize, list):
        odd = [(side - crop) % 2 for side, crop in zip(resize, found["crop"], strict=True)]
        if any(odd):
            raise refused("the crop is half a pixel off the centre, rounded in another way here")
    if "resize" not in found:
        raise refused("a crop without a resize is rounded in another way here")
    return found


def _flat(step: Step) -> list[Step]:
    if step.kind not in ("Compose", "Sequential"):
        return [step]
    if step.fields.get("p", 1) != 1:
        raise refused(f"{step.kind} is applied at random (p = {step.fields['p']!r:.20})")
    inside = step.fields.get("transforms")
    if not isinstance(inside, Sequence) or not all(isinstance(each, Step) for each in inside):
        raise refused(f"{step.kind} holds what is not a transform, such as a function")
    return [found for each in inside for found in _flat(each)]
