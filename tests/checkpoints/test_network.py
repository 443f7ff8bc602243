"""The network that a file names, against the one that the options name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.checkpoints.network import row_of
from resnet_serve.errors import InputFileError
from resnet_serve.weights.assumptions import Subject

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def plain20() -> weights.Weights:
    return weights.load("random:3", find("plain20"))


def saved(path: Path, found: weights.Weights, **fields: object) -> str:
    torch.save({"state_dict": dict(found.state), **fields}, path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("resnet50", "resnet50"),
        ("ResNet-50", "resnet50"),
        ("resnet50.a1_in1k", "resnet50"),
        ("resnet20_b", "resnet20-b"),
        ("wide-resnet50-2", "wide_resnet50_2"),
        ("resnetblur50", None),
        ("resnet", None),
    ],
)
def test_names_are_known_however_they_are_spelt(name: str, row: str | None) -> None:
    assert row_of(name) == row


def test_our_own_metadata_against_arch_is_refused_and_the_remedy_works(
    tmp_path: Path, plain20: weights.Weights
) -> None:
    path = tmp_path / "said_plain20.safetensors"
    weights.save(path, replace(plain20, trained=True))
    with pytest.raises(InputFileError, match=r"is 'plain20', --arch is resnet20.*--arch plain20"):
        weights.load(str(path), find("resnet20"))
    assert weights.load(str(path), find("plain20")).architecture.name == "plain20"
    assert weights.load(str(path), None).architecture.name == "plain20"


@pytest.mark.parametrize("field", ["arch", "architecture", "model_name"])
def test_a_field_of_the_file_decides_between_twins(
    tmp_path: Path, plain20: weights.Weights, field: str
) -> None:
    path = saved(tmp_path / "net.pth", plain20, **{field: "plain20"})
    found = weights.load(path, None)
    assert found.architecture.name == "plain20"
    said = {each.subject: each.what for each in found.assumptions}
    assert set(said) == {Subject.ARITHMETIC, Subject.PREPROCESSING}
    assert said[Subject.ARITHMETIC].endswith(f"of plain20, the network that its {field} names")
    with pytest.raises(InputFileError, match="what is computed is not"):
        weights.load(path, find("resnet20"))


def test_another_residual_network_is_refused_and_the_remedy_works(
    tmp_path: Path, plain20: weights.Weights
) -> None:
    path = saved(tmp_path / "net.pth.tar", plain20, arch="resnetblur20")
    with pytest.raises(InputFileError, match=r"arch is 'resnetblur20', .* Give --arch"):
        weights.load(path, None)
    found = weights.load(path, find("resnet20"))
    assert any("resnetblur20" in notice for notice in found.notices)
    assert Subject.ARITHMETIC in {each.subject for each in found.assumptions}


def test_a_name_that_says_nothing_is_said_and_taken(
    tmp_path: Path, plain20: weights.Weights
) -> None:
    found = weights.load(saved(tmp_path / "net.pth", plain20, arch="baseline"), None)
    assert "its arch is 'baseline'; by its tensors it is a resnet20" in found.notices
