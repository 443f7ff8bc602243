"""Composition: several views of one image, one model per view, their probabilities averaged.

ensemble   a view per member, prepared as that member needs it     He et al. 2015 (3.57 % was one)
ten-crop   a view per crop and scale, all for one member           Krizhevsky et al. 2012

p = 1/K · Σ softmax(logits_k),  in PyTorch: torch.stack([softmax(m(x)) …]).mean(0)

Sigmoids are averaged in the same way, raw scores as they are (`average`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_convert.ensembles.execution import execute
from resnet_convert.ensembles.members import Member, difference
from resnet_serve.activation import Activation
from resnet_serve.comparison.distances import BATCH_SIZE, Outputs
from resnet_serve.comparison.recorded import to_input
from resnet_serve.crops import TenCrop
from resnet_serve.datasets import Images
from resnet_serve.optional import optional
from resnet_serve.preprocessing import ImageError
from resnet_serve.runtimes import RunnableModel
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.triton.composed_config import PROBABILITIES, logits_name, outputs

if TYPE_CHECKING:
    import torch
else:
    torch = optional("torch", extra="convert")

# A batch is an object array [n,views]: each entry the pixels UINT8 [H,W,3] of one view.
Views = NDArray[Any]
RULES = MappingProxyType(
    {
        "ensemble": "mean of the members' {}",
        "ten-crop": "mean of the {} of all crops",
    }
)


@dataclass(frozen=True)
class Composition:
    """What is averaged: the members of an ensemble, or with `crops` one member's many views."""

    name: str
    members: tuple[Member, ...]
    crops: TenCrop | None = None

    @property
    def kind(self) -> str:
        """ "ensemble" or "ten-crop"."""
        return "ensemble" if self.crops is None else "ten-crop"

    @property
    def difference(self) -> str | None:
        """Why the members cannot take one tensor of pixels; None if they can."""
        return difference(self.members)

    @property
    def served(self) -> tuple[str, ...]:
        """The names that clients ask for; the first one carries the passport."""
        image = f"{self.name}_image"
        if self.crops is not None:
            return (self.name,)
        return (image,) if self.difference else (self.name, image)

    @property
    def view_members(self) -> tuple[Member, ...]:
        """The member of each view, in the order of the average's inputs."""
        return self.members if self.crops is None else self.members * len(self.crops)

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, the same of every member."""
        return self.members[0].labels

    @property
    def activation(self) -> Activation:
        """How the logits of every member, and those of the average, are read."""
        return self.members[0].activation

    @property
    def averaged(self) -> str:
        """The output that has the average: probabilities, or raw scores."""
        return outputs(self.activation)[0]

    @property
    def rule(self) -> str:
        """What is averaged, in words."""
        raw = self.averaged != PROBABILITIES
        what = "raw scores" if raw else f"{self.activation.kind} probabilities"
        return RULES[self.kind].format(what)

    @property
    def trained(self) -> bool:
        """Whether every member is."""
        return all(member.passport.trained for member in self.members)

    @property
    def largest_side(self) -> int:
        """Of an image that needs no enlarging, in pixels."""
        sides = [max(member.preprocessing.crop) for member in self.members]
        return max(sides if self.crops is None else self.crops.scales)

    def views(self, image: Image.Image) -> list[NDArray[np.uint8]]:
        """The pixels of one image for each of `view_members`."""
        if self.crops is not None:
            return list(self.crops.pixels(image))
        return [member.preprocessing.pixels(image) for member in self.members]

    def batches(self, images: Images) -> Iterator[Views]:
        """The views of all images, batch by batch; raises `ImageError` naming a bad image."""
        for start in range(0, len(images), BATCH_SIZE):
            numbers = range(start, min(start + BATCH_SIZE, len(images)))
            batch = np.empty((len(numbers), len(self.view_members)), object)
            for row, index in enumerate(numbers):
                try:
                    views = self.views(images.image(index))
                except ImageError as error:
                    raise ImageError(
                        error.what, where=images.name_of(index), remedy=error.remedy
                    ) from error
                for column, view in enumerate(views):
                    batch[row, column] = view
            yield batch


class Composed(RunnableModel):
    """The files that will be served, in process; `run` takes `Views`, returns the average.

    `executions` say by member what runs it, and whether that is an emulation.
    """

    def __init__(self, composition: Composition, average: bytes, threads: int) -> None:
        self._composition = composition
        self._open = ExitStack()
        self.executions = {member.name: execute(member, threads) for member in composition.members}
        self._members = {
            name: self._open.enter_context(each.model) for name, each in self.executions.items()
        }
        self._average = self._open.enter_context(onnxruntime_runtime.load(average, threads=1))

    def run(self, batch: Views) -> NDArray[np.float32]:
        """Averaged probabilities or raw scores [n,classes]."""
        logits = []
        for column, member in enumerate(self._composition.view_members):
            given = to_input(
                member.input_kind, np.stack(list(batch[:, column])), member.preprocessing
            )
            largest = member.max_batch_size
            parts = [
                self._members[member.name].run(given[at : at + largest])
                for at in range(0, len(given), largest)
            ]
            logits.append(np.concatenate(parts))
        others = {logits_name(number): each for number, each in enumerate(logits[1:], start=2)}
        values = self._average.run_all(logits[0], others)
        averaged: NDArray[np.float32] = values[self._average.output_names[0]]
        return averaged

    def run_all(self, batch: Views) -> Outputs:
        """The average, by name."""
        return {self._composition.averaged: self.run(batch)}

    def describe(self) -> dict[str, object]:
        """The members' descriptions, by name."""
        return {name: model.describe() for name, model in self._members.items()}

    def close(self) -> None:
        """Close every member."""
        self._open.close()


@dataclass(frozen=True)
class ComposedReference:
    """PyTorch's average, as the source of a comparison's outputs."""

    composition: Composition
    threads: int

    @property
    def output_kind(self) -> str:
        """Probabilities, or the logits of raw scores."""
        return self.composition.averaged

    @property
    def activation(self) -> Activation:
        """The members'."""
        return self.composition.activation

    @property
    def label_names(self) -> Sequence[str]:
        """The members' labels."""
        return self.composition.labels

    @property
    def classifies(self) -> bool:
        """Always."""
        return True

    def outputs(self, images: Images) -> Iterator[tuple[Views, Outputs]]:
        """Batches of views, and the average [n,classes] for them."""
        networks = {
            member.name: pytorch_runtime.load(member.reference(), threads=self.threads)
            for member in self.composition.members
        }
        for batch in self.composition.batches(images):
            found = []
            for column, member in enumerate(self.composition.view_members):
                planes = member.preprocessing.normalize(np.stack(list(batch[:, column])))
                logits = torch.from_numpy(networks[member.name].run(planes))
                found.append(_activated(logits, self.activation))
            yield batch, {self.composition.averaged: torch.stack(found).mean(0).numpy()}

    def to_input(self, views: Views) -> Views:
        """The views as they are: `Composed` prepares each for its member."""
        return views


def _activated(logits: torch.Tensor, activation: Activation) -> torch.Tensor:
    """What is averaged of logits [n,classes]."""
    if activation.decides_classes:
        return torch.softmax(logits, 1)
    return torch.sigmoid(logits) if activation.decides_labels else logits
