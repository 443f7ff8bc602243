"""Example images for a version: a few of the validation set, encoded, with PyTorch's outputs.

`resnet-serve` sends them to the server that is to serve the version, before it does, and
`resnet-serve verify` compares with them where PyTorch is absent.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from resnet_convert.parity.reference import OutputSource
from resnet_serve.datasets import Images
from resnet_serve.datasets.encoded import Encoded
from resnet_serve.datasets.selection import spread
from resnet_serve.triton.repository.examples import Examples

COUNT = 8
LARGEST_BYTES = 512 * 2**10  # of one image; every version keeps a copy


def record(reference: OutputSource[Images], images: Images, count: int = COUNT) -> Examples:
    """A few of the images, evenly chosen, through the reference's preprocessing and PyTorch."""
    found = Encoded.of(spread(images, count), LARGEST_BYTES)
    encoded = replace(found, names=tuple(Path(name).name for name in found.names))
    batches = [outputs for _, outputs in reference.outputs(encoded)]
    return Examples.of(encoded, batches)
