"""A network that INT8 breaks on purpose is searched; one that it does not is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from sabotage import Calibrated, dialect, logits, stretch, stretchable

from resnet_convert.graph.model_file import serialize
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.quantization.mixed_precision import (
    Budgets,
    Evaluation,
    MixedPrecisionSearch,
    Trade,
    search,
)
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.sensitivity import Cost, rank
from resnet_serve.datasets import pixel_batches
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights

BUDGETS = Budgets(top1_points=0.5, agreement=0.99)
LAYERS = [f"layer{stage}.{block}.conv2" for stage in (1, 2, 3) for block in (0, 1, 2)]


@pytest.fixture
def images(digits: Weights, digits_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
    return [digits.preprocessing.normalize(digits_pixels)]


@pytest.fixture(scope="module")
def held_out(digits: Weights) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
    chosen = spread(Digits(held_out=True), 200)
    batches = pixel_batches(chosen, digits.preprocessing, 50)
    labels = chosen.labels
    assert labels is not None
    return [digits.preprocessing.normalize(pixels) for pixels in batches], labels


@pytest.fixture(scope="module")
def exact(_folded_digits: bytes, held_out: Any) -> NDArray[np.float32]:
    """What FP32 gives for the held-out images; a stretched layer changes none of it (below)."""
    return logits(_folded_digits, held_out[0])


def search_on_images(
    model: ir.Model,
    kind: Calibrated,
    images: list[NDArray[Any]],
    held_out: Any,
    exact: NDArray[np.float32],
    *,
    costs: tuple[Cost, ...] = (),
    **options: Any,
) -> tuple[tuple[Cost, ...], MixedPrecisionSearch]:
    """A search among the layers by their costs, which are found first unless they are given."""
    batches, labels = held_out

    def judge(converted: ir.Model) -> Evaluation:
        return Evaluation.of(exact, logits(kind.dialect.serialize(converted), batches), labels)

    costs = costs or rank(model, kind.quantize, images, threads=1, images=32)
    return costs, search(model, kind.quantize, costs, judge, BUDGETS, **options)


def test_the_sabotage_changes_nothing_in_fp32(
    folded_digits: ir.Model, held_out: Any, exact: NDArray[np.float32]
) -> None:
    assert stretchable(folded_digits) == LAYERS
    for factor in (1024.0, 1024.0**-2):  # of what is stretched already: 1/1024 in the end
        for layer in LAYERS:
            stretch(folded_digits, layer, factor)
        np.testing.assert_array_equal(logits(serialize(folded_digits), held_out[0]), exact)


@pytest.mark.parametrize(
    ("layer", "factor", "name"),
    # Every layer once; in every stage both kinds of pairs with an outlier in what the layer is
    # given, and one (below one) in its weights.
    [
        case
        for stage, name in enumerate(("u8s8", "s8s8", "u8s8"))
        for case in (
            (LAYERS[3 * stage], 1024.0, "u8s8"),
            (LAYERS[3 * stage + 1], 1024.0, "s8s8"),
            (LAYERS[3 * stage + 2], 1 / 1024, name),
        )
    ],
)
def test_the_ruined_layer_is_found_and_kept(
    layer: str,
    factor: float,
    name: str,
    folded_digits: ir.Model,
    images: list[NDArray[Any]],
    held_out: Any,
    exact: NDArray[np.float32],
) -> None:
    stretch(folded_digits, layer, factor)
    kind = dialect(name, folded_digits, images)
    costs, found = search_on_images(folded_digits, kind, images, held_out, exact)
    assert costs[0].layer == layer
    assert costs[1].sqnr_db > costs[0].sqnr_db + 20, "it stands out by far"
    assert found.rows[0].kept == ()
    assert found.rows[0].judged.agreement < 0.95, "it was no sabotage"
    assert found.chosen is not None
    assert found.chosen.kept == (layer,)
    assert BUDGETS.hold(found.chosen.judged)
    assert found.chosen.judged.sqnr_db > 20
    # Kept layers and the ones that compute in FP32 for them: at most two are paid for.
    assert len(found.chosen.floating) <= 2
    kind.quantize(folded_digits, frozenset(found.chosen.kept))
    if name == "s8s8":
        assert check(folded_digits, RULES) == ()
    else:
        compiled = onnxruntime_runtime.compiled(serialize(folded_digits)).operators
        assert compiled["QLinearConv"] == 19 - len(found.chosen.floating)


@pytest.mark.parametrize("name", ["u8s8", "s8s8"])
def test_two_ruined_layers_are_both_kept(
    name: str,
    folded_digits: ir.Model,
    images: list[NDArray[Any]],
    held_out: Any,
    exact: NDArray[np.float32],
) -> None:
    ruined = {"layer1.2.conv2", "layer3.0.conv2"}
    for layer in ruined:
        stretch(folded_digits, layer, 1024.0)
    kind = dialect(name, folded_digits, images)
    costs, found = search_on_images(folded_digits, kind, images, held_out, exact)
    assert found.chosen is not None
    assert set(found.chosen.kept) == ruined
    assert [len(row.kept) for row in found.rows] == [0, 1, 2, 1], "one was tried without the other"
    assert found.chosen is found.rows[2]
    _, limited = search_on_images(
        folded_digits, kind, images, held_out, exact, costs=costs, limit=1
    )
    assert limited.chosen is None
    assert len(limited.rows) == 2
    assert "no number of kept layers up to 1 holds the budget" in limited.summary


def test_a_sound_network_is_left_alone(
    folded_digits: ir.Model,
    images: list[NDArray[Any]],
    held_out: Any,
    exact: NDArray[np.float32],
) -> None:
    before = serialize(folded_digits)
    kind = dialect("u8s8", folded_digits, images)
    _, found = search_on_images(folded_digits, kind, images, held_out, exact)
    assert len(found.rows) == 1
    assert found.chosen is found.rows[0]
    assert found.chosen.kept == found.chosen.floating == ()
    assert found.summary.startswith("every layer quantized, the budget (top-1 lost ≤ 0.5 points")
    assert serialize(folded_digits) == before


# --- the search itself, on agreements that are given ------------------------------------------


def searched(
    folded: ir.Model, good: set[frozenset[str]], limit: int = 8, seen: list[Trade] | None = None
) -> MixedPrecisionSearch:
    """A search over layers a, b, c, d where only the sets in `good` hold the budget."""
    asked: list[frozenset[str]] = []

    def quantize(model: ir.Model, keep: frozenset[str]) -> Quantization:
        assert model is not folded
        asked.append(keep)
        return Quantization(4, 4, tuple(sorted(keep)))

    def judge(model: ir.Model) -> Evaluation:
        return Evaluation(
            1.0 if asked[-1] in good else 0.9, 10.0 + len(asked[-1]), latency_ratio=1.0 + len(asked)
        )

    costs = [Cost(layer, 10.0, 0, 8) for layer in "abcd"]
    progress = None if seen is None else seen.append
    return search(
        folded, quantize, costs, judge, Budgets(agreement=0.99), limit=limit, progress=progress
    )


def test_unneeded_layers_are_dropped_again(folded_digits: ir.Model) -> None:
    seen: list[Trade] = []
    good = {frozenset("abc"), frozenset("ac"), frozenset("c")}
    found = searched(folded_digits, good, seen=seen)
    kept = ["".join(row.kept) for row in found.rows]
    assert kept == ["", "a", "ab", "abc", "ac", "c"]
    assert found.chosen is not None
    assert found.chosen.kept == ("c",)
    assert tuple(seen) == found.rows
    # The last was not tried to be dropped: without it the attempt before had failed.
    assert "ab" not in kept[4:]


def test_the_first_number_that_holds_is_taken(folded_digits: ir.Model) -> None:
    good = {frozenset("a"), frozenset("ab"), frozenset("abcd")}
    assert searched(folded_digits, good).chosen == searched(folded_digits, {frozenset("a")}).chosen


def test_none_sufficing_is_said_with_the_closest(folded_digits: ir.Model) -> None:
    found = searched(folded_digits, set())
    assert found.chosen is None
    assert len(found.rows) == 5
    assert found.summary == (
        "no number of kept layers up to 4 holds the budget (agreement ≥ 99 %); "
        "the closest, with 4, has agreement 90.00 %"
    )
    assert found.to_json()["chosen"] is None


def test_the_frontier_holds_what_no_other_beats() -> None:
    def row(latency: float | None, agreement: float, floating: str = "") -> Trade:
        judged = Evaluation(agreement, 20.0, latency_ratio=latency)
        return Trade(tuple(floating), tuple(floating), judged, within=False)

    rows = (row(1.0, 0.9), row(1.2, 0.95), row(1.3, 0.94), row(1.3, 0.99), row(1.4, 0.99))
    assert MixedPrecisionSearch(BUDGETS, rows, None).frontier == (rows[0], rows[1], rows[3])
    # Where nobody timed them, the number of floating layers is the price.
    untimed = (row(None, 0.9, "ab"), row(None, 0.9, "a"), row(None, 0.8))
    assert MixedPrecisionSearch(BUDGETS, untimed, None).frontier == (untimed[2], untimed[1])
