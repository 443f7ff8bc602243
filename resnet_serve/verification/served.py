"""A version through the running server, from image files to labels, against its reference.

    encoded image ─► stored preprocessing ─► PyTorch's outputs        (recorded, or computed now)
                  ─► the server: its preprocessing, its model, its labels

The pixels show a changed preprocessing, the outputs a changed model, the configuration that the
server reports a changed backend, the labels that it names changed labels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from resnet_serve.activation import SOFTMAX, Kind
from resnet_serve.errors import HostError, ResnetServeError, UsageError
from resnet_serve.parity import accuracy, gate, numerics
from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.numerics import Numerics
from resnet_serve.passport import ConvertedPassport
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import decode
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.canary.split import BACKEND
from resnet_serve.triton.config import LABELS_FILE, PIXELS
from resnet_serve.triton.config_patch import ConfigPatch
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import CONFIG_FILE
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.rollout import smoke
from resnet_serve.verification.files import Row

_MOST_NAMED = 5
_PIXELS_FP32 = 1e-5
_RESTART = "serve the version again: resnet-serve promote {name} {version}"


@dataclass(frozen=True)
class Measured:
    """How close one model's outputs are to the reference's.

    `decisions` are None where the outputs decide for no class; `flipped` names the images whose
    class changed.
    """

    numerics: Numerics
    decisions: Decisions | None = None
    flipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Every comparison with a server, and the distances of the outputs by model."""

    rows: tuple[Row, ...]
    measured: Mapping[str, Measured]


class Expected:
    """What a version is to make of images, computed once for any number of comparisons.

    Raises `UsageError` for a version that is composed of others.
    """

    def __init__(self, deployed: Deployed, images: Examples) -> None:
        document = deployed.passport
        if not isinstance(document, ConvertedPassport):
            raise UsageError(
                "it is composed of others", where=str(deployed), remedy="Verify its members."
            )
        self.deployed = deployed
        self._document = document
        self._images = images
        self._tensors = _tensors(document, images)

    def compare(self, url: str) -> Comparison:
        """Ask the server at `url`; raises `HostError` where it does not answer."""
        deployed, document, images = self.deployed, self._document, self._images
        rows, measured = list[Row](), dict[str, Measured]()
        with contextlib.closing(GrpcClient(url)) as client:
            absent = _absent(client, deployed)
            rows += _configurations(client, deployed, absent)
            files = [np.array([image], np.object_) for image in images.images]
            asked = {deployed.name: list(self._tensors)}
            if absent:
                what = f"the server has no {' and no '.join(absent)}: it was asked with pixels only"
                rows.append(_row(deployed, "encoded images", True, what))
            else:
                rows.append(_pixels(client, deployed, self._tensors, files))
                asked = {f"{deployed.name}_image": files, **asked}
            for model, inputs in asked.items():
                found = smoke.infer(client, model, inputs, list(document.outputs))
                if other := _other_shapes(images.expected, found):
                    rows.append(_row(deployed, f"{model}: outputs", False, other))
                    continue
                measured[model] = _measured(document, images, found)
                rows += _outputs(model, document, measured[model])
                if document.classes:
                    rows.append(_labels(client, model, deployed, inputs))
        return Comparison(tuple(rows), measured)


def rows(deployed: Deployed, url: str, images: Examples) -> tuple[Row, ...]:
    """Every comparison with the server at `url`; raises `HostError` where it does not answer."""
    return Expected(deployed, images).compare(url).rows


def _row(deployed: Deployed, subject: str, ok: bool, found: str) -> Row:
    remedy = "" if ok else _RESTART.format(name=deployed.name, version=deployed.version)
    return Row(subject, "ok" if ok else "differs", found, remedy)


def _absent(client: GrpcClient, deployed: Deployed) -> tuple[str, ...]:
    """The models that take encoded images, on a server that was given none of them."""
    models = [each for each in deployed.models if image_repository.takes_images(each)]
    for model in models:
        try:
            client.get_model_config(model, client_timeout=60)
        except InferenceServerException as error:
            if error.message().endswith("is not found"):
                continue
        return ()
    return tuple(models)


def _configurations(
    client: GrpcClient, deployed: Deployed, absent: Collection[str]
) -> Iterator[Row]:
    """What the server runs, with what the version's own configuration says."""
    for model in (each for each in deployed.models if each not in absent):
        own = deployed.directory(model) / str(deployed.version) / CONFIG_FILE
        expected = config.parse(own.read_text(encoding="utf-8"))
        try:
            found = client.get_model_config(model, client_timeout=60).config
        except InferenceServerException as error:
            raise HostError(f"{model} is not served: {error.message()}") from error
        if found.backend == BACKEND:
            name = deployed.name
            raise UsageError(
                f"a canary of {name} gets a share of the requests to {model}",
                remedy=f"First: resnet-serve promote {name}, or resnet-serve withdraw {name}",
            )
        fields = (*_fields(expected, found), *_patched(deployed, expected, found))
        differing = [
            f"{field} {_shown(there)}, the version's own {_shown(ours)}"
            for field, ours, there in fields
            if ours != there
        ]
        policy = list(found.version_policy.specific.versions)
        if policy and policy != [deployed.version]:
            differing.append(f"version {policy[0]}, not {deployed.version}")
        what = "; ".join(differing) or "backend, parameters and version are the version's own"
        yield _row(deployed, f"configuration of {model}", not differing, what)


