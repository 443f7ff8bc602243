"""Whole pickled networks and training states: their tensors by the right names, nothing run."""

from __future__ import annotations

import argparse
import enum
import pathlib
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import classifiers
import pytest
import torch
from state_dicts import same
from torch import nn

from resnet_serve.checkpoints.pickles import contents
from resnet_serve.checkpoints.pickles.machine import PickleError
from resnet_serve.checkpoints.reading import read
from resnet_serve.checkpoints.states import containers
from resnet_serve.errors import InputFileError


class Config(dict):  # type: ignore[type-arg]
    """A dict with attributes, as mmcv's and easydict's."""


class Mode(enum.Enum):
    TRAIN = 1


class Slots:
    __slots__ = ("model",)

    def __init__(self, model: object) -> None:
        self.model = model


class Shy(nn.Module):
    """With what is not in a state dict, and a module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.again = self.fc
        self.nothing = None
        self.register_parameter("absent", None)
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("hidden", torch.ones(2), persistent=False)


def saved(path: Path, content: object, *, zipped: bool = True) -> Path:
    torch.save(content, path / "net.pth", _use_new_zipfile_serialization=zipped)
    return path / "net.pth"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "network",
    [
        classifiers.seeded_vgg(),
        classifiers.InceptionLike(),
        nn.DataParallel(classifiers.seeded_vgg()),
        Shy(),
    ],
    ids=["vgg", "inception", "parallel", "shy"],
)
def test_a_pickled_network_is_its_state_dict(
    tmp_path: Path, network: nn.Module, zipped: bool
) -> None:
    found = contents.recovered(saved(tmp_path, network, zipped=zipped))
    assert isinstance(found.loaded, dict)
    assert list(found.loaded) == list(network.state_dict())
    assert same(found.loaded, network.state_dict())
    assert found.placeholders


@pytest.mark.parametrize(
    "beside",
    [
        {"args": argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=1))},
        {"cfg": Config(lr=0.1), "path": pathlib.PurePosixPath("/tmp/x"), "mode": Mode.TRAIN},
        {"history": defaultdict(list, {"loss": [1.0]}), "order": OrderedDict(a=1)},
        {"best": __import__("numpy").float64(0.9), "generator": torch.Generator().get_state()},
        {"optimizer": torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)},
    ],
    ids=["namespace", "config", "defaultdict", "numpy", "optimizer"],
)
def test_objects_beside_a_state_dict_do_not_matter(tmp_path: Path, beside: dict[str, Any]) -> None:
    state = classifiers.seeded_vgg().state_dict()
    path = saved(tmp_path, {"state_dict": state, **beside})
    found = [each for each in containers.found(contents.recovered(path).loaded)
             if each.place == ("state_dict",)]  # fmt: skip
    assert len(found) == 1
    assert same(found[0].tensors, state)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (Slots, ("model",)),
        (lambda net: argparse.Namespace(ema=net, best=0.9), ("ema",)),
        (lambda net: Config(model=net.state_dict()), ("model",)),
        (lambda net: [net], ("0",)),
        (lambda net: {"model": net, "ema": None}, ("model",)),
    ],
)
def test_a_network_in_an_object_is_found(tmp_path: Path, content: Any, place: Any) -> None:
    network = classifiers.seeded_vgg()
    loaded = contents.recovered(saved(tmp_path, content(network))).loaded
    (found,) = containers.found(loaded)
    assert found.place == place
    assert same(found.tensors, network.state_dict())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (torch.eye(2).to_sparse(), "fc.weight is a sparse tensor"),
        (torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8), "fc.weight is quantized"),
        (torch.eye(2, device="meta"), "fc.weight is a meta tensor"),
    ],
)
def test_tensors_that_are_not_plain_are_named(
    tmp_path: Path, tensor: torch.Tensor, text: str
) -> None:
    path = saved(tmp_path, {"model": {"fc.weight": tensor}, "args": argparse.Namespace()})
    with pytest.raises(InputFileError, match=text.replace(".", r"\.")):
        read(str(path))


class Attack:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("function", [exec, eval, __import__("os").system, open])
def test_a_file_that_attacks_is_not_read_at_all(
    tmp_path: Path, function: Any, zipped: bool
) -> None:
    state = classifiers.seeded_vgg().state_dict()
    attack = Attack(function, f"{tmp_path}/trace")
    path = saved(tmp_path, {"state_dict": state, "args": attack}, zipped=zipped)
    with pytest.raises(PickleError, match="it calls "):
        contents.recovered(path)
    with pytest.raises(InputFileError, match="contains pickled code, which is not run: it needs"):
        read(str(path))
    assert [each.name for each in tmp_path.iterdir()] == ["net.pth"]


def test_objects_that_hold_themselves_end(tmp_path: Path) -> None:
    loop = argparse.Namespace()
    loop.itself = loop
    with pytest.raises(PickleError, match="too often"):
        contents.recovered(saved(tmp_path, loop))
    network = nn.Sequential(nn.Flatten())
    network._modules["1"] = network
    with pytest.raises(PickleError, match="too often"):
        contents.recovered(saved(tmp_path, network))
