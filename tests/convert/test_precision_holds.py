"""INT8 that holds its budget, and FP16 that does not overflow, through whole conversions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from quantized import array
from sabotage import stretch

from resnet_convert import Conversion, convert, folded
from resnet_convert.graph.fold import Fold
from resnet_convert.graph.initializers import assign
from resnet_convert.quantization.clipping import METHODS
from resnet_serve import passport
from resnet_serve.errors import ParityError
from resnet_serve.passport import ConvertedPassport

pytestmark = pytest.mark.usefixtures("quick")
Call = Callable[..., tuple[int, str, str]]
Options = dict[str, Any]
RUINED = "layer2.1.conv2"


def after_folding(monkeypatch: pytest.MonkeyPatch, change: Callable[[ir.Model], None]) -> None:
    honest = folded.fold

    def changed(model: ir.Model) -> Fold:
        found = honest(model)
        change(model)
        return found

    monkeypatch.setattr(folded, "fold", changed)


@pytest.fixture
def ruined(monkeypatch: pytest.MonkeyPatch) -> None:
    """FP32 computes what it did; one layer's INT8 range is full of an outlier."""
    after_folding(monkeypatch, lambda model: stretch(model, RUINED, 1024.0))


def stamped(conversion: Conversion) -> ConvertedPassport:
    assert conversion.path is not None
    found = passport.read(conversion.path / passport.FILE_NAME)
    assert isinstance(found, ConvertedPassport)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_every_method_calibrates(small: Options, method: str) -> None:
    conversion = convert(**small, precision="int8", calibration_method=method)
    calibration = stamped(conversion).calibration
    assert calibration is not None
    assert calibration.method == method
    assert f"--calibration-method {method}" in conversion.request.command()


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt"])
def test_auto_keeps_what_loses_least(small: Options, target: str) -> None:
    options = {**small, "calibration_images": 48}
    if target == "tensorrt":
        options["prepare_only"] = True
    conversion = convert(**options, precision="int8", target=target, calibration_method="auto")
    calibration_search = conversion.precise.calibration_search
    assert calibration_search is not None
    assert (calibration_search.images, calibration_search.held_out) == (36, 12)
    assert [row.name for row in calibration_search.rows][: len(METHODS)] == list(METHODS)
    assert sum(row.chosen for row in calibration_search.rows) == 1
    rows = stamped(conversion).calibration_search
    assert rows is not None
    assert [row["name"] for row in rows] == [row.name for row in calibration_search.rows]
    first, chosen = calibration_search.rows[0], calibration_search.chosen
    assert (chosen.agreement, chosen.sqnr_db) >= (first.agreement, first.sqnr_db)
    assert min(layer.sqnr_db for layer in conversion.proof.layers) > 20


def test_a_ruined_layer_fails_the_gate_without_a_budget(small: Options, ruined: None) -> None:
    with pytest.raises(ParityError) as refusal:
        convert(**small, precision="int8", calibration_method="minmax")
    assert "nothing was deployed" in str(refusal.value)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt"])
def test_a_budget_keeps_exactly_the_ruined_layer(small: Options, ruined: None, target: str) -> None:
    options = {**small, "validation_images": 60}
    if target == "tensorrt":
        options["prepare_only"] = True
    conversion = convert(
        **options,
        precision="int8",
        target=target,
        budget_agreement=99,
        calibration_method="minmax",
    )
    mixed_precision = conversion.precise.mixed_precision
    assert mixed_precision is not None
    assert mixed_precision.chosen is not None
    assert mixed_precision.chosen.kept == (RUINED,)
    assert conversion.verdict.passed
    assert conversion.measurements.decisions.top1_agreement >= 0.99
    found = stamped(conversion).mixed_precision
    assert found is not None
    assert found["chosen"]["kept"] == [RUINED]
    assert "--budget-agreement 99" in conversion.request.command()
    assert conversion.precise.quantization is not None
    assert RUINED in conversion.precise.quantization.floating


def test_a_budget_that_holds_costs_nothing(small: Options) -> None:
    conversion = convert(**small, precision="int8", budget_agreement=90, budget_top1=5)
    assert conversion.precise.mixed_precision is not None
    assert [row.kept for row in conversion.precise.mixed_precision.rows] == [()]
    assert conversion.precise.quantization is not None
    assert conversion.precise.quantization.floating == ()


