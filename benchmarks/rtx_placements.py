"""What the builder of TensorRT-RTX makes of Q/DQ pairs, by their places and types.

    python benchmarks/rtx_placements.py

The real parser and builder, which need no GPU, build each network with each placement for each
target, and the builder's own list of layers is counted: kernels, convolutions by the types that
they read and write, additions inside of a convolution, bytes of activations that the kernels read
and write per image, and the size of the engine. Nothing is run: this is no measurement of speed.
Weights and ranges are random; the types and places of the pairs decide what is fused.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter

import numpy as np
import onnx_ir as ir
import torch
from placements import PLACEMENTS, placed
from recorded import record

from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.nodes import joins_images
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_convert.tensorrt import engine_layers
from resnet_convert.tensorrt.judging.judge import Judge
from resnet_convert.tensorrt.judging.verdict import Question, Verdict
from resnet_serve.architectures import build, find
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes.profiles import Profile

NETWORKS = ("resnet18", "resnet50")
TARGETS = ("8.9", "12.0")
BATCHES = Profile(1, 8, 32)
_TENSOR = re.compile(
    r"\{ Name: .*?, Dimensions: \[(?P<sides>[-\d,]*)\],.*?, Datatype: (?P<type>\w+)"
)
_LAYER = re.compile(
    r"Name: .*?, LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: \[.*?\], "
    r"Outputs: \[(?P<outputs>.*?)\], TacticName: "
)
_BYTES = {"Float": 4, "Int32": 4, "Half": 2, "BFloat16": 2}  # of the others 1
_NO_KERNELS = {"shape_call", "signal", "wait"}


def main() -> None:
    """Build every network with every placement for every target, and write what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="ARCH")
    wanted = parser.parse_args()
    rows = []
    with Judge() as judge:
        version = judge.version()
        for arch in wanted.networks:
            folded = network(arch)
            for name, placement in PLACEMENTS.items():
                model = serialize(placed(folded, placement))
                for target in TARGETS:
                    asked = Question(model, targets=(target,), profiles=(BATCHES,))
                    row = {
                        "network": arch,
                        "target": target,
                        "placement": name,
                        **counted(judge.ask(asked), folded),
                    }
                    print(" ".join(map(str, row.values())), flush=True)
                    rows.append(row)
    writing_integers = sum("->Int8" in str(row["convolutions"]) for row in rows)
    record(
        "rtx-placements",
        rows,
        {
            "what": "the builder's list of layers by the places and types of Q/DQ pairs; "
            "nothing was run",
            "tensorrt_rtx": version,
            "profile": str(BATCHES),
            "builds": len(rows),
            "builds with a convolution that writes Int8": writing_integers,
        },
    )


def network(arch: str) -> ir.Model:
    """The folded FP32 graph of a network with random weights, which takes pixels."""
    torch.manual_seed(0)
    row = find(arch)
    side = row.image_size
    model = trace(build(row).eval(), (3, side, side)).model
    fold(model)
    take_pixels(model, Preprocessing(resize=side, crop=(side, side)))
    return model


def counted(verdict: Verdict, folded: ir.Model) -> dict[str, object]:
    """What the list of layers holds; the convolutions by the types that they read and write."""
    if not verdict.built:
        said = [*verdict.errors, *(each.text for each in verdict.refusals), verdict.outcome]
        return {
            "kernels": 0,
            "convolutions": f"not built: {said[0][:120]}",
            "additions_fused": "",
            "activation_mb": 0,
            "engine_mb": 0,
        }
    layers = engine_layers.read(verdict.layers)
    listed = list(_LAYER.finditer(verdict.layers))
    assert len(layers) == len(listed)
    names = [str(node.name) for node in folded.graph if node.op_type == "Conv"]
    additions = [str(node.name) for node in folded.graph if joins_images(node)]
    kernels = [found for found in listed if found["kind"] not in _NO_KERNELS]
    found: Counter[str] = Counter()
    computing = [
        (layer, match)
        for layer, match in zip(layers, listed, strict=True)
        if layer.computes and any(layer.holds(name) for name in names)
    ]
    for _, match in computing:
        read = _TENSOR.findall(match["inputs"])
        wrote = sorted({kind for _, kind in _TENSOR.findall(match["outputs"])})
        found[f"{read[0][1]}->{','.join(wrote)}"] += 1
    fused = sum(any(layer.holds(name) for layer, _ in computing) for name in additions)
    moved = sum(
        _size(sides, kind)
        for match in kernels
        for sides, kind in _TENSOR.findall(match["inputs"]) + _TENSOR.findall(match["outputs"])
    )
    return {
        "kernels": len(kernels),
        "convolutions": ", ".join(f"{count} {types}" for types, count in found.most_common()),
        "additions_fused": f"{fused} of {len(additions)}",
        "activation_mb": round(moved / 1e6, 1),
        "engine_mb": round((verdict.plan_bytes or 0) / 1e6, 1),
    }


def _size(sides: str, kind: str) -> int:
    """Bytes of a tensor of one image: the open side of the batch, -1, counts as one."""
    elements = int(np.prod([abs(int(side)) for side in sides.split(",") if side] or [1]))
    return elements * _BYTES.get(kind, 1)


if __name__ == "__main__":
    main()
