"""Refusals of real files, each followed: what the remedy says is done, and then it loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from state_dicts import same
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import build, find, heads
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError
from resnet_serve.weights import custom_modules

BASIC = find("resnet20-b").with_classes(8)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    torch.manual_seed(2)
    network = build(BASIC)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    return dict(network.state_dict())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.pth"


def refused(path: Path, reading: Reading | None = None) -> str:
    """The refusal, which is the same with --arch auto and with the network's name."""
    texts = set()
    for architecture in (None, find("resnet20-b")):
        with pytest.raises(InputFileError) as caught:
            weights.load(str(path), architecture, reading=reading or Reading())
        texts.add(str(caught.value))
    (text,) = texts
    return text


def loads(path: Path, expected: dict[str, Tensor], reading: Reading | None = None) -> None:
    for architecture in (None, find("resnet20-b")):
        loaded = weights.load(str(path), architecture, reading=reading or Reading())
        assert loaded.architecture.name == "resnet20-b"
        assert same(loaded.state, expected)


def test_teacher_and_student(path: Path, trained: dict[str, Tensor]) -> None:
    other = {name: tensor + 1 for name, tensor in trained.items()}
    torch.save({"student": trained, "teacher": other, "epoch": 3}, path)
    text = refused(path)
    assert "student, teacher" in text
    key = text.partition("--weights-key ")[2]
    loads(path, {"student": trained, "teacher": other}[key], Reading(key=key))
    loads(path, other, Reading(key="teacher"))


@pytest.mark.parametrize("head", ["features", "pyramid"])
def test_a_backbone(path: Path, trained: dict[str, Tensor], head: str) -> None:
    torch.save({n: t for n, t in trained.items() if not n.startswith("fc.")}, path)
    assert f"--head {head}" in refused(path)
    loaded = weights.load(str(path), None, reading=Reading(classifier=False))
    whole = build(BASIC)
    whole.load_state_dict(trained)
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        found = heads.attach(loaded.network(), head)(image)
        assert same(found, heads.attach(whole, head)(image))


def test_a_classifier_without_bias(path: Path, trained: dict[str, Tensor]) -> None:
    torch.save({n: t for n, t in trained.items() if n != "fc.bias"}, path)
    loads(path, {**trained, "fc.bias": torch.zeros(8)})


def test_a_pruned_network(path: Path, trained: dict[str, Tensor]) -> None:
    mask = (torch.rand_like(trained["fc.weight"]) > 0.5).float()
    state = {n: t for n, t in trained.items() if n != "fc.weight"}
    state |= {"fc.weight_orig": trained["fc.weight"], "fc.weight_mask": mask}
    torch.save(state, path)
    loads(path, {**trained, "fc.weight": trained["fc.weight"] * mask})


def test_fake_quantization(path: Path, trained: dict[str, Tensor]) -> None:
    state = {**trained, "conv1.weight_fake_quant.scale": torch.ones(1)}
    torch.save(state, path)
    code = refused(path).partition("torch.save(")[2].rpartition(", 'fp32.pth')")[0]
    torch.save(eval(code, {"state": state}), path)
    loads(path, trained)


def test_an_epoch_among_the_tensors(path: Path, trained: dict[str, Tensor]) -> None:
    torch.save({**trained, "epoch": 12, "arch": "resnet20"}, path)
    loads(path, trained)


def test_fp16_overflow(path: Path, trained: dict[str, Tensor]) -> None:
    state = {**trained, "bn1.running_var": torch.full((16,), 1e5)}
    halved = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    torch.save(halved, path)
    text = refused(path)
    assert "bn1.running_var contains infinities: FP16 overflowed" in text
    assert "Save the FP32 weights" in text
    torch.save(state, path)
    loads(path, state)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("call", ["to_dense", "dequantize"])
def test_tensors_that_are_not_plain(path: Path, trained: dict[str, Tensor], call: str) -> None:
    weight = torch.round(trained["fc.weight"] * 10) / 10
    state = {**trained, "fc.weight": weight.to_sparse()}
    if call == "dequantize":
        state["fc.weight"] = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
    torch.save(state, path)
    text = refused(path)
    assert "fc.weight is " in text
    (found,) = re.findall(r"= state\[name\]\.(\w+)\(\)", text)
    assert found == call
    state["fc.weight"] = getattr(state["fc.weight"], found)()
    torch.save(state, path)
    loads(path, state)


FOUR = """
import torch
from resnet_serve.architectures import build, find


class Four(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = build(find("resnet20-b").with_classes(8).with_channels(4))

    def forward(self, x):
        return self.net({made})


def wide(): return build(find("resnet20-b").with_classes(8))
"""


def test_images_of_four_channels(path: Path, trained: dict[str, Tensor]) -> None:
    state = {**trained, "conv1.weight": torch.randn(16, 4, 3, 3)}
    torch.save(state, path)
    made = refused(path).partition(", as ")[2].partition(" makes a fourth")[0]
    code, preprocessing = path.with_name("nets.py"), path.with_name("pp.json")
    code.write_text(FOUR.replace("{made}", made))
    preprocessing.write_text(json.dumps({"resize": 32, "crop": [32, 32]}))
    reading = Reading(preprocessing=preprocessing)
    loaded = custom_modules.load(f"{code}:Four", str(path), reading=reading)
    assert same(loaded.state, {f"net.{name}": tensor for name, tensor in state.items()})


def test_a_network_of_one_s_own(path: Path) -> None:
    code, preprocessing = path.with_name("nets.py"), path.with_name("pp.json")
    code.write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    preprocessing.write_text(json.dumps({"resize": 32, "crop": [32, 32]}))
    torch.save({"0.weight": torch.ones(4, 3, 3, 3), "0.bias": torch.zeros(4)}, path)
    for architecture in (None, find("resnet20-b")):
        with pytest.raises(InputFileError, match="--module package"):
            weights.load(str(path), architecture)
    reading = Reading(preprocessing=preprocessing)
    loaded = custom_modules.load(f"{code}:make", str(path), reading=reading)
    assert torch.equal(loaded.state["0.weight"], torch.ones(4, 3, 3, 3))


def test_another_row_of_the_family(path: Path, trained: dict[str, Tensor]) -> None:
    torch.save(trained, path)
    with pytest.raises(InputFileError) as caught:
        weights.load(str(path), find("resnet32"))
    name = re.findall(r"Give --arch ([\w-]+)\.", str(caught.value))
    loaded = weights.load(str(path), find(*name))
    assert same(loaded.state, trained)


def test_integers_with_a_scale(path: Path, trained: dict[str, Tensor]) -> None:
    integers, scale = torch.round(trained["fc.weight"] * 100), torch.tensor(0.01)
    state = {**trained, "fc.weight": integers.to(torch.int8)}
    torch.save(state, path)
    text = refused(path)
    assert "fc.weight holds integers (int8)" in text
    code = text.rpartition("state[name] = ")[2]
    state["fc.weight"] = eval(code, {"state": state, "name": "fc.weight", "scale": scale})
    torch.save(state, path)
    loads(path, {**trained, "fc.weight": integers * scale})
