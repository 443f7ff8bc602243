"""The speed of each layer, from the runtimes' own profiles and from times that are given."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from quantized import Graphs, calibrated, normal, residual

from resnet_convert import roofline
from resnet_convert.graph.model_file import serialize
from resnet_convert.parity import peaks
from resnet_convert.parity.peaks import CONVOLUTIONS, Peak
from resnet_serve.runtimes.compiled import TimedOperator

CHANNELS = 64
PEAKS = {kind: Peak(200.0, CONVOLUTIONS[0], 1, kind) for kind in ("int8", "fp32")}


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_every_layer_has_a_speed_in_each_runtime(
    graph: Graphs, target: str, precision: str
) -> None:
    folded, model = residual(graph, CHANNELS), residual(graph, CHANNELS)
    if precision == "int8":
        calibrated(model, normal(8, CHANNELS, 6, 6, seed=99))
    found = roofline.measure(
        target, precision, folded, serialize(model), PEAKS[precision], threads=1
    )
    macs = peaks.macs_by_layer(folded)
    for name in set(macs) - {"fc"}:  # which may take less than a microsecond
        layer = found.layers[name]
        assert layer.precision == precision
        assert layer.gops == pytest.approx(2 * macs[name] / layer.ms / 1e6)
        assert layer.of_peak == pytest.approx(layer.gops / 200)
    assert sum(map(found.share_of_time, found.layers)) < 1


def test_an_operator_of_two_layers_is_divided_by_their_work(folded_digits: ir.Model) -> None:
    macs = peaks.macs_by_layer(folded_digits)
    first, second, third = list(macs)[:3]
    timed = (
        TimedOperator("Convolution", "int8", (first, second, "relu"), 3.0),
        TimedOperator("Convolution", "fp32", (third,), 1.0),
        TimedOperator("Reorder", "int8", (third,), 0.5),
        TimedOperator("Pooling", "int8", ("pool",), 0.25),
    )
    found = roofline.of(folded_digits, timed, PEAKS["int8"])
    assert list(found.layers) == [first, second, third]
    both = macs[first] + macs[second]
    assert found.layers[first].ms == pytest.approx(3.0 * macs[first] / both)
    assert found.layers[second].gops == pytest.approx(2 * both / 3.0 / 1e6)
    assert found.layers[third].of_peak is None  # the peak is of integers
    assert found.other_ms == pytest.approx(0.75)
    assert found.share_of_time(third) == pytest.approx(1.0 / 4.75)