def _patched(deployed: Deployed, expected: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """The fields that a user had merged into the configuration."""
    document = deployed.passport
    text = document.config_patch if isinstance(document, ConvertedPassport) else None
    if text is None or expected.name != deployed.name:
        return
    there = ConfigPatch(text).fields(found)
    for field, ours in ConfigPatch(text).fields(expected).items():
        yield field, ours, there[field]


def _fields(expected: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    for field in ("backend", "platform", "default_model_filename", "max_batch_size"):
        ours = getattr(expected, field)
        if ours:  # the server fills in what is left out
            yield field, ours, getattr(found, field)
    for key, value in expected.parameters.items():
        there = found.parameters[key].string_value if key in found.parameters else None
        yield f"parameter {key}", value.string_value, there


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}…"


def _tensors(document: ConvertedPassport, images: Examples) -> NDArray[Any]:
    preprocessing = document.contract.preprocessing
    pixels = np.stack([preprocessing.pixels(decode(image)) for image in images.images])
    return pixels if document.contract.input == "uint8" else preprocessing.normalize(pixels)


def _pixels(
    client: GrpcClient,
    deployed: Deployed,
    expected: NDArray[Any],
    files: list[NDArray[Any]],
) -> Row:
    """What the server's own preprocessing makes of the image files."""
    model = f"{deployed.name}_preprocess"
    try:
        found = smoke.infer(client, model, files, [PIXELS])[PIXELS]
    except HostError as error:
        return _row(deployed, "pixels", False, error.what)
    if found.shape != expected.shape:
        what = f"{list(found.shape[1:])}, the passport's preprocessing {list(expected.shape[1:])}"
        return _row(deployed, "pixels", False, what)
    distance = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    far = int((distance.reshape(len(files), -1).max(axis=1) > _PIXELS_FP32).sum())
    what = f"{far} of {len(files)} images differ, by up to {distance.max():g}"
    return _row(deployed, "pixels", not far, what)


def _other_shapes(expected: smoke.Outputs, found: smoke.Outputs) -> str:
    """The outputs that have other dimensions than the reference's; empty if there are none."""
    return "; ".join(
        f"{name} {list(found[name].shape[1:])}, the reference's {list(ours.shape[1:])}"
        for name, ours in expected.items()
        if found[name].shape != ours.shape
    )


def _measured(document: ConvertedPassport, images: Examples, found: smoke.Outputs) -> Measured:
    distance = numerics.compare_all(images.expected, found)
    activation = document.contract.activation or SOFTMAX
    if not document.classes or activation.kind is not Kind.SOFTMAX:
        return Measured(distance)
    (name,) = document.outputs
    decisions = accuracy.decide(images.expected[name], found[name], images.labels)
    return Measured(distance, decisions, tuple(images.names[each] for each in decisions.changed))


def _outputs(model: str, document: ConvertedPassport, measured: Measured) -> Iterator[Row]:
    budget = document.gate.budget or PRECISIONS[document.precision].budget
    decisions, flipped = measured.decisions, measured.flipped
    verdict = gate.judge(
        budget,
        {1: measured.numerics},
        decisions,
        trained=document.trained,
        of=document.parity.of,
    )
    for check in verdict.checks:
        ok = check.passed or not check.binding or document.overridden
        text = f"{check.found}, allowed {check.allowed}"
        remedy = "" if ok else "convert it again, or serve an earlier version"
        yield Row(f"{model}: {check.name}", "ok" if ok else "differs", text, remedy)
    if decisions is not None:
        text = f"{decisions}, top-5 {100 * decisions.top5_agreement:.2f} %"
        if flipped:
            text += f"; flipped: {named(flipped)}"
        if decisions.mcnemar_p is not None:
            text += f"; McNemar p = {decisions.mcnemar_p:.3g}"
        yield Row(f"{model}: decisions", "ok", text)


def named(flipped: Sequence[str]) -> str:
    """The first few of these images, and how many more there are."""
    more = f" and {len(flipped) - _MOST_NAMED} more" if len(flipped) > _MOST_NAMED else ""
    return ", ".join(flipped[:_MOST_NAMED]) + more


def _labels(
    client: GrpcClient,
    model: str,
    deployed: Deployed,
    inputs: list[NDArray[Any]],
) -> Row:
    """The names that the server gives to every class, with the version's labels."""
    labels = (deployed.path / LABELS_FILE).read_text(encoding="utf-8").splitlines()
    try:
        named = smoke.named(client, model, inputs[0], len(labels))
    except ResnetServeError as error:
        return _row(deployed, f"{model}: labels", False, error.what)
    wrong = [index for index, label in enumerate(labels) if named.get(index) != label]
    if not wrong:
        return _row(deployed, f"{model}: labels", True, f"{len(labels)} are the version's own")
    first = wrong[0]
    what = (
        f"{len(wrong)} of {len(labels)} differ: class {first} is called {named.get(first)!r}, "
        f"the version's label is {labels[first]!r}"
    )
    return _row(deployed, f"{model}: labels", False, what)
