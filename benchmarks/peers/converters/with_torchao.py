"""torchao's PT2E static quantization for x86, compiled by Inductor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)


def convert(folder: Path) -> None:
    """To `torchao.pt2`, which is compiled when it is first run."""
    images = torch.from_numpy(np.load(folder / "calibration.npy"))
    network = torch.load(folder / "network.pt", weights_only=False).eval()
    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad():
        network(images[:1])  # what the network imports when it runs cannot be traced
    # Not strict, both uses of the one ReLU of a block are one partition, which it cannot quantize.
    shapes = (batch,)
    exported = torch.export.export(network, (images[:2],), dynamic_shapes=shapes, strict=True)
    quantizer = X86InductorQuantizer()
    quantizer.set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(exported.module(), quantizer)
    with torch.no_grad():
        for image in images:
            prepared(image[None])
    made = convert_pt2e(prepared)
    move_exported_model_to_eval(made)
    torch.export.save(
        torch.export.export(made, (images[:2],), dynamic_shapes=(batch,)), folder / "torchao.pt2"
    )


def load(folder: Path) -> Callable[[Any], Any]:
    """Compiled, with its weights frozen, as its tutorial says."""
    torch._inductor.config.freezing = True
    compiled = torch.compile(torch.export.load(folder / "torchao.pt2").module())

    def run(images: Any) -> Any:
        with torch.no_grad():
            return compiled(torch.from_numpy(images)).numpy()

    return run
