"""Steps: a transform as its class's name and attributes, without the class.

Step("torchvision.transforms.transforms.Resize", {"size": 256, "interpolation": "bilinear", …})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnet_serve.errors import InputFileError

# What a step may be asked for and does not compute: the bookkeeping of torch's modules.
_BOOKKEEPING = ("_", "training", "call_super_init")
REMEDY = "Give --preprocessing FILE with the steps of evaluation."


@dataclass(frozen=True)
class Step:
    """One transform; `name` is the full name of its class."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The name of the class alone."""
        return self.name.rpartition(".")[2]

    @property
    def library(self) -> str:
        """The package of the class."""
        return self.name.partition(".")[0]

    def attributes(self) -> dict[str, Any]:
        """Its fields without what torch's modules keep for themselves."""
        return {
            key: value for key, value in self.fields.items() if not key.startswith(_BOOKKEEPING)
        }


def refused(what: str) -> InputFileError:
    """The error of a transform without equivalent; the reader of the file adds where."""
    return InputFileError(what, where="transform", remedy=REMEDY)


def sides(value: object, step: Step) -> tuple[int, ...]:
    """One or two sides in pixels; raises `InputFileError`."""
    values = (
        tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    )
    if len(values) not in (1, 2) or not all(type(each) is int and each > 0 for each in values):
        raise refused(f"{step.kind} has no size in pixels: {value!r:.60}")
    return tuple(int(each) for each in values)


def numbers(value: object, name: str, step: Step) -> list[float]:
    """Numbers, one or one for each channel; raises `InputFileError`."""
    values: list[Any] = [value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        values = list(value)
    if not values or not all(isinstance(each, int | float) for each in values):
        raise refused(f"{step.kind} has a {name} that is not a list of numbers: {value!r:.60}")
    return [float(each) for each in values]
