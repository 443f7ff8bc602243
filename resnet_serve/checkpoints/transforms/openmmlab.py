"""OpenMMLab: the configuration of a training, which its checkpoints keep as text (`meta.cfg`).

    data_preprocessor = dict(mean=[123.675, …], std=[58.395, …], to_rgb=True)
    model = dict(backbone=dict(type='ResNet', depth=50, …), head=dict(num_classes=1000, …))
    test_pipeline = [dict(type='ResizeEdge', scale=256, edge='short'), dict(type='CenterCrop', …)]

The text is parsed, not run. mmpretrain and its predecessor mmcls are read. Their images are BGR
arrays unless they are turned, and OpenCV, the default, resizes without antialiasing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from resnet_serve.checkpoints.transforms.steps import Step, numbers, refused, sides

_NOTHING = (
    *("LoadImageFromFile", "PackInputs", "PackClsInputs", "ImageToTensor", "ToTensor", "Collect"),
    *("DefaultFormatBundle", "PackDetInputs", "LoadAnnotations"),
)
_PIPELINES = ("test_pipeline", "val_pipeline")
_LOADERS = ("test_dataloader", "val_dataloader")
_LONGEST = 200_000


def config_of(value: object) -> Mapping[str, Any] | None:
    """The configuration in a text, or the mapping itself, where it is one of OpenMMLab."""
    found = _parsed(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        return None
    return found if normalizes(found) or "backbone" in _at(found, "model") else None


def normalizes(config: Mapping[str, Any]) -> bool:
    """Whether it has a mean and a std."""
    return bool(_normalization(config))


def has_pipeline(config: Mapping[str, Any]) -> bool:
    """Whether it has a test pipeline with a crop or a resize."""
    return any(each.kind in ("CenterCrop", "Resize", "ResizeEdge") for each in _pipeline(config))


def network(config: Mapping[str, Any]) -> str | None:
    """The name of the backbone: "resnet50", or with what its configuration changes in it."""
    backbone = _at(config, "model", "backbone")
    kind, depth = backbone.get("type"), backbone.get("depth")
    if not isinstance(kind, str) or type(depth) is not int:
        return None
    caffe = backbone.get("style") == "caffe" and depth >= 50
    cardinality = f"{backbone.get('groups', 32)}x{backbone.get('width_per_group', 4)}"
    known = {
        "ResNet": f"resnet{depth}",
        "ResNetV1c": f"resnet{depth}c",
        "ResNetV1d": f"resnet{depth}d",
        "ResNet_CIFAR": f"resnet{depth}-cifar",
        "ResNeXt": f"resnext{depth}_{cardinality}d",
    }
    changed = [
        f"{name} {tuple(backbone[name])}"
        for name, usual in (("strides", (1, 2, 2, 2)), ("dilations", (1, 1, 1, 1)))
        if isinstance(backbone.get(name), list | tuple) and tuple(backbone[name]) != usual
    ]
    kind = kind.rpartition(".")[2]
    name = known.get(kind, f"{kind.lower()}{depth}") + ("v1" if caffe else "")
    return f"{name} with {', '.join(changed)}" if changed else name


def classes(config: Mapping[str, Any]) -> int | None:
    """The number of classes of its head."""
    count = _at(config, "model", "head").get("num_classes")
    return count if type(count) is int else None


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the preprocessing of its test pipeline; without geometry if it has none.

    Raises `InputFileError` for a step without equivalent.
    """
    found: dict[str, Any] = {}
    _normalize(_normalization(config), found)
    for step in _pipeline(config):
        _take(step, found)
    if "resize" in found and "crop" not in found:
        if not isinstance(found["resize"], list):
            raise refused("its test pipeline does not bring images to one size")
        found["crop"] = found["resize"]
    if "crop" in found:
        found.setdefault("resize", None)
    return found


def _take(step: Step, found: dict[str, Any]) -> None:
    data = step.fields
    if step.kind in _NOTHING:
        return
    if step.kind == "Normalize":
        _normalize(data, found)
    elif "crop" in found:
        raise refused(f"its {step.kind} comes after the crop")
    elif step.kind == "CenterCrop" and data.get("efficientnet_style") is not True:
        found["crop"] = list(sides(data.get("crop_size"), step) * 2)[:2]
    elif step.kind == "ResizeEdge" and data.get("edge", "short") == "short":
        found["resize"] = sides(data.get("scale"), step)[0]
        _filter(step, data, found)
    elif step.kind == "Resize":
        found["resize"] = _resize(step, data)
        _filter(step, data, found)
    else:
        raise refused(f"its {step.kind} has no equivalent here")


def _resize(step: Step, data: Mapping[str, Any]) -> int | list[int]:
    old = data.get("size")  # mmcls: one number is both sides, (256, -1) the shorter one
    if isinstance(old, list | tuple) and len(old) == 2 and old[1] == -1:
        return sides(old[0], step)[0]
    if old is not None:
        return list(sides(old, step) * 2)[:2]
    if data.get("keep_ratio") is True:
        raise refused("its Resize keeps the ratio within a frame")
    given = list(sides(data.get("scale"), step) * 2)[:2]
    return given[::-1]  # (width, height)


def _filter(step: Step, data: Mapping[str, Any], found: dict[str, Any]) -> None:
    name = data.get("interpolation", "bilinear")
    pillow = data.get("backend", "cv2") == "pillow"
    if not pillow and name not in ("bilinear", "nearest"):
        raise refused(f"its {step.kind} uses OpenCV's {name!r:.40}, which has no equivalent here")
    found["interpolation"] = name
    if not pillow and name == "bilinear":
        found["antialias"] = False


def _normalize(data: Mapping[str, Any], found: dict[str, Any]) -> None:
    step = Step("Normalize", data)
    for name in ("mean", "std"):
        if data.get(name) is not None:
            found[name] = numbers(data[name], name, step)
            found["rescale"] = 1
    if "mean" in data and "std" in data:
        turned = data.get("to_rgb", data.get("bgr_to_rgb", False)) is True
        found["channel_order"] = "rgb" if turned or len(found["mean"]) == 1 else "bgr"


def _normalization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    places = (("data_preprocessor",), ("model", "data_preprocessor"), ("img_norm_cfg",))
    found = (_at(config, *place) for place in places)
    return next((each for each in found if {"mean", "std"} <= each.keys()), {})


def _pipeline(config: Mapping[str, Any]) -> list[Step]:
    candidates = [config.get(name) for name in _PIPELINES]
    candidates += [_at(config, name, "dataset").get("pipeline") for name in _LOADERS]
    candidates += [_at(config, "data", name).get("pipeline") for name in ("test", "val")]
    found = next((each for each in candidates if isinstance(each, Sequence) and each), ())
    return [
        Step(str(each.get("type")), {k: v for k, v in each.items() if k != "type"})
        for each in found
        if isinstance(each, Mapping)
    ]


def _at(config: Mapping[str, Any], *place: str) -> Mapping[str, Any]:
    found: Any = config
    for name in place:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _parsed(text: str) -> dict[str, Any]:
    """The assignments of a configuration file that are made of literals and `dict(…)`."""
    found: dict[str, Any] = {}
    if len(text) > _LONGEST:
        return found
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    for line in tree.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = _value(line.value, found)
            except (ValueError, RecursionError):
                continue
    return found


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {
            each.arg: _value(each.value, names) for each in node.keywords if each.arg is not None
        }
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(key): _value(value, names) for key, value in pairs if key}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each, names) for each in node.elts]
    if isinstance(node, ast.Name):
        return names.get(node.id)
    return ast.literal_eval(node)
