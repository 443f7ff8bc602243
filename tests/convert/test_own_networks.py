"""Networks that are no ResNets, end to end: every target, the command line, an ensemble."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_convert import convert
from resnet_convert.ensembles import compose
from resnet_serve import passport
from resnet_serve.errors import UsageError
from resnet_serve.passport import ConvertedPassport

pytestmark = pytest.mark.usefixtures("quick")
NETWORKS = ("classifiers:VGGLike", "classifiers:InceptionLike")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "preprocessing.json"
    path.write_text(json.dumps({"resize": 32, "crop": [32, 32], "resize_mode": "exact"}))
    return {
        "weights": "random",
        "preprocessing": path,
        "repository": tmp_path / "models",
        "validation": "digits",
        "validation_images": 16,
        "calibration": "digits",
        "calibration_images": 16,
    }


@pytest.mark.parametrize("module", NETWORKS)
@pytest.mark.parametrize(
    ("target", "precision"),
    [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "int8"), ("tensorrt", "int8")],
)
def test_it_converts(small: dict[str, Any], module: str, target: str, precision: str) -> None:
    done = convert(
        module=module,
        target=target,
        precision=precision,
        prepare_only=target == "tensorrt",
        **small,
    )
    assert done.verdict.passed
    assert done.folded.fold.folded == done.folded.fold.total > 0
    assert done.path is not None
    stamped = passport.read(done.path / passport.FILE_NAME)
    assert isinstance(stamped, ConvertedPassport)
    assert (stamped.module, stamped.architecture) == (module, module.partition(":")[2])
    assert f"--module {module}" in stamped.command
    if precision == "int8":
        assert done.precise.quantization is not None
        assert not done.precise.quantization.floating


def test_the_command_line_takes_one_and_names_its_layers(call: Call, small: dict[str, Any]) -> None:
    code, out, err = call(
        "--module", "classifiers:InceptionLike", "--weights", "random", "--preprocessing",
        small["preprocessing"], "--repository", small["repository"], "--json",
    )  # fmt: skip
    assert code == 0, err
    layers = {each["name"] for each in json.loads(out)["parity"]["layers"]}
    assert "mixed1.three.1.conv" in layers


def test_members_of_an_ensemble_are_made_again(small: dict[str, Any]) -> None:
    for module in NETWORKS:
        convert(module=module, **small)
    made = compose.ensemble(
        "both",
        ["VGGLike", "InceptionLike"],
        repository=small["repository"],
        validation="digits",
        validation_images=8,
    )
    assert made.verdict.passed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"module": NETWORKS[0], "arch": "resnet20"}, "name two networks"),
        ({}, "no network is named"),
        ({"module": NETWORKS[0], "weights": "digits"}, "weights of the family"),
    ],
)
def test_what_makes_no_sense(small: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        convert(**small | options)


def test_the_dry_run_makes_the_network_and_compares_it_with_the_file(
    call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "net_for_a_dry_run.py"
    path.write_text(
        "from torch import nn\ndef made(): return nn.Sequential(nn.Conv2d(3, 4, 3),"
        " nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
    )
    module = ("--module", f"{path}:made", "--dry-run")
    code, out, _ = call(*module, "--json")
    assert code == 0
    assert "3 classes, from as" in json.loads(out)["steps"][0]["does"]
    weights = {"0.weight": torch.zeros(4, 3, 3, 3), "0.bias": torch.zeros(4)}
    torch.save(weights, tmp_path / "w.pth")
    code, _, err = call(*module, "--weights", "w.pth")
    assert code == 5
    assert "3.weight" in err
    code, _, err = call("--module", f"{path}:other", "--dry-run")
    assert code == 2
    assert "has no 'other'" in err
