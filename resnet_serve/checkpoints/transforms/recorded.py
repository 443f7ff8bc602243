"""Recorded: the transform that a training pickled into its checkpoint, read without running it.

    {"state_dict": …, "val_transform": Compose([Resize(256), CenterCrop(224), …])}

Names with `train` in them are passed over. A transform of evaluation is taken before one that is
just called `transform`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from resnet_serve.checkpoints.pickles.machine import Global, Placeholder
from resnet_serve.checkpoints.transforms import albumentations_steps, torchvision_steps
from resnet_serve.checkpoints.transforms.steps import REMEDY, Step
from resnet_serve.errors import InputFileError, Note
from resnet_serve.preprocessing import Preprocessing

_OF_EVALUATION = ("val", "test", "eval", "infer", "predict", "preprocess")
_DEEPEST = 8
_MOST = 2_000


def find(loaded: object) -> Step | None:
    """The transform in the object of a pickle, or None; its steps are placeholders there."""
    found = dict(_named(loaded, "", 0))
    for words in (_OF_EVALUATION, ("",)):
        for name, value in found.items():
            if "train" not in name and any(word in name for word in words):
                return _step(value, iter(range(_MOST)), 0)
    return None


def preprocessing(step: Step, path: Path) -> Preprocessing:
    """The preprocessing of a transform.

    Raises `InputFileError` for a transform of training, and for one without equivalent.
    """
    of = torchvision_steps if torchvision_steps.is_torchvision(step) else albumentations_steps
    try:
        return Preprocessing.from_json(of.fields(step))
    except InputFileError as error:
        raise InputFileError(
            f"its {step.kind} cannot be used: {error.what}", where=path, remedy=REMEDY
        ) from error


def notice(step: Step, path: Path) -> str:
    """A sentence for the user: what the preprocessing is taken from.

    A note for torchvision, whose images are always RGB.
    """
    said = f"{path} contains its {step.library} {step.kind}, which is its preprocessing"
    if torchvision_steps.is_torchvision(step):
        return Note(said)
    return f"{said}, of RGB images (cv2.imread gives BGR)"


def _named(value: object, name: str, depth: int) -> Iterator[tuple[str, object]]:
    """The transforms in nested mappings, by the names that lead to them."""
    if isinstance(value, Placeholder):
        if _is_transform(value):
            yield name, value
        return
    if isinstance(value, Mapping) and depth < 3:
        for key, each in value.items():
            if isinstance(key, str):
                yield from _named(each, f"{name}.{key}".lower(), depth + 1)


def _is_transform(value: object) -> bool:
    """Whether it is a placeholder of a transform, or of a Sequential that begins with one."""
    if not isinstance(value, Placeholder):
        return False
    if value.name.endswith("container.Sequential") and isinstance(value.state, Mapping):
        modules = value.state.get("_modules")
        inside = list(modules.values()) if isinstance(modules, Mapping) else []
        return bool(inside) and _is_transform(inside[0])
    return value.name.startswith(("torchvision.transforms.", "albumentations."))


def _step(value: object, budget: Iterator[int], depth: int) -> Step:
    """A placeholder as a step, and those in it."""
    converted = _converted(value, budget, depth)
    if isinstance(converted, Step):
        return converted
    raise TypeError(f"{type(value).__name__} is no placeholder")


def _converted(value: object, budget: Iterator[int], depth: int) -> object:
    if depth > _DEEPEST or next(budget, None) is None:
        return None
    if isinstance(value, Global):
        return value
    if isinstance(value, Placeholder):
        state = value.state
        if isinstance(state, tuple) and len(state) == 2:  # with slots
            state = {**(state[0] or {}), **(state[1] or {})}
        fields = {str(key): each for key, each in state.items()} if isinstance(state, dict) else {}
        if value.entries:
            fields |= {str(key): each for key, each in value.entries.items()}
        if value.arguments and not fields:  # an enumeration, or what a class was called with
            fields = {"value": value.arguments[0]}
        return Step(
            value.name,
            {key: _converted(each, budget, depth + 1) for key, each in fields.items()},
        )
    if isinstance(value, Mapping):
        return {str(key): _converted(each, budget, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_converted(each, budget, depth + 1) for each in value]
    return value
