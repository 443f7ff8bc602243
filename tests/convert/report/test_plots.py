"""The figures: the same bytes twice, no global state changed, and what they should show."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S

from resnet_convert.parity.layers import Layer
from resnet_convert.quantization.budgets import Budgets, Evaluation
from resnet_convert.quantization.mixed_precision import MixedPrecisionSearch, Trade
from resnet_convert.report import plots
from resnet_serve.parity.latency import Latency

matplotlib = pytest.importorskip("matplotlib")

LOGITS = np.random.default_rng(1).normal(size=(400, 10)).astype(np.float32)
NAMES = "conv1 layer1.0.conv1 layer1.0.conv2 layer2.0.downsample.0 layer2.0.conv1 layer2.0.conv2 fc"
LAYERS = [Layer(name, 1 + 0.1 * i, 60.0 - i) for i, name in enumerate(NAMES.split())]
FIGURES: dict[str, Callable[[], str]] = {
    "logit_scatter": lambda: plots.logit_scatter(LOGITS, LOGITS + 0.01),
    "error_histogram": lambda: plots.error_histogram(LOGITS, LOGITS * 1.001),
    "layer_response": lambda: plots.layer_response(LAYERS),
    "layer_sqnr": lambda: plots.layer_sqnr(LAYERS),
    "latencies": lambda: plots.latency_distributions(
        {"PyTorch": Latency(1, (9.0, 9.5, 11.0)), "ONNX Runtime": Latency(1, (0.5, 0.6, 0.7))}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_numbers_give_the_same_xml(name: str) -> None:
    first = FIGURES[name]()
    users_own = {"axes.labelsize": 30, "lines.linewidth": 9}
    with matplotlib.rc_context(users_own):
        assert FIGURES[name]() == first
    ElementTree.fromstring(first)
    assert "var(--ink" in first or "var(--soft" in first
    assert "font-family" not in first


def test_global_state_stays_and_pyplot_is_never_imported() -> None:
    code = (
        "import sys, matplotlib, numpy as np\n"
        "before = dict(matplotlib.rcParams.copy())\n"
        "from resnet_convert.report import plots\n"
        "plots.error_histogram(np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32))\n"
        "assert dict(matplotlib.rcParams.copy()) == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("timed", [True, False])
def test_the_search_shows_every_attempt_and_the_selected_one(timed: bool) -> None:
    rows = tuple(
        Trade(
            tuple(NAMES.split()[:kept]),
            tuple(NAMES.split()[: kept + 1]),
            Evaluation(
                0.9 + 0.04 * kept, 20.0 + kept, latency_ratio=1 + kept / 8 if timed else None
            ),
            within=kept == 2,
        )
        for kept in range(3)
    )
    figure = plots.mixed_precision(MixedPrecisionSearch(Budgets(agreement=0.97), rows, rows[2]))
    assert figure.count("kept</text>") == 2
    assert "2 kept, selected</text>" in figure
    assert "Agreement over cost of every attempt; 0 kept 90.00 %, 1 kept 94.00 %" in figure
    assert ("latency, relative to INT8" in figure) == timed
    assert ("layers that stay floating" in figure) != timed


def test_layers_are_named_as_in_pytorch() -> None:
    figure = plots.layer_sqnr(LAYERS)
    worst = sorted(LAYERS, key=lambda layer: layer.sqnr_db)[: plots.WORST_LAYERS]
    for layer in worst:
        assert f"{layer.name} " in figure
    assert "conv1  60.0 dB" not in figure.replace("layer1.0.conv1", "")
    assert "projection shortcuts" in plots.layer_response(LAYERS)


def test_thinning_keeps_the_largest_errors() -> None:
    error = np.random.default_rng(2).exponential(size=50_000)
    shown = plots.thinned(error)
    assert len(shown) == len(set(shown.tolist())) == plots.SCATTER_POINTS
    largest = np.argsort(-error)[: plots.SCATTER_EXTREMES]
    assert set(largest.tolist()) <= set(shown.tolist())
    assert len(plots.thinned(error[:10])) == 10


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_still_drawn(value: float) -> None:
    broken = np.full_like(LOGITS, value)
    ElementTree.fromstring(plots.logit_scatter(LOGITS, broken))
    ElementTree.fromstring(plots.error_histogram(LOGITS, broken))


unit = st.floats(0, 1)


@given(st.lists(st.tuples(unit, unit), min_size=2, max_size=5, unique=True))
def test_leaders_never_cross(points: list[tuple[float, float]]) -> None:
    placed = plots._leaders(dict(enumerate(points)))
    lines = [(np.array(points[i]), np.array((plots.LABELS_AT, height))) for i, height in placed]
    for (a, b), (c, d) in itertools.combinations(lines, 2):
        sides = [_side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)]
        crossing = sides[0] * sides[1] < -1e-9 and sides[2] * sides[3] < -1e-9
        assert not crossing


def _side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00001234, "1.23e−05"), (3.456, "3.46"), (1234.5, "1,234"), (-np.inf, "−∞")],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert plots.number(value) == text
