"""The default calibration: minmax where it is good, and no collapse where it is not."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import pytest
from sabotage import stretch

from resnet_convert import Conversion, convert, folded
from resnet_convert.graph.fold import Fold
from resnet_convert.quantization.calibration_search import split
from resnet_convert.request.options import ADAPTIVE
from resnet_serve.datasets.synthetic import SyntheticImages

pytestmark = pytest.mark.usefixtures("quick")
Options = dict[str, Any]


@pytest.fixture
def heavy_tailed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One channel in three layers is 256 times as large; in FP32 the network is the same."""
    honest = folded.fold

    def changed(model: ir.Model) -> Fold:
        found = honest(model)
        for layer in ("layer1.1.conv2", "layer2.1.conv2", "layer3.1.conv2"):
            stretch(model, layer, 256.0)
        return found

    monkeypatch.setattr(folded, "fold", changed)


def stage(conversion: Conversion) -> str:
    return next(each.summary for each in conversion.stages if each.name == "calibrate")


def test_it_is_minmax_for_a_network_without_large_values(small: Options) -> None:
    conversion = convert(**small, precision="int8")
    assert conversion.request.calibration_method == ADAPTIVE
    assert conversion.precise.calibration is not None
    assert conversion.precise.calibration.method == "minmax"
    assert conversion.precise.calibration_search is None
    assert stage(conversion).endswith("over 16 images, minmax")
    assert "--calibration-method" not in conversion.request.command()


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt"])
def test_large_values_do_not_collapse_the_others(
    small: Options, heavy_tailed: None, target: str
) -> None:
    options = {**small, "calibration_images": 48, "target": target}
    options |= {"prepare_only": target == "tensorrt", "precision": "int8", "force": True}
    plain = convert(**options, calibration_method="minmax")
    adapted = convert(**options)
    assert not plain.verdict.passed, "minmax does collapse here"
    assert adapted.verdict.passed, adapted.verdict.failures
    assert adapted.precise.calibration_search is not None
    assert "ranges are stretched by a few large values (layer1.1.relu)" in stage(adapted)
    few = "only 36 calibration images beside 12 held-out ones: rarer images may exceed the ranges"
    assert f"{few}; give 170 or more" in adapted.warnings
    kept = [len(split(SyntheticImages(count))[0]) for count in (169, 170)]
    assert kept == [127, 128]


def test_without_images_to_search_with_it_takes_the_least_error(
    small: Options, heavy_tailed: None
) -> None:
    options = {**small, "calibration_images": 8, "precision": "int8", "force": True}
    conversion = convert(**options)
    assert conversion.precise.calibration is not None
    assert conversion.precise.calibration.method == "mse"
    assert "over 8 images, mse: " in stage(conversion)


def test_fp8_keeps_large_and_small_values_alike(small: Options, heavy_tailed: None) -> None:
    options = {**small, "target": "tensorrt", "prepare_only": True, "precision": "fp8"}
    conversion = convert(**options, force=True)
    assert conversion.precise.calibration is not None
    assert conversion.precise.calibration.method == "minmax"
