"""What is read beside the weights: configs, processors, labels and preprocessing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import other_libraries
import pytest
import torch
from library_configs import A1, RESNET_50, written
from safetensors.torch import save_file
from state_dicts import as_run
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import catalog, find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights.assumptions import Subject

pytestmark = pytest.mark.usefixtures("one_thread")
RESNET20 = find("resnet20")


def test_a_network_that_computes_otherwise_between_the_same_layers_is_refused_or_said(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    written(tmp_path, A1 | {"architecture": "resnetaa20"})
    doubt = "timm calls it 'resnetaa20', which is not in the family"
    with pytest.raises(InputFileError) as caught:
        weights.load(str(tmp_path / "model.safetensors"), None)
    assert str(caught.value) == (
        f"{tmp_path / 'config.json'}: {doubt}: its tensors alone do not show what it computes. "
        "Give --arch if it computes the same, or --module with its own code."
    )
    loaded = weights.load(str(tmp_path / "model.safetensors"), RESNET20)
    assert loaded.notices == (f"{doubt}: it is read as a resnet20 nevertheless",)


def test_a_published_file_is_known_by_its_hash_whatever_it_is_called(
    tmp_path: Path, random18: weights.Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "downloaded.pth"
    torch.save(dict(random18.state), path)
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    row = catalog.Published("resnet18", "v2", f"resnet18-{prefix}.pth", 44.7, 232, 70.0, 89.0)
    monkeypatch.setattr(catalog, "CATALOG", {("resnet18", "v2"): row})
    loaded = weights.load(str(path), None)
    assert loaded.preprocessing == Preprocessing(resize=232)
    assert loaded.training["published_top1"] == 70.0
    assert loaded.notices == (f"{path} is torchvision's resnet18 V2, whose preprocessing is used",)
    with path.open("ab") as file:
        file.write(b"more")
    assert weights.load(str(path), None).preprocessing == Preprocessing(resize=256)


@pytest.mark.parametrize(
    ("config", "processor"),
    [
        ("not JSON", None),
        (A1 | {"pretrained_cfg": {"crop_mode": "corner"}}, None),
        (RESNET_50, {"size": {"longest_edge": 224}, "image_mean": None}),
        (RESNET_50, "not JSON"),
    ],
)
def test_what_is_refused_beside_the_weights_is_overridden_by_the_remedy(
    tmp_path: Path, state: dict[str, Tensor], config: object, processor: object
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    written(tmp_path, config)
    if processor is not None:
        written(tmp_path, processor, "preprocessor_config.json")
    path = str(tmp_path / "model.safetensors")
    with pytest.raises(InputFileError, match=r"[Gg]ive --preprocessing"):
        weights.load(path, RESNET20)
    own = written(tmp_path, {"resize": 40}, "own.json")
    loaded = weights.load(path, RESNET20, reading=Reading(preprocessing=own))
    assert loaded.preprocessing.resize == 40


def test_how_timm_s_resnetv2_see_images_is_said_when_it_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(as_run(other_libraries.timm_v2(find("resnetv2_18")).state_dict()), path)
    loaded = weights.load(str(path), None)
    assert loaded.architecture == find("resnetv2_18")
    assert loaded.preprocessing == Preprocessing(
        interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert loaded.notices == ("the names are those of timm (resnetv2), read as torchvision's",)
    assert "preprocessing assumed: 256 to 224 × 224, bicubic, mean 0.500 and std 0.500" in str(
        {each.subject: str(each) for each in loaded.assumptions}[Subject.PREPROCESSING]
    )


def test_without_an_architecture_there_must_be_a_file() -> None:
    with pytest.raises(UsageError, match="no network can be inferred from 'digits'"):
        weights.load("digits", None)


def test_preprocessing_belongs_to_the_weights_unless_a_file_says_otherwise(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    torch.save(state, tmp_path / "net.bin")
    config = {"pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 0.8, "mean": [0.5] * 3}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    own = tmp_path / "own.json"
    own.write_text('{"resize": 72, "std": [0.5, 0.5, 0.5]}')
    hub = Preprocessing(resize=80, crop=(64, 64), interpolation="bicubic", mean=(0.5, 0.5, 0.5))
    assert weights.load(str(tmp_path / "net.bin"), RESNET20).preprocessing == hub
    found = weights.load(str(tmp_path / "net.bin"), RESNET20, reading=Reading(preprocessing=own))
    assert found.preprocessing == replace(hub, resize=72, std=(0.5, 0.5, 0.5))
    named = weights.load("digits", RESNET20, reading=Reading(preprocessing=own))
    assert named.preprocessing.resize == 72


def test_labels_name_a_fine_tuned_head(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state |= {"fc.weight": torch.zeros(4, 64), "fc.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "net.pth")
    found = weights.load(str(tmp_path / "net.pth"), RESNET20, labels=("a", "b", "c", "d"))
    assert found.architecture == RESNET20.with_classes(4)
    assert found.labels == ("a", "b", "c", "d")
    assert found.network()(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_given_labels_win_over_stored_ones(tmp_path: Path, random20: weights.Weights) -> None:
    weights.save(tmp_path / "net.safetensors", random20)
    names = tuple("zyxwvutsrq")
    assert weights.load(str(tmp_path / "net.safetensors"), RESNET20, labels=names).labels == names
