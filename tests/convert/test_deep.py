"""Six hundred layers go the whole way from trace to INT8: more operators in a row than Python may
recurse into.

It is half of ResNet-1202, the deepest network of the paper, which takes minutes and is converted by
`benchmarks/depth.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from this_cpu import LARGEST, VNNI
from torch import nn

from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.segments.cutting import cut
from resnet_convert.graph.trace import CHECKED_BATCHES, TOLERANCE, trace, verify
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.u8s8 import activations, quantize
from resnet_serve.architectures import build, find
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

SIZE = (3, 16, 16)
BLOCKS = 300


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Random weights; its BatchNorms have seen one batch, or 300 sums would overflow."""
    torch.manual_seed(0)
    row = find("resnet1202")
    made = build(replace(row, depths=(BLOCKS // 3,) * 3)).train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        made(torch.randn(8, *SIZE))
    return made.eval().requires_grad_(False)


@pytest.mark.slow
def test_six_hundred_layers_are_traced_folded_and_quantized(network: nn.Module) -> None:
    traced = trace(network, SIZE)
    assert traced.operators["Conv"] == traced.operators["BatchNormalization"] == 2 * BLOCKS + 1
    assert traced.operators["Add"] == BLOCKS

    model = traced.model
    folding = fold(model)
    assert (folding.folded, folding.kept) == (2 * BLOCKS + 1, ())
    found = verify(traced.reference, model, SIZE, stage="fold")
    assert set(found) == set(CHECKED_BATCHES)
    assert all(each.relative <= TOLERANCE for each in found.values())

    names = activations(model)
    assert len(cut(model, names)) > 20, "it is looked into in many segments"
    random = np.random.default_rng(0)
    batches = [random.normal(size=(2, *SIZE)).astype(np.float32) for _ in range(2)]
    ranges = observe(model, names, batches, threads=1).ranges
    with onnxruntime_runtime.load(serialize(model), threads=1) as exact:
        expected = np.concatenate([exact.run(batch) for batch in batches])
    quantization = quantize(model, ranges, largest_weight=LARGEST)
    assert quantization.layers == 2 * BLOCKS + 2
    operators = Counter(node.op_type for node in model.graph)
    assert operators["QuantizeLinear"] == quantization.activations
    with onnxruntime_runtime.load(serialize(model), threads=1) as converted:
        logits = np.concatenate([converted.run(batch) for batch in batches])
    # A bit less of the weights is up to 6 dB.
    least_db = 15 if VNNI else 12
    assert numerics.compare(expected, logits).sqnr_db > least_db
