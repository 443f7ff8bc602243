"""Trace: from the PyTorch reference to an ONNX graph that means the same, named the same.

`torch.export` records the network as ATen calls, `writer.py` writes each as an ONNX operator, and
ONNX Runtime has to reproduce PyTorch's outputs at two batch sizes.

The graph has one input `image` FP32 ["batch",C,H,W] and one output `logits` FP32 ["batch",classes],
or those that the network returns by name (a dict of tensors ["batch",…]); opset 17 and IR version
8, which Triton 24.10 and everything newer load.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.model_file import without_weights
from resnet_convert.graph.program import exported
from resnet_convert.graph.writer import Writer
from resnet_serve import host
from resnet_serve.errors import ConversionError, ParityError
from resnet_serve.optional import optional
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import pytorch as pytorch_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch
    from torch import nn
else:
    ir = optional("onnx_ir", extra="convert")
    torch = optional("torch", extra="convert")

Outputs = Mapping[str, NDArray[np.float32]]
CHECKED_BATCHES = (1, 3)
TOLERANCE = 1e-4  # of the largest logit; float32 kernels that sum in another order stay below


@dataclass(frozen=True)
class Trace:
    """The traced graph: how many operators of which kind, and its distance from the reference at
    each checked batch size.

    `reference` has PyTorch's outputs for the random images of each batch size, for `verify`.
    """

    model: ir.Model
    operators: dict[str, int]
    numerics: dict[int, numerics.Numerics]
    reference: Mapping[int, Outputs]
    seconds: float


def trace(network: nn.Module, size: tuple[int, int, int]) -> Trace:
    """Trace a network in evaluation mode over an input of `size` = (channels, height, width).

    Raises `ConversionError` for a network that `torch.export` cannot trace, or naming the module
    for an operator that `operators.ROWS` lacks; and `ParityError` when ONNX Runtime does not
    reproduce the reference at batch 1 and 3.
    """
    started = time.perf_counter()
    model = Writer(exported(network, size)).model()
    reference: dict[int, Outputs] = {
        batch: pytorch_runtime.outputs_of(network, torch.from_numpy(images))
        for batch, images in _random_images(size)
    }
    if not all(np.isfinite(each).all() for found in reference.values() for each in found.values()):
        raise ConversionError(
            "the network's outputs for random images are NaN or infinity",
            where="trace",
            remedy="The checkpoint is damaged or its training diverged.",
        )
    found = verify(reference, model, size)
    counted = Counter(node.op_type for node in model.graph)
    return Trace(model, dict(counted), found, reference, time.perf_counter() - started)


def verify(
    expected: Mapping[int, Outputs],
    model: ir.Model,
    size: tuple[int, int, int],
    *,
    stage: str = "trace",
) -> dict[int, numerics.Numerics]:
    """Run a graph on the random images [batch, *size] of `Trace.reference`, which is `expected`.

    Returns the distances by batch size. Raises `ParityError` naming the `stage` that made the graph
    when they differ.
    """
    results = {}
    data, weights = without_weights(model)
    with onnxruntime_runtime.load(data, threads=host.cores(), weights=weights) as converted:
        for batch, images in _random_images(size):
            results[batch] = numerics.compare_all(expected[batch], converted.run_all(images))
            if not results[batch].relative <= TOLERANCE:
                raise ParityError(
                    f"the graph differs from PyTorch by {results[batch].max_abs:.3g} "
                    f"at batch {batch}",
                    where=stage,
                    remedy=f"This is a bug in our {stage} stage; please report the architecture.",
                )
    return results


def _random_images(size: tuple[int, int, int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The same images [batch, *size] every time, for each checked batch size."""
    generator = torch.Generator().manual_seed(0)
    for batch in CHECKED_BATCHES:
        yield batch, torch.randn(batch, *size, generator=generator).numpy()
