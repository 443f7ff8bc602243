"""The stem of a network that takes raw pixels runs in integers, whatever the normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import calibrated, residual

from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_serve import runtimes
from resnet_serve.preprocessing import Preprocessing

SIDE = 8
Graphs = Callable[..., ir.Model]
Run = Callable[..., NDArray[Any]]
NORMALISATIONS = {
    "0 and 1": (0.0, 1.0),
    "0 and 1/255": (0.0, 1 / 255),
    "0 and 0.25": (0.0, 0.25),
    "0.5 and 0.5": (0.5, 0.5),
    "0.2, whose zero point is whole": (0.2, 1.0),
    "ImageNet's": (0.485, 0.229),
}


def preprocessing(mean: float, std: float, channels: int) -> Preprocessing:
    planes = (mean,) * channels, (std,) * channels
    return Preprocessing(resize=SIDE, crop=(SIDE, SIDE), mean=planes[0], std=planes[1])


def images(channels: int) -> NDArray[np.uint8]:
    """Every value from 0 to 255 is there, so that the range is the widest."""
    shape = (8, SIDE, SIDE, channels)
    found = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found.flat[:256] = np.arange(256)
    return found


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_stem_is_int8(graph: Graphs, target: str, channels: int, name: str) -> None:
    """OpenVINO removed a pair of scale 1 behind raw pixels, and left the stem in FP32."""
    how = preprocessing(*NORMALISATIONS[name], channels)
    model = residual(graph, channels, SIDE)
    take_pixels(model, how)
    calibrated(model, images(channels))
    found = runtimes.compiled(target, "int8", serialize(model)).convolutions
    assert found is not None
    assert set(found.values()) == {"int8"}, found


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_stem_is_int8_on_normalised_planes(graph: Graphs, target: str, name: str) -> None:
    how = preprocessing(*NORMALISATIONS[name], 3)
    model = residual(graph, 3, SIDE)
    calibrated(model, how.normalize(images(3)))
    found = runtimes.compiled(target, "int8", serialize(model)).convolutions
    assert found is not None
    assert set(found.values()) == {"int8"}, found


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_raw_pixels_compute_what_normalised_planes_do(graph: Graphs, run: Run, name: str) -> None:
    how = preprocessing(*NORMALISATIONS[name], 3)
    batch = images(3)
    expected = run(residual(graph, 3, SIDE), how.normalize(batch))
    model = residual(graph, 3, SIDE)
    take_pixels(model, how)
    np.testing.assert_allclose(
        run(model, batch), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )
