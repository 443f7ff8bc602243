"""Folded graphs in every precision of an engine, as `--target tensorrt` types them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from resnet_convert.graph.half import halve
from resnet_convert.graph.opset import FOR_BF16, raise_opset
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.ranges import Range


def give_precision(model: ir.Model, precision: str) -> None:
    """Rewrite a folded graph in place; the ranges of INT8 and FP8 are random."""
    if precision in ("int8", "fp8"):
        random = np.random.default_rng(0)
        names = s8s8.activations(model)
        ranges = {name: Range(*sorted(random.normal(0, 3, 2))) for name in names}
        s8s8.quantize(model, ranges, precision)
        halve(model)
    elif precision != "fp32":
        halve(model, precision)
    if precision == "bf16":
        raise_opset(model, *FOR_BF16)
