"""The weights of a user's own network: its own, random, or a checkpoint's, strictly."""

from __future__ import annotations

import json
from pathlib import Path

import classifiers
import pytest
import torch
from safetensors.torch import save_file

from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.weights import custom_modules

MODULE = "classifiers:VGGLike"


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    path = tmp_path / "preprocessing.json"
    path.write_text(json.dumps({"resize": 32, "crop": [32, 32], "resize_mode": "exact"}))
    return Reading(preprocessing=path)


def test_its_own_weights_are_kept(reading: Reading) -> None:
    loaded = custom_modules.load("classifiers:seeded_vgg", None, reading=reading)
    assert loaded.source == "as classifiers:seeded_vgg returns it"
    assert loaded.trained
    expected = classifiers.seeded_vgg().eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.network()(images), expected(images))
    again = custom_modules.load("classifiers:seeded_vgg", None, reading=reading)
    assert again.sha256 == loaded.sha256


def test_random_weights_are_settled_and_the_same_every_time(reading: Reading) -> None:
    first, again, other = (
        custom_modules.load(MODULE, spec, reading=reading)
        for spec in ("random", "random:0", "random:1")
    )
    assert not first.trained
    assert first.sha256 == again.sha256 != other.sha256
    assert first.state["model.1.running_mean"].abs().max() > 0


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_checkpoint_fits_whatever_wrapped_it(
    tmp_path: Path, reading: Reading, prefix: str, suffix: str
) -> None:
    network = classifiers.seeded_vgg()
    state = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / f"net.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save({"state_dict": state}, path)
    loaded = custom_modules.load(MODULE, str(path), reading=reading)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.network()(images), network.eval()(images))
    assert loaded.trained


def test_names_that_are_others_in_the_family_are_its_own(tmp_path: Path, reading: Reading) -> None:
    network = classifiers.backbone_and_head()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "net.pth")
    path, module = str(tmp_path / "net.pth"), "classifiers:backbone_and_head"
    loaded = custom_modules.load(module, path, reading=reading)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.network()(images), network.eval()(images))
    assert loaded.notices == ()


def test_a_checkpoint_of_another_network_lists_ten_keys(tmp_path: Path, reading: Reading) -> None:
    torch.save(classifiers.InceptionLike().state_dict(), tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="does not fit VGGLike: ") as refusal:
        custom_modules.load(MODULE, str(tmp_path / "net.pth"), reading=reading)
    assert str(refusal.value).count(" is missing") == 10
    assert " more" in str(refusal.value)


def test_values_that_are_not_finite_are_refused(tmp_path: Path, reading: Reading) -> None:
    state = classifiers.seeded_vgg().state_dict()
    state["model.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="not finite"):
        custom_modules.load(MODULE, str(tmp_path / "net.pth"), reading=reading)


def test_weights_of_the_family_are_not_its(reading: Reading) -> None:
    for spec in ("imagenet", "digits"):
        with pytest.raises(UsageError, match="weights of the family"):
            custom_modules.load(MODULE, spec, reading=reading)


def test_labels_are_as_many_as_it_answers(reading: Reading) -> None:
    names = tuple("abcdefghij")
    assert custom_modules.load(MODULE, "random", labels=names, reading=reading).labels == names
    with pytest.raises(UsageError, match="2 labels for a network of 10 classes"):
        custom_modules.load(MODULE, "random", labels=("a", "b"), reading=reading)


def test_without_a_word_on_images_imagenet_s_are_assumed_and_that_is_said() -> None:
    loaded = custom_modules.load(MODULE, "random")
    assert loaded.preprocessing.crop == (224, 224)
    assert any("--preprocessing" in notice for notice in loaded.notices)
