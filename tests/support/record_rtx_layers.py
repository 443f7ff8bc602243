"""Layer lists that TensorRT-RTX logs of a small network, recorded for tests without the library.

    python tests/support/record_rtx_layers.py

writes `tests/data/rtx_layers/PRECISION.txt`; the network is `small_network`, and tests that have
the library compare the files with what it logs now.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch

from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.ranges import Range
from resnet_convert.tensorrt.judging.verdict import Question
from resnet_serve.architectures import build, find
from resnet_serve.preprocessing import Preprocessing

FOLDER = Path(__file__).resolve().parents[1] / "data" / "rtx_layers"
PRECISIONS = ("fp16", "int8")


def small_network(precision: str) -> ir.Model:
    """Three basic blocks of 32, 64 and 128 channels, as `--target tensorrt` types them."""
    model = ir.from_proto(_untyped())
    if precision == "int8":
        random = np.random.default_rng(0)
        s8s8.quantize(
            model,
            {name: Range(*sorted(random.normal(0, 3, 2))) for name in s8s8.activations(model)},
            "int8",
        )
    halve(model)
    return model


@cache
def _untyped() -> onnx.ModelProto:
    torch.manual_seed(0)
    row = replace(find("resnet20-b"), depths=(1, 1, 1), widths=(32, 64, 128))
    model = trace(build(row).eval(), (3, 32, 32)).model
    fold(model)
    take_pixels(model, Preprocessing(resize=32, crop=(32, 32)))
    return ir.to_proto(model)


def logged(precision: str) -> str:
    """What the library logs of its layers; it runs in a child process."""
    from rtx import judge

    verdict = judge().ask(Question(serialize(small_network(precision))))
    assert verdict.built, verdict
    return verdict.layers.rstrip() + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in PRECISIONS:
        (FOLDER / f"{each}.txt").write_text(logged(each), encoding="utf-8")
