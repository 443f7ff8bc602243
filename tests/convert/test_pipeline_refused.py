"""Conversions that are refused, forced or interrupted: always all or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from budgets import change_budgets
from recorder import Recorder

from resnet_convert import folded, precision
from resnet_convert.pipeline import convert, run
from resnet_convert.quantization import u8s8
from resnet_convert.request import Request
from resnet_serve import passport
from resnet_serve.errors import (
    ConversionError,
    HostError,
    InputFileError,
    ParityError,
    ResnetServeError,
    UsageError,
)
from resnet_serve.triton import image_repository

pytestmark = pytest.mark.usefixtures("quick")


def sabotaged(
    monkeypatch: pytest.MonkeyPatch, stage: str, layer: str, change: Callable[[Any], Any]
) -> None:
    """After a stage of the pipeline, change one constant of the graph."""
    place = {"halve": precision, "quantize": u8s8}.get(stage, folded)
    honest = getattr(place, stage)

    def sabotage(model: ir.Model, *rest: Any, **more: Any) -> Any:
        found = honest(model, *rest, **more)
        constant = model.graph.initializers[layer]
        changed = change(constant.const_value.numpy().copy())
        constant.const_value = ir.tensor(changed, name=layer)
        return found

    monkeypatch.setattr(place, stage, sabotage)


def untouched(repository: Path) -> bool:
    left = [entry for entry in os.listdir(repository.parent) if "staging" in entry]
    return not (left or repository.exists() or image_repository.of(repository).exists())


def test_a_wrong_weight_is_refused_with_its_layer_and_an_image(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotaged(monkeypatch, "quantize", "layer2.1.conv1.weight.q", lambda w: -w)
    with pytest.raises(ParityError) as refusal:
        convert(**small, precision="int8")
    text = str(refusal.value)
    assert refusal.value.exit_code == 3
    assert "worst layer layer2.1.conv1 " in text
    assert "worst image digit " in text
    assert "cosine of the logits" in text
    assert "\n" not in text
    assert untouched(small["repository"])


@pytest.mark.parametrize(
    ("kind", "stage", "layer", "change"),
    [
        ("fp32", "take_pixels", "layer1.0.conv2.weight", lambda w: w * np.float32(1.02)),
        ("fp32", "take_pixels", "fc.weight", lambda w: w[::-1].copy()),
        ("fp32", "take_pixels", "pixels.mean", np.zeros_like),
        ("fp32", "take_pixels", "conv1.bias", lambda b: b * np.float32(np.nan)),
        ("fp16", "halve", "layer3.2.conv1.weight", np.zeros_like),
        ("int8", "quantize", "layer1.2.conv2.bias.q", lambda b: b + 100_000),
        ("int8", "quantize", "layer3.0.conv1.weight.q", np.zeros_like),
    ],
)
def test_sabotage_is_refused(
    small: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    stage: str,
    layer: str,
    change: Callable[[Any], Any],
) -> None:
    sabotaged(monkeypatch, stage, layer, change)
    with pytest.raises(ParityError, match="nothing was deployed"):
        convert(**small, precision=kind)
    assert untouched(small["repository"])


def test_a_scale_that_does_not_fit_its_bias_is_refused_before_anything_runs(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = "layer3.0.conv1.weight.scale"
    sabotaged(monkeypatch, "quantize", changed, lambda scale: scale * np.float32(4))
    with pytest.raises(ConversionError, match=r"^lint: layer3.0.conv1: .* \(INT8 rule C6\)"):
        convert(**small, precision="int8")
    assert untouched(small["repository"])


def test_a_fold_that_is_wrong_ends_the_conversion_there(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotaged(monkeypatch, "fold", "layer1.0.conv2.bias", lambda b: b + np.float32(0.1))
    with pytest.raises(ParityError, match=r"^fold: the graph differs from PyTorch by"):
        convert(**small)
    assert untouched(small["repository"])


def test_logits_that_are_three_times_too_large_are_refused(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every decision and every cosine would agree; the probabilities would not."""
    for constant in ("fc.weight", "fc.bias"):
        sabotaged(monkeypatch, "take_pixels", constant, lambda w: 3 * w)
    with pytest.raises(ParityError, match="SQNR of the logits") as refusal:
        convert(**small)
    assert "cosine" not in str(refusal.value)


