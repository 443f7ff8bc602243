"""Does a state dict fit a network of the family? Strictly, or with a word on what it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.architectures import ARCHITECTURES, Architecture, build
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")


def fitting(state: dict[str, Tensor], architecture: Architecture, path: Path) -> dict[str, Tensor]:
    """The state if it fits the architecture exactly; otherwise says what the file looks like."""
    with torch.device("meta"):
        wanted = build(architecture).state_dict()
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted]
    # Checkpoints from before PyTorch 0.4.1 have no batch counters, and evaluation needs none.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    wrong = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if not (missing or extra or wrong):
        _check_finite(state, path)
        counter = torch.zeros((), dtype=torch.int64)
        return {name: state.get(name, counter) for name in wanted}
    details = wrong + [f"{n} is missing" for n in missing] + [f"{n} is unexpected" for n in extra]
    wanted_text = f"{architecture.name} with {architecture.classes} classes"
    raise InputFileError(
        f"does not fit {wanted_text}: {looks_like(state)} ({'; '.join(details[:3])}"
        f"{'; …' if len(details) > 3 else ''})",
        where=path,
        remedy="Give the matching --arch, and --labels with one line per class.",
    )


def looks_like(state: Mapping[str, Tensor]) -> str:
    """Say which network of the family a state dict is, from its names and shapes alone."""
    stages = range(1, 5)
    found = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})
        for stage in stages
    )
    depths = tuple(depth for depth in found if depth)
    block = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    widths = tuple(_outputs(state, f"layer{stage}.0.conv1.weight") for stage in stages)
    classes = _outputs(state, "fc.weight")
    for row in ARCHITECTURES.values():
        same = (row.block, row.depths, row.widths) == (block, depths, widths[: len(depths)])
        if same and _outputs(state, "conv1.weight") == row.widths[0] and classes:
            return f"it looks like {row.name} with {classes} classes"
    return f"it looks like none of the family ({len(state)} tensors)"


def _outputs(state: Mapping[str, Tensor], name: str) -> int:
    """The output channels of a layer; 0 when there is no such layer."""
    return state[name].shape[0] if name in state and state[name].ndim else 0


def _check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputFileError(
                f"{name} holds values that are not finite (NaN or infinity)",
                where=path,
                remedy="The training has diverged; take an earlier checkpoint.",
            )
