"""The smoke test: a version's example images through a running server.

Each image goes to the tensor model as pixels and to the ensemble as the encoded file; the outputs
must be as close to the reference's as the gate of its precision allows, and the best class must
have the version's own label. What the tensor model and the ensemble answer must agree too.
A composed model is compared with its members (`smoke_composed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import ParityError
from resnet_serve.parity import gate, numerics
from resnet_serve.passport import ComposedPassport, ConvertedPassport
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import decode
from resnet_serve.triton.config import OUTPUT
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.rollout import smoke_composed

_TIMEOUT_S = 60.0
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Smoked:
    """What a version's examples showed, in one line."""

    images: int
    summary: str


def test(client: Client, deployed: Deployed, names: Mapping[str, str]) -> Smoked:
    """Send the examples of a version to its models, which are served as `names` says.

    Raises `ParityError` where the outputs are not those of the reference, and `HostError` where
    there are none.
    """
    document = deployed.passport
    if isinstance(document, ComposedPassport):
        files = smoke_composed.images(deployed, document)
        if not files:
            return Smoked(0, "loaded; its members keep no example images to test it with")
        smoke_composed.compare(client, deployed, document, names, files)
        return Smoked(len(files), f"{len(files)} example images are its members' average")
    if not isinstance(document, ConvertedPassport):
        return Smoked(0, "loaded; nothing is known of what it answers")
    found = examples.read(deployed.path, list(document.outputs))
    if found is None:
        return Smoked(0, "loaded; it keeps no example images to test it with")
    contract = document.contract
    pixels = np.stack([contract.preprocessing.pixels(decode(each)) for each in found.images])
    tensors = pixels if contract.input == "uint8" else contract.preprocessing.normalize(pixels)
    outputs = list(document.outputs)
    served = infer(client, names[deployed.name], list(tensors), outputs)
    _compare(deployed, "pixels", found.expected, served, document)
    image = f"{deployed.name}_image"
    if image in names:
        encoded = [np.array([each], dtype=np.object_) for each in found.images]
        _compare(
            deployed,
            "image files",
            found.expected,
            infer(client, names[image], encoded, outputs),
            document,
        )
    for model in (each for each in (deployed.name, image) if each in names):
        if document.classes and (deployed.path / LABELS_FILE).is_file():
            given = tensors[0] if model == deployed.name else encoded[0]
            _compare_label(client, deployed, names[model], given)
    return Smoked(len(found), f"{len(found)} example images are within the gate's budget")


def infer(
    client: Client,
    model: str,
    inputs: Sequence[NDArray[Any]],
    outputs: Sequence[str],
    *,
    version: str = "",
    timeout_s: float = _TIMEOUT_S,
) -> dict[str, NDArray[np.float32]]:
    """One request per input; every output [N,…] by name. Raises `HostError`."""
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    for data in inputs:
        found = client.ask(model, data, outputs, version=version, timeout_s=timeout_s)
        for name in outputs:
            rows[name].append(found[name][0])
    return {name: np.stack(values) for name, values in rows.items()}


def _compare(
    deployed: Deployed, what: str, expected: Outputs, served: Outputs, document: ConvertedPassport
) -> None:
    for name, values in served.items():
        if not np.isfinite(values).all():
            raise ParityError(f"its {name} of {what} are not finite", where=str(deployed))
    if document.overridden:
        return  # it was deployed although the gate refused it
    budget = document.gate.budget or PRECISIONS[document.precision].budget
    measured = {1: numerics.compare_all(expected, served)}
    verdict = gate.judge(budget, measured, None, trained=document.trained, of=document.parity.of)
    for check in verdict.checks:
        if not check.passed and check.binding:
            raise ParityError(
                f"its outputs for example {what} are not the reference's: {check.name} "
                f"{check.found}, allowed {check.allowed}",
                where=str(deployed),
            )


def named(
    client: Client, model: str, data: NDArray[Any], count: int, output: str = OUTPUT
) -> dict[int, str]:
    """What the server calls the `count` best classes of one input, by number."""
    found = client.ask(model, data, [output], classes=count, timeout_s=_TIMEOUT_S)
    parts = [entry.decode().split(":", 2) for entry in found[output].reshape(-1)]
    return {int(index): rest[0] if rest else "" for _, index, *rest in parts}


def _compare_label(client: Client, deployed: Deployed, model: str, data: NDArray[Any]) -> None:
    """The best class that the server names is the line of its number in the version's labels."""
    labels = (deployed.path / LABELS_FILE).read_text(encoding="utf-8").splitlines()
    ((index, name),) = named(client, model, data, 1).items()
    if name != labels[index]:
        raise ParityError(
            f"it calls class {index} {name!r}, its labels {labels[index]!r}", where=str(deployed)
        )
