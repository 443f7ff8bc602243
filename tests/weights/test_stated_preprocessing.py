"""The preprocessing that a file states: used, said, and held against --preprocessing."""

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
from resnet_serve.weights import custom_modules
from resnet_serve.weights.assumptions import Subject

ROW = find("resnet20")
HALF = [0.5, 0.5, 0.5]


def saved(path: Path, state: dict[str, Tensor], **fields: object) -> str:
    torch.save({"state_dict": state, **fields}, path / "net.pth")
    return str(path / "net.pth")


def test_what_the_file_says_is_used_and_is_no_assumption(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    own = {"resize": 40, "crop": 32, "mean": HALF, "std": HALF}
    found = weights.load(saved(tmp_path, state, preprocessing=own), ROW)
    assert (found.preprocessing.resize, found.preprocessing.mean) == (40, (0.5, 0.5, 0.5))
    assert found.preprocessing_from == f"preprocessing of {tmp_path / 'net.pth'}"
    assert Subject.PREPROCESSING not in [each.subject for each in found.assumptions]
    assert any(each.startswith("the preprocessing is that of") for each in found.notices)


def test_what_parts_leave_open_stays_an_assumption(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    found = weights.load(saved(tmp_path, state, mean=HALF, std=HALF), ROW)
    assert found.preprocessing.mean == (0.5, 0.5, 0.5)
    (assumed,) = [each for each in found.assumptions if each.subject is Subject.PREPROCESSING]
    assert "but for mean/std of the file" in assumed.what


def test_another_preprocessing_of_the_options_is_said(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = saved(tmp_path, state, mean=HALF, std=HALF)
    given = tmp_path / "given.json"
    for mean, said in ((HALF, False), ([0.4, 0.4, 0.4], True)):
        given.write_text(json.dumps({"mean": mean, "std": HALF}))
        found = weights.load(path, ROW, reading=Reading(preprocessing=given))
        notices = [each for each in found.notices if "--preprocessing is used" in each]
        assert bool(notices) is said
        assert found.preprocessing.mean == tuple(mean)
    assert notices[0].endswith("says mean (0.5, 0.5, 0.5)")


def test_a_field_that_cannot_be_used_is_refused_and_the_remedy_works(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = saved(tmp_path, state, val_transform="Compose(\n    FiveCrop(size=32)\n)")
    with pytest.raises(InputFileError, match=r"its val_transform cannot be used.*--preprocessing"):
        weights.load(path, ROW)
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"mean": HALF, "std": HALF}))
    found = weights.load(path, ROW, reading=Reading(preprocessing=given))
    assert found.preprocessing.mean == (0.5, 0.5, 0.5)


def test_a_custom_module_takes_it_too(tmp_path: Path) -> None:
    source = tmp_path / "net_of_a_user.py"
    source.write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 4, 3),"
        " nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
    )
    module = f"{source}:make"
    state = dict(custom_modules.load(module, None).state)
    path = saved(tmp_path, state, mean=HALF, std=HALF, num_classes=3)
    assert custom_modules.load(module, path).preprocessing.mean == (0.5, 0.5, 0.5)
    with pytest.raises(InputFileError, match=r"its num_classes is 4, and its classifier has 3"):
        custom_modules.load(module, saved(tmp_path, state, num_classes=4))