def test_a_budget_on_accuracy_refuses_too(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_budgets(monkeypatch, ["int8"], top1_points=-1.0, given=("top1_points",))
    with pytest.raises(ParityError, match=r"top-1 lost \+0\.00 points \[.*\], allowed ≤ -1 points"):
        convert(**small, precision="int8")
    assert untouched(small["repository"])


def test_force_deploys_and_stamps_the_passport(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotaged(monkeypatch, "take_pixels", "conv1.bias", lambda b: b * np.float32(np.nan))
    found = convert(**small, force=True)
    assert found.overridden
    document = passport.read(found.path / passport.FILE_NAME)
    assert document.overridden
    assert document.gate.passed is False
    assert "--force" in document.command


def test_force_of_what_passes_stamps_nothing(small: dict[str, Any]) -> None:
    found = convert(**small, force=True)
    assert not passport.read(found.path / passport.FILE_NAME).overridden


def test_a_refusal_keeps_what_is_served(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(**small)
    parent = small["repository"].parent
    before = {p: p.stat().st_mtime_ns for p in parent.rglob("*")}
    sabotaged(monkeypatch, "take_pixels", "fc.weight", np.zeros_like)
    with pytest.raises(ParityError):
        convert(**small)
    assert {p: p.stat().st_mtime_ns for p in parent.rglob("*")} == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"arch": "resnet21"}, UsageError),
        ({"precision": "int4"}, UsageError),
        ({"target": "npu"}, UsageError),
        ({"input": "uint16"}, UsageError),
        ({"name": "../up"}, UsageError),
        ({"name": "a" * 201}, UsageError),
        ({"instances": 2}, UsageError),  # on one core
        ({"max_batch_size": 0}, UsageError),
        ({"precision": "int8", "calibration": None}, UsageError),
        ({"precision": "int8", "calibration_images": 0}, UsageError),
        ({"validation_images": 0}, UsageError),
        ({"weights": "nowhere.safetensors"}, InputFileError),
        ({"precision": "int8", "calibration": "nowhere"}, InputFileError),
        ({"validation": "nowhere"}, InputFileError),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_in_one_line(
    small: dict[str, Any], options: dict[str, Any], error: type[ResnetServeError]
) -> None:
    with pytest.raises(error) as refusal:
        convert(**small | options)
    assert "\n" not in str(refusal.value)
    assert untouched(small["repository"])


def test_a_place_that_cannot_be_written_is_found_before_the_work(
    read_only_disk: Path, small: dict[str, Any]
) -> None:
    recorder = Recorder()
    with pytest.raises(HostError, match="read-only"):
        run(Request(**small | {"repository": read_only_disk / "models"}), recorder)
    assert recorder.stages == []


def test_a_full_disk_deploys_nothing(small_disk: Path, small: dict[str, Any]) -> None:
    with pytest.raises(HostError, match="no space left"):
        convert(**small | {"repository": small_disk / "models"})
    assert os.listdir(small_disk) == []


STAGES = (
    *("weights", "reference", "trace", "fold", "pixels", "calibrate", "quantize"),
    *("parity", "latency", "deploy"),
)
MOMENTS = [
    *((stage, "stage") for stage in STAGES),
    *((stage, "advance") for stage in ("reference", "calibrate", "parity")),
    *((stage, "finish") for stage in STAGES[:-1]),
]


@pytest.mark.parametrize("moment", MOMENTS, ids="-".join)
def test_ctrl_c_at_every_stage_leaves_nothing(
    small: dict[str, Any], moment: tuple[str, str]
) -> None:
    recorder = Recorder(moment)
    with pytest.raises(KeyboardInterrupt):
        run(Request(**{**small, "precision": "int8"}), recorder)
    assert recorder.stages[-1] == moment[0]
    assert untouched(small["repository"])


def test_ctrl_c_keeps_what_is_served(small: dict[str, Any]) -> None:
    convert(**small)
    parent = small["repository"].parent
    before = {p: p.stat().st_mtime_ns for p in parent.rglob("*")}
    with pytest.raises(KeyboardInterrupt):
        run(Request(**small), Recorder(("deploy", "stage")))
    assert {p: p.stat().st_mtime_ns for p in parent.rglob("*")} == before