def test_a_budget_nothing_can_hold_is_said(small: Options, ruined: None) -> None:
    """Agreement with what is not reached even in FP32's neighbourhood: the gate then decides."""
    after = {**small, "budget_agreement": 100.0, "validation_images": 60}
    after["calibration_method"] = "minmax"
    conversion = convert(**after, precision="int8", force=True)
    assert conversion.precise.mixed_precision is not None
    if conversion.precise.mixed_precision.chosen is None:
        assert any("no number of kept layers" in line for line in conversion.warnings)
    else:
        assert conversion.measurements.decisions.top1_agreement == 1.0


def test_what_fp16_cannot_hold_stays_fp32(small: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    def swell(model: ir.Model) -> None:
        for name, factor in (("layer1.0.conv1", 2.0**17), ("layer1.0.conv2", 2.0**-17)):
            weight = model.graph.initializers[f"{name}.weight"]
            assign(weight, array(model, f"{name}.weight") * np.float32(factor))
        bias = model.graph.initializers["layer1.0.conv1.bias"]
        assign(bias, array(model, "layer1.0.conv1.bias") * np.float32(2.0**17))

    after_folding(monkeypatch, swell)
    for target in ("onnxruntime", "tensorrt"):
        options = {**small, "target": target, "prepare_only": target == "tensorrt"}
        conversion = convert(**options, precision="fp16")
        assert conversion.precise.half is not None
        assert "layer1.0.conv1" in conversion.precise.half.fp32_nodes
        assert any("layer1.0.conv1 has outputs up to" in line for line in conversion.warnings)
        assert conversion.verdict.passed


def test_the_dry_run_names_the_search(call: Call) -> None:
    code, out, _ = call(*DIGITS, *INT8, "--budget-agreement", 99, "--dry-run", "--json")
    assert code == 0
    steps = {step["stage"]: step["does"] for step in json.loads(out)["steps"]}
    assert steps["mixed precision"] == "the fewest layers floating, for agreement ≥ 99 %"


DIGITS = ("--arch", "resnet20", "--weights", "digits", "--name", "d")
INT8 = ("--precision", "int8", "--calibration", "digits", "--calibration-images", 32)


def test_the_search_is_shown(call: Call, ruined: None) -> None:
    code, out, err = call(
        *DIGITS, *INT8, "--validation", "digits", "--validation-images", 60,
        "--budget-agreement", 99, "--budget-top1", 1, "--calibration-method", "minmax",
    )  # fmt: skip
    assert code == 0, err
    shown = " ".join(out.split())
    assert "Layers kept in higher precision, for top-1 lost ≤ 1 points, agreement ≥ 99 %" in shown
    assert RUINED in shown
    report = Path("model_repository/d/1/report.html").read_text(encoding="utf-8")
    assert "What was tried" in report
    assert "held, selected" in report
    assert "agreement over cost" in report


def test_what_was_tried_is_shown(call: Call, ruined: None) -> None:
    """Equalisation alone mends this one: no layer has to be kept."""
    code, out, err = call(
        *DIGITS, *INT8, "--validation", "digits", "--validation-images", 60,
        "--calibration-method", "auto", "--budget-agreement", 99,
    )  # fmt: skip
    assert code == 0, err
    assert "Ranges, judged on 8 held-out images" in out
    assert "equalised" in out
    report = Path("model_repository/d/1/report.html").read_text(encoding="utf-8")
    assert "Calibration methods, compared on 8 held-out images" in report
    assert "Mixed precision search" not in report
    assert "every layer quantized, the budget" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*INT8, "--calibration-method", "guess"), "percentile-99.9"),
        (("--calibration-method", "mse"), "--precision int8"),
        ((*INT8, "--budget-top1", 0.5), "one folder per class"),
        (
            ("--precision", "fp8", "--target", "tensorrt", "--calibration", "digits",
             "--calibration-method", "auto"),
            "auto compares INT8 networks",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense(call: Call, words: tuple[object, ...], said: str) -> None:
    code, _, err = call(*DIGITS, *words)
    assert code == 2
    assert said in err
