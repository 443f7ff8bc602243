"""Images with the reference's outputs for a deployed version: recorded, or computed by PyTorch.

The recorded ones are the version's own examples. For other images the network is built again from
the weights that the passport names, which must have the same SHA-256.
"""

from __future__ import annotations

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.datasets import open_images, pixel_batches
from resnet_serve.datasets.encoded import Encoded
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.runtimes import pytorch
from resnet_serve.triton.config import LABELS_FILE
from resnet_serve.triton.repository import examples
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed

_LARGEST_BYTES = 2**26
_BATCH = 8


def recorded(deployed: Deployed) -> Examples:
    """The version's own examples; raises `UsageError` where it keeps none."""
    found = None
    if isinstance(deployed.passport, ConvertedPassport):
        found = examples.read(deployed.path, list(deployed.passport.outputs))
    if found is None:
        raise UsageError(
            "keeps no example images to compare", where=str(deployed), remedy="Give --images."
        )
    return found


def computed(deployed: Deployed, source: str) -> Examples:
    """The images of a folder or a built-in set, and what PyTorch makes of them.

    Raises `InputFileError` for weights that are not those of the passport, and `HostError` where
    PyTorch is not installed.
    """
    document = deployed.passport
    if not isinstance(document, ConvertedPassport) or document.module is not None:
        raise UsageError(
            "its reference cannot be built again here",
            where=str(deployed),
            remedy="Leave out --images: its own examples are compared.",
        )
    if document.head != "classifier":
        raise UsageError(
            f"it has the head {document.head}",
            where=str(deployed),
            remedy="Leave out --images: its own examples are compared.",
        )
    # Every command would otherwise spend a fifth of its start on importing readers of checkpoints.
    from resnet_serve.checkpoints.reading import again

    labels = tuple((deployed.path / LABELS_FILE).read_text(encoding="utf-8").splitlines())
    stated, preprocessing = document.weights, document.contract.preprocessing
    spec, reading = again(stated.source, stated.sha256)
    loaded = weights.load(spec, find(document.architecture), labels=labels, reading=reading)
    if loaded.sha256 != stated.sha256:
        raise InputFileError(
            f"is not what {deployed} was made from (its SHA-256 differs)", where=stated.source
        )
    encoded = Encoded.of(open_images(source, labels, split="validation"), _LARGEST_BYTES)
    network = pytorch.load(loaded.network(), threads=document.contract.threads)
    batches = [
        network.run_all(preprocessing.normalize(pixels))
        for pixels in pixel_batches(encoded, preprocessing, _BATCH)
    ]
    return Examples.of(encoded, batches)
