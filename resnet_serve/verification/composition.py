"""The reference of a composed model: its members in PyTorch, averaged as they are when served.

image ─► every member's own preprocessing, or all crops ─► PyTorch ─► mean of the probabilities
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from resnet_serve import composed
from resnet_serve.activation import SOFTMAX
from resnet_serve.crops import views
from resnet_serve.datasets.encoded import Encoded
from resnet_serve.passport import ComposedPassport, ConvertedPassport
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import pytorch
from resnet_serve.runtimes.pytorch import PyTorchModel
from resnet_serve.triton.config import OUTPUT
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import rebuilt
from resnet_serve.verification.subject import reference_outputs


def averages(
    deployed: Deployed, images: Encoded, modules: Collection[str]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """The average for each image, FP32 [1,classes], by name; raises as `rebuilt.network`."""
    document = deployed.passport
    if not isinstance(document, ComposedPassport):
        raise TypeError(f"{deployed} is not composed of others")
    scales = None if document.crops is None else document.crops.scales
    activation = document.contract.activation or SOFTMAX
    members = [_opened(*each, modules) for each in composed.networks(deployed)]
    (name,) = reference_outputs(deployed)
    for index in range(len(images)):
        image = images.image(index)
        logits = [
            network.run_all(cut.normalize(views(image, cut, scales)))[OUTPUT]
            for network, cut in members
        ]
        yield {name: activation.averaged(np.concatenate(logits))[None]}


def _opened(
    member: Deployed, document: ConvertedPassport, modules: Collection[str]
) -> tuple[PyTorchModel, Preprocessing]:
    network = rebuilt.network(member, modules)
    contract = document.contract
    return pytorch.load(network, threads=contract.threads), contract.preprocessing
