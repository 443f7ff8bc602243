"""A network that normalizes its images itself: refused, and the remedy gives the same network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return dict(weights.load("random:3", find("resnet20")).state)


@pytest.mark.parametrize(
    ("inside", "layer", "scale"),
    [("1.", "0.", 1.0), ("model.", "normalize.", 1.0), ("", "", 255.0), ("net.", "pixel_", 255.0)],
)
def test_the_mean_and_std_become_the_preprocessing(
    tmp_path: Path, state: dict[str, Tensor], inside: str, layer: str, scale: float
) -> None:
    mine = {f"{inside}{name}": tensor for name, tensor in state.items()}
    for name, value in (("mean", 0.5), ("std", 0.25)):
        mine[f"{layer}{name}"] = torch.full((1, 3, 1, 1), value * scale)
    torch.save(mine, tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="normalizes its images itself") as caught:
        weights.load(str(tmp_path / "net.pth"), find("resnet20"))
    command, _, rest = (
        str(caught.value.remedy)
        .removeprefix("Save it without them: ")
        .partition(", and give --preprocessing a file with ")
    )
    target, own = tmp_path / "fixed.pth", tmp_path / "own.json"
    exec(command.replace("'net.pth'", repr(str(target))), {"torch": torch, "state": mine})
    own.write_text(json.dumps(json.loads(rest)))
    found = weights.load(str(target), find("resnet20"), reading=Reading(preprocessing=own))
    assert found.preprocessing.mean == (0.5, 0.5, 0.5)
    assert found.preprocessing.std == (0.25, 0.25, 0.25)
    assert torch.equal(found.state["conv1.weight"], state["conv1.weight"])
