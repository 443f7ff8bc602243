"""Normalization: a network that normalizes its images itself, in a layer with a mean and a std.

    Sequential(Normalize(mean, std), resnet20())     0.mean, 0.std, 1.conv1.weight, …

Its mean and std are the preprocessing of the network inside, which is how it is served.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.errors import InputFileError

if TYPE_CHECKING:
    from torch import Tensor

_MEAN = re.compile(r"(?:.*\.)?(?:pixel_|image_|norm_)?(mean)")


def check(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `InputFileError` for tensors of a mean and a std, with what to save and to give."""
    for name, mean in tensors.items():
        other = f"{name[: -len('mean')]}std"
        if _MEAN.fullmatch(name) is None or other not in tensors:
            continue
        std = tensors[other]
        if mean.numel() not in (1, 3) or std.numel() != mean.numel():
            continue
        scale = 255 if float(mean.abs().max()) > 4 else 1
        fields = {
            "mean": [round(float(each) / scale, 6) for each in mean.flatten()],
            "std": [round(float(each) / scale, 6) for each in std.flatten()],
        }
        raise InputFileError(
            f"normalizes its images itself, with {name} and {other}",
            where=path,
            remedy=f"Save it without them: torch.save({{name: tensor for name, tensor in "
            f"state.items() if name not in ({name!r}, {other!r})}}, 'net.pth'), and give "
            f"--preprocessing a file with {json.dumps(fields)}",
        )
