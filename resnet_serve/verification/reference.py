"""Images with the reference's outputs for a deployed version: recorded, or computed by PyTorch.

The recorded ones are the version's own examples. For other images the network is built again from
the weights that the passport names, or the networks of a composed model's members.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from resnet_serve.activation import SOFTMAX
from resnet_serve.datasets import Images, open_images, pixel_batches
from resnet_serve.datasets.decided import SPLIT, open_decided
from resnet_serve.datasets.encoded import Encoded
from resnet_serve.errors import UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.runtimes import pytorch
from resnet_serve.triton.repository import examples
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import composition, rebuilt
from resnet_serve.verification.subject import reference_outputs

_LARGEST_BYTES = 2**26
_MOST_BYTES = 2**30  # of the reference's outputs for all images
_BATCH = 8


def recorded(deployed: Deployed) -> Examples:
    """The version's own examples; raises `UsageError` where it keeps none."""
    found = examples.read(deployed.path, list(reference_outputs(deployed)))
    if found is None:
        again = f"Give --images, or make it again: {deployed.passport.command}"
        raise UsageError("keeps no example images to compare", where=str(deployed), remedy=again)
    return found


def computed(deployed: Deployed, source: str, modules: Collection[str] = ()) -> Examples:
    """The images of a folder or a built-in set, and what PyTorch makes of them.

    `modules` are the networks of the user's own that may be run. Raises as `rebuilt.network`, and
    `UsageError` for more images than the outputs of all can be kept of.
    """
    images = _opened(deployed, source)
    _require_few(deployed, len(images))
    encoded = Encoded.of(images, _LARGEST_BYTES)
    made = _networks(deployed, encoded, modules)
    return Examples.of(encoded, list(made))


def _opened(deployed: Deployed, source: str) -> Images:
    """The images, labelled where the version has classes."""
    document = deployed.passport
    if not document.classes:
        return open_images(source, None, split=SPLIT)
    activation = document.contract.activation or SOFTMAX
    return open_decided(source, rebuilt.labels(deployed), activation)


def _require_few(deployed: Deployed, images: int) -> None:
    document = deployed.passport
    if not isinstance(document, ConvertedPassport):
        return
    each = 4 * sum(math.prod(shape) for shape in document.outputs.values())
    most = max(1, _MOST_BYTES // each)
    if images > most:
        raise UsageError(
            f"the outputs for {images} images are too large to compare ({each * images:,} bytes)",
            where=str(deployed),
            remedy=f"Give a folder of at most {most} images.",
        )


def _networks(
    deployed: Deployed, encoded: Encoded, modules: Collection[str]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    document = deployed.passport
    if not isinstance(document, ConvertedPassport):
        yield from composition.averages(deployed, encoded, modules)
        return
    preprocessing = document.contract.preprocessing
    network = pytorch.load(rebuilt.network(deployed, modules), threads=document.contract.threads)
    for pixels in pixel_batches(encoded, preprocessing, _BATCH):
        yield network.run_all(preprocessing.normalize(pixels))
