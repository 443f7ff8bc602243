"""What a server is asked for a version, and what it is to answer: a converted model, or a composed.

converted   NAME_preprocess ─► pixels            NAME, NAME_image ─► outputs
ensemble    MEMBER_preprocess ─► pixels, each    NAME, NAME_image ─► the members' average
ten-crop    NAME_preprocess ─► every crop        NAME ─► the average over the crops
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve import composed
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.crops import views
from resnet_serve.errors import UsageError
from resnet_serve.parity import gate
from resnet_serve.parity.gate import Budget
from resnet_serve.passport import ComposedPassport, ConvertedPassport
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import decode
from resnet_serve.triton import composed_config
from resnet_serve.triton.composed_config import pixels_name
from resnet_serve.triton.config import PIXELS
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import rebuilt


@dataclass(frozen=True)
class Decoding:
    """A model that prepares images: `expected` is by output, [N,…]."""

    subject: str
    model: str
    expected: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Subject:
    """A version, and the versions that it runs, beside the images.

    `models` are all that answer for it, with the version each belongs to. `asked` has the inputs
    of each that clients ask, one per image. `outputs` are the names of what they answer, `labels`
    the names of its classes, `of` what the reference's outputs are called. `activation` is None
    where nothing is decided.
    """

    deployed: Deployed
    models: tuple[tuple[str, Deployed], ...]
    images: Examples
    decodings: tuple[Decoding, ...]
    asked: Mapping[str, Sequence[NDArray[Any]]]
    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    activation: Activation | None
    budget: Budget
    of: str

    @property
    def averages(self) -> bool:
        """Whether its outputs are averages, of probabilities where it decides anything."""
        return isinstance(self.deployed.passport, ComposedPassport)


def reference_outputs(deployed: Deployed) -> tuple[str, ...]:
    """The outputs that a version has a reference for; of a composed one the average."""
    document = deployed.passport
    if isinstance(document, ConvertedPassport):
        return tuple(document.outputs)
    return composed_config.outputs(document.contract.activation or SOFTMAX)[:1]


def of(deployed: Deployed, images: Examples) -> Subject:
    """What the server is asked with these images.

    Raises `UsageError` for a passport that is neither, `InputFileError` for members that are gone.
    """
    document = deployed.passport
    if isinstance(document, ConvertedPassport):
        return _converted(deployed, document, images)
    if isinstance(document, ComposedPassport):
        return _composed(deployed, document, images)
    raise UsageError("its passport does not say what it is", where=str(deployed))


def _converted(deployed: Deployed, document: ConvertedPassport, images: Examples) -> Subject:
    tensors = np.concatenate([*_prepared(document, images, None)])
    name = deployed.name
    return Subject(
        deployed=deployed,
        models=tuple((model, deployed) for model in deployed.models),
        images=images,
        decodings=(Decoding("pixels", f"{name}_preprocess", {PIXELS: tensors}),),
        asked={f"{name}_image": files(images), name: list(tensors)},
        outputs=tuple(document.outputs),
        labels=rebuilt.labels(deployed) if document.classes else (),
        activation=(document.contract.activation or SOFTMAX) if document.classes else None,
        budget=_budget(document),
        of=document.parity.of,
    )


def _composed(deployed: Deployed, document: ComposedPassport, images: Examples) -> Subject:
    found = composed.networks(deployed)
    members, documents = [member for member, _ in found], [facts for _, facts in found]
    scales = None if document.crops is None else document.crops.scales
    prepared = [list(_prepared(facts, images, scales)) for facts in documents]
    activation, name = document.contract.activation or SOFTMAX, document.name
    asked: dict[str, Sequence[NDArray[Any]]] = {}
    if scales is None:
        tensors = [np.concatenate(each) for each in prepared]
        decodings = [
            Decoding(f"pixels of {member.name}", f"{member.name}_preprocess", {PIXELS: each})
            for member, each in zip(members, tensors, strict=True)
        ]
        asked[f"{name}_image"] = files(images)
        if name in deployed.models:  # its members take one tensor
            asked[name] = list(tensors[0])
    else:
        crops = np.stack(prepared[0], axis=1)
        expected = {pixels_name(number): each for number, each in enumerate(crops, start=1)}
        decodings = [Decoding("pixels", f"{name}_preprocess", expected)]
        asked[name] = files(images)
    return Subject(
        deployed=deployed,
        models=(
            *((model, deployed) for model in deployed.models),
            *((model, member) for member in members for model in _run(member, scales is None)),
        ),
        images=images,
        decodings=tuple(decodings),
        asked=asked,
        outputs=composed_config.outputs(activation),
        labels=rebuilt.labels(deployed),
        activation=activation,
        budget=gate.loosest([_budget(each) for each in documents]),
        of=document.parity.of,
    )


def _run(member: Deployed, decoding: bool) -> Iterator[str]:
    """The models of a member that an ensemble runs; ten crops are cut by a model of their own."""
    yield member.name
    if decoding:
        yield f"{member.name}_preprocess"


def _budget(document: ConvertedPassport) -> Budget:
    return document.gate.budget or PRECISIONS[document.precision].budget


def files(images: Examples) -> list[NDArray[Any]]:
    """The encoded images, each as the input of a model that decodes it."""
    return [np.array([image], np.object_) for image in images.images]


def _prepared(
    document: ConvertedPassport, images: Examples, scales: tuple[int, ...] | None
) -> Iterator[NDArray[Any]]:
    """Every image as the model takes it, [views,…]."""
    contract = document.contract
    cut = contract.preprocessing
    for image in images.images:
        pixels = views(decode(image, cut.limits), cut, scales)
        yield pixels if contract.input == "uint8" else cut.normalize(pixels)
