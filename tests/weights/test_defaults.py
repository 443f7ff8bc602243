"""What is taken where no file says it, and that every such thing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import catalog, find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.weights import defaults
from resnet_serve.weights.assumptions import Subject

RESNET20 = find("resnet20")


def subjects(found: weights.Weights) -> list[str]:
    return [str(each.subject) for each in found.assumptions]


def test_a_plain_file_assumes_everything_and_says_it(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = tmp_path / "net.pth"
    torch.save(state, path)
    inferred = weights.load(str(path), None)
    assert subjects(inferred) == ["network", "arithmetic", "preprocessing"]
    assert subjects(weights.load(str(path), RESNET20)) == ["arithmetic", "preprocessing"]
    own = tmp_path / "own.json"
    own.write_text('{"resize": 32, "crop": [32, 32], "mean": [0, 0, 0], "std": [1, 1, 1]}')
    stated = weights.load(str(path), RESNET20, reading=Reading(preprocessing=own))
    assert subjects(stated) == ["arithmetic"]


def test_a_thousand_classes_may_not_be_imagenet_s(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "thousand.pth"
    torch.save(state | {"fc.weight": torch.ones(1000, 64), "fc.bias": torch.ones(1000)}, path)
    found = weights.load(str(path), RESNET20)
    assert found.labels[0] == "tench"
    said = {each.subject: each for each in found.assumptions}
    assert "because there are 1,000 classes" in said[Subject.LABELS].what
    assert said[Subject.LABELS].remedy == "--labels FILE"
    own = tuple(f"person {number}" for number in range(1000))
    named = weights.load(str(path), RESNET20, labels=own)
    assert "labels" not in subjects(named)
    assert named.labels == own
    assert "labels" not in subjects(found.without_classes()), "features rank no classes"


def test_our_own_files_digits_and_random_networks_assume_nothing(
    tmp_path: Path, random20: weights.Weights
) -> None:
    weights.save(tmp_path / "net.safetensors", random20)
    assert subjects(weights.load(str(tmp_path / "net.safetensors"), None)) == []
    assert subjects(weights.load("digits", RESNET20)) == []
    assert subjects(random20) == []


def test_a_published_file_assumes_nothing(
    tmp_path: Path, random18: weights.Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "any name.pth"
    torch.save(dict(random18.state), path)
    prefix = weights.load(str(path), find("resnet18")).sha256[:8]
    row = catalog.Published("resnet18", "v1", f"resnet18-{prefix}.pth", 44.7, 256, 70.0, 89.0)
    monkeypatch.setattr(catalog, "CATALOG", {("resnet18", "v1"): row})
    assert subjects(weights.load(str(path), None)) == []


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("resnet50", "torchvision's V1 table"),
        ("resnet20", "the usual of CIFAR"),
        ("resnetv2_50", "timm's table for resnetv2"),
    ],
)
def test_the_table_that_the_preprocessing_is_from_is_named(name: str, table: str) -> None:
    row = find(name)
    assert defaults.table_of(row) == table
    said = defaults.preprocessing_assumed(defaults.preprocessing(row), table)
    assert said.what.endswith(f"({table})")
    grey = replace(row, channels=1)
    assert len(defaults.preprocessing(grey).mean) == 1
