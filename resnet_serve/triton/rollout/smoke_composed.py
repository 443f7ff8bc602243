"""The smoke test of a composed model: its outputs are the average of its members'.

    example image ─► composed model                                  ─► outputs ┐
                  ─► each member (of every crop), through the server ─► average ┴► compared

It shows that the right members of the right versions are run, with the right images, and averaged
as they should be. That a member is right is shown by its own examples, when it is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve import passport
from resnet_serve.activation import SOFTMAX
from resnet_serve.crops import views
from resnet_serve.errors import ParityError
from resnet_serve.parity import gate, numerics
from resnet_serve.passport import ComposedPassport, ConvertedPassport, MemberFacts
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import decode
from resnet_serve.triton.composed_config import outputs as outputs_of
from resnet_serve.triton.config import OUTPUT
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.repository import examples
from resnet_serve.triton.repository.versions import Deployed

_TIMEOUT_S = 60.0
_MOST = 4  # images; of ten crops each is ten requests and more


def images(deployed: Deployed, document: ComposedPassport) -> tuple[bytes, ...]:
    """The example images of its first member that keeps any."""
    for member in document.members:
        found = examples.read(_path(deployed, member), [OUTPUT])
        if found is not None:
            return found.images[:_MOST]
    return ()


def compare(
    client: Client,
    deployed: Deployed,
    document: ComposedPassport,
    names: Mapping[str, str],
    files: Sequence[bytes],
) -> None:
    """Raise `ParityError` where the outputs for a file are not the average of the members'.

    Every model has the name that `names` says, its own by default.
    """
    activation = document.contract.activation or SOFTMAX
    wanted = outputs_of(activation)[0]
    logits = [_asked(client, deployed, document, names, file) for file in files]
    expected = np.stack([activation.averaged(each) for each in logits])
    model = f"{document.name}_image"
    model = names.get(model, model) if model in deployed.models else names[document.name]
    found = np.concatenate(
        [
            client.ask(model, np.array([file], np.object_), [wanted], timeout_s=_TIMEOUT_S)[wanted]
            for file in files
        ]
    )
    measured = {1: numerics.compare_all({wanted: expected}, {wanted: found})}
    verdict = gate.judge(
        PRECISIONS["fp32"].budget, measured, None, trained=document.trained, of=document.parity.of
    )
    for check in verdict.checks:
        if not check.passed and check.binding:
            raise ParityError(
                f"its {wanted} are not the average of its members: {check.name} {check.found}, "
                f"allowed {check.allowed}",
                where=str(deployed),
            )


def _asked(
    client: Client,
    deployed: Deployed,
    document: ComposedPassport,
    names: Mapping[str, str],
    file: bytes,
) -> NDArray[np.float32]:
    """The logits of every member, or of its every crop: FP32 [n,classes]."""
    rows = []
    scales = None if document.crops is None else document.crops.scales
    for member in document.members:
        facts = passport.read(_path(deployed, member) / passport.FILE_NAME)
        if not isinstance(facts, ConvertedPassport):
            raise ParityError(f"its member {member.name} is no network", where=str(deployed))
        cut = member.preprocessing
        image = decode(file, cut.limits)
        pixels = views(image, cut, scales)
        given: NDArray[Any] = pixels if facts.contract.input == "uint8" else cut.normalize(pixels)
        name, version = names.get(member.name, member.name), str(member.version)
        rows += [
            client.ask(name, each, [OUTPUT], version=version, timeout_s=_TIMEOUT_S)[OUTPUT]
            for each in given
        ]
    return np.concatenate(rows)


def _path(deployed: Deployed, member: MemberFacts) -> Any:
    return deployed.repository / member.name / str(member.version)
