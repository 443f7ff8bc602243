"""The transform in a checkpoint, and the number of its channels, through the whole of loading."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import custom_modules

MODULE = "torchvision.transforms.transforms"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    names = ("a", "b", "c")
    return dict(weights.load("random:1", find("resnet20-b"), labels=names).state)


def saved(path: Path, content: object, kinds: tuple[str, ...]) -> Path:
    """`torch.save` where torchvision is installed, as far as pickle can tell."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torchvision", "torchvision.transforms", MODULE):
            patch.setitem(sys.modules, name, ModuleType(name))
        for kind in kinds:
            setattr(sys.modules[MODULE], kind, CLASSES[kind])
        torch.save(content, path)
    return path


CLASSES = {
    kind: type(kind, (), {"__module__": MODULE})
    for kind in ("Compose", "Resize", "CenterCrop", "ToTensor", "RandomCrop")
}


def made(kind: str, **state: object) -> object:
    found = CLASSES[kind]()
    found.__dict__.update(state)
    return found


def compose(*steps: object) -> object:
    return made("Compose", transforms=list(steps))


def test_the_transform_of_a_checkpoint_is_its_preprocessing(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    steps = (made("Resize", size=36), made("CenterCrop", size=(32, 32)), made("ToTensor"))
    content = {"state_dict": state, "val_transform": compose(*steps)}
    path = saved(tmp_path / "net.pth", content, tuple(CLASSES))
    loaded = weights.load(str(path), None)
    assert loaded.preprocessing == Preprocessing(36, (32, 32), mean=(0,) * 3, std=(1,) * 3)
    assert any("contains its torchvision Compose" in notice for notice in loaded.notices)
    assert "preprocessing" not in {each.subject for each in loaded.assumptions}


def test_a_transform_of_training_is_refused_and_the_remedy_works(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    content = {"state_dict": state, "transform": compose(made("RandomCrop", size=32))}
    path = saved(tmp_path / "net.pth", content, tuple(CLASSES))
    with pytest.raises(InputFileError, match=r"RandomCrop is a step of training.*--preprocessing"):
        weights.load(str(path), None)
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"resize": 36, "crop": 32}))
    loaded = weights.load(str(path), None, reading=Reading(preprocessing=own))
    assert loaded.preprocessing == Preprocessing(36, (32, 32))


FOUR = '''
import torch
from torch import nn

class Net(nn.Module):
    """Four channels, the fourth being opaque alpha, from an RGB image."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, 2, 1)
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))
'''


def test_a_network_of_four_channels_is_refused_once_and_the_remedy_works(
    tmp_path: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    four = {**state, "conv1.weight": torch.randn(16, 4, 3, 3)}
    torch.save(four, tmp_path / "four.pth")
    own = tmp_path / "four.json"
    own.write_text(json.dumps({"mean": [0.4] * 4, "std": [0.2] * 4}))
    for reading in (Reading(), Reading(preprocessing=own)):
        with pytest.raises(InputFileError, match="Give --module with a network of 3"):
            weights.load(str(tmp_path / "four.pth"), None, reading=reading)
    (tmp_path / "four_channels_net.py").write_text(FOUR)
    monkeypatch.chdir(tmp_path)
    loaded = custom_modules.load("four_channels_net.py:Net", None)
    assert loaded.architecture.channels == 3
