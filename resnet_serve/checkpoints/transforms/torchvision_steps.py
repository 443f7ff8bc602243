"""torchvision's transforms, V1 and V2, as the fields of a preprocessing.

    Compose([Resize(256), CenterCrop(224), ToTensor(), Normalize(mean, std)])
    ImageClassification(crop_size=224, resize_size=232, …)      the preset of `Weights.transforms()`

A resize of a tensor, after ToTensor or ToImage, antialiases only where it is told to; one of a
Pillow image always does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnet_serve.checkpoints.transforms.steps import Step, numbers, refused, sides
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD

_CONTAINERS = ("Compose", "Sequential")
_PRESET = "ImageClassification"
_NOTHING = ("ToPILImage", "ToPureTensor", "Identity", "ToImagePIL")
_TO_TENSOR = ("ToImage", "PILToTensor", "ToImageTensor")  # without another scale
_SCALED = ("float32", "torch.float32")
_RANDOM = (
    *("Random", "Auto", "Rand", "Trivial", "AugMix", "ColorJitter", "Jitter", "Elastic"),
    *("GaussianBlur", "GaussianNoise", "CutMix", "MixUp", "ScaleJitter", "FiveCrop", "TenCrop"),
)


def is_torchvision(step: Step) -> bool:
    """Whether a transform is torchvision's, or torch's Sequential of such."""
    return step.library == "torchvision" or step.name.endswith("container.Sequential")


def fields(step: Step) -> dict[str, Any]:
    """The fields of the preprocessing that a transform computes.

    Raises `InputFileError` for a step without equivalent, and for the transform of a training.
    """
    if step.kind == _PRESET:
        return preset(step.attributes())
    state = _State()
    for each in _flat(step):
        state.take(each)
    return state.fields()


def preset(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a preprocessing for those of a preset, from a pickle or from JSON."""
    step = Step(_PRESET, data)
    unknown = set(data) - {
        *("crop_size", "resize_size", "mean", "std", "interpolation", "antialias")
    }
    if unknown:
        raise refused(f"its field {sorted(unknown)[0]!r} is not one of torchvision's presets")
    crop = sides(data.get("crop_size"), step)
    resize = sides(data.get("resize_size", 256), step)
    return {
        "resize": resize[0] if len(resize) == 1 else list(resize),
        "crop": list(crop * 2)[:2],
        "interpolation": _filter(data.get("interpolation", "bilinear")),
        "mean": numbers(data.get("mean", IMAGENET_MEAN), "mean", step),
        "std": numbers(data.get("std", IMAGENET_STD), "std", step),
    }


@dataclass
class _State:
    """The steps so far."""

    found: dict[str, Any] = field(default_factory=dict)
    cropped: bool = False
    tensor: bool = False
    scaled: bool = False
    grey: bool = False

    def take(self, step: Step) -> None:
        kind, data = step.kind, step.attributes()
        if kind.startswith(_RANDOM):
            raise refused(f"{kind} is a step of training, or gives several images")
        if kind in _NOTHING:
            return
        if kind in ("ToTensor", "ConvertImageDtype", "ToDtype"):
            self._convert(step, data)
        elif kind in _TO_TENSOR:
            self.tensor = True
        elif kind == "Resize":
            self._resize(step, data)
        elif kind == "CenterCrop":
            self._crop(step, data)
        elif kind == "Grayscale" and data.get("num_output_channels", 1) == 1:
            self.grey = True
        elif kind == "Normalize":
            self._normalize(step, data)
        else:
            raise refused(f"{step.name} has no equivalent here")

    def fields(self) -> dict[str, Any]:
        """What they amount to."""
        found = dict(self.found)
        resize = found.get("resize")
        if not self.cropped:
            if not isinstance(resize, list):
                raise refused("it does not bring images to one size")
            found["crop"] = resize
        found.setdefault("resize", None)
        channels = 1 if self.grey else 3
        for name, default in (("mean", 0.0), ("std", 1.0)):
            values = found.get(name, [default])
            found[name] = values * channels if len(values) == 1 else values
        if not self.scaled:
            if not self.tensor:
                raise refused("it makes no tensor, so that the scale of its pixels is not known")
            found["rescale"] = 1
        return found

    def _convert(self, step: Step, data: Mapping[str, Any]) -> None:
        if step.kind != "ToTensor":
            dtype = str(getattr(data.get("dtype"), "name", data.get("dtype")))
            if dtype not in _SCALED:
                raise refused(f"{step.kind} converts to {dtype}, not to float32")
        self.tensor = True
        if step.kind != "ToDtype" or data.get("scale") is True:
            self.scaled = True

    def _resize(self, step: Step, data: Mapping[str, Any]) -> None:
        if "resize" in self.found or self.cropped:
            raise refused("Resize comes twice, or after CenterCrop")
        if data.get("max_size") is not None:
            raise refused("Resize with max_size has no equivalent here")
        size = sides(data.get("size"), step)
        self.found["resize"] = size[0] if len(size) == 1 else list(size)
        self.found["interpolation"] = _filter(data.get("interpolation", "bilinear"))
        if self.tensor and data.get("antialias") is not True:
            self.found["antialias"] = False

    def _crop(self, step: Step, data: Mapping[str, Any]) -> None:
        if self.cropped:
            raise refused("CenterCrop comes twice")
        self.cropped = True
        self.found["crop"] = list(sides(data.get("size"), step) * 2)[:2]

    def _normalize(self, step: Step, data: Mapping[str, Any]) -> None:
        if "mean" in self.found:
            raise refused("Normalize comes twice")
        for name in ("mean", "std"):
            self.found[name] = numbers(data.get(name), name, step)


def _flat(step: Step) -> list[Step]:
    """The steps in their order, out of the containers."""
    if step.kind not in _CONTAINERS:
        return [step]
    inside = step.fields.get("transforms", step.fields.get("_modules"))
    inside = list(inside.values()) if isinstance(inside, Mapping) else inside
    if not isinstance(inside, Sequence) or not all(isinstance(each, Step) for each in inside):
        raise refused(f"{step.kind} holds what is not a transform, such as a function")
    return [found for each in inside for found in _flat(each)]


def _filter(value: object) -> object:
    """The name of a filter: an InterpolationMode, or one of Pillow's numbers."""
    names = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
    if isinstance(value, Step):
        value = value.fields.get("value")
    if isinstance(value, int):
        return names.get(value, value)
    return str(value).rpartition(".")[2].lower()
