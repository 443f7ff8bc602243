"""Graphs of residual blocks, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir


def chain(graph: Callable[..., ir.Model], blocks: int) -> ir.Model:
    """Residual blocks of one 1×1 convolution each."""
    lines = ["[start] x0 = Mul (image, one)"]
    for n in range(blocks):
        lines += [
            f"[conv{n}] c{n} = Conv (x{n}, w)",
            f"[relu{n}] r{n} = Relu (c{n})",
            f"[add{n}] x{n + 1} = Add (r{n}, x{n})",
        ]
    body = "\n".join(lines)
    weight = np.random.default_rng(0).normal(0, 0.1, (2, 2, 1, 1)).astype(np.float32)
    return graph(
        f"(float[N,2,4,4] image) => (float[N,2,4,4] x{blocks}) {{ {body} }}",
        one=np.float32(1),
        w=weight,
    )
