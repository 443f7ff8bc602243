"""The ranking finds the layers that were broken on purpose, and ranks sound ones as they matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import Graphs, array, normal, residual
from sabotage import dialect, logits, stretch

from resnet_convert.graph.initializers import assign
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.segments.cutting import Segment
from resnet_convert.quantization import s8s8, sensitivity
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.sensitivity import rank
from resnet_serve.errors import UsageError
from resnet_serve.parity import numerics
from resnet_serve.weights import Weights

Batches = list[NDArray[Any]]


@pytest.fixture
def batches(digits: Weights, digits_pixels: NDArray[np.uint8]) -> Batches:
    return [digits.preprocessing.normalize(digits_pixels)]


@pytest.mark.parametrize("name", ["u8s8", "s8s8"])
def test_every_layer_of_a_sound_network_costs_a_little(
    name: str, folded_digits: ir.Model, batches: Batches
) -> None:
    told: list[tuple[int, int]] = []
    before = serialize(folded_digits)
    kind = dialect(name, folded_digits, batches)
    costs = rank(
        folded_digits,
        kind.quantize,
        batches,
        threads=1,
        progress=lambda done, of: told.append((done, of)),
    )
    assert serialize(folded_digits) == before
    assert told == [(done, 20) for done in range(1, 21)]
    assert len({cost.layer for cost in costs}) == 20
    ranked = [cost.sqnr_db for cost in costs]
    assert ranked == sorted(ranked)
    assert 35 < ranked[0] < ranked[-1] < 70
    assert {(cost.flips, cost.images) for cost in costs} == {(0, 32)}


def test_what_is_in_front_of_a_layer_is_not_computed_again_and_costs_are_the_same(
    folded_digits: ir.Model, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    computed = sensitivity._outputs

    def watched(part: Segment, *given: Any) -> Batches:
        sizes.append(len(part.model.graph))
        return computed(part, *given)

    monkeypatch.setattr(sensitivity, "_outputs", watched)
    kind = dialect("u8s8", folded_digits, batches)
    costs = rank(folded_digits, kind.quantize, batches, threads=1)
    partial = list(sizes)
    monkeypatch.setattr(sensitivity, "LARGEST_KEPT", 0)
    sizes.clear()
    whole = rank(folded_digits, kind.quantize, batches, threads=1)
    assert sum(partial) < 0.7 * sum(sizes)
    assert [cost.layer for cost in costs] == [cost.layer for cost in whole]
    assert [cost.sqnr_db for cost in costs] == pytest.approx(
        [cost.sqnr_db for cost in whole], abs=0.01
    )


@pytest.mark.parametrize("name", ["u8s8", "s8s8"])
def test_costs_add_up_like_noise(name: str, folded_digits: ir.Model, batches: Batches) -> None:
    """Together the layers lose about what the whole network does; the rest is the additions'."""
    kind = dialect(name, folded_digits, batches)
    costs = rank(folded_digits, kind.quantize, batches, threads=1)
    summed = -10 * np.log10(sum(10 ** (-cost.sqnr_db / 10) for cost in costs))
    exact = logits(serialize(folded_digits), batches)
    kind.quantize(folded_digits, frozenset())
    whole = numerics.compare(exact, logits(kind.dialect.serialize(folded_digits), batches)).sqnr_db
    assert whole - 2 < summed < whole + 6


@pytest.mark.parametrize("name", ["u8s8", "s8s8"])
def test_two_ruined_layers_do_not_hide_behind_each_other(
    name: str, folded_digits: ir.Model, batches: Batches
) -> None:
    ruined = ("layer1.1.conv2", "layer3.2.conv2")
    for layer in ruined:
        stretch(folded_digits, layer, 1024.0)
    kind = dialect(name, folded_digits, batches)
    costs = rank(folded_digits, kind.quantize, batches, threads=1)
    assert {cost.layer for cost in costs[:2]} == set(ruined)
    assert all(cost.flips > 0 for cost in costs[:2])
    assert costs[1].sqnr_db < 10 < 30 < costs[2].sqnr_db


@pytest.mark.parametrize("name", ["u8s8", "s8s8"])
def test_weights_are_taken_from_the_converted_graph(name: str, graph: Graphs) -> None:
    model, x = residual(graph), normal(8, 4, 6, 6)
    kind = dialect(name, model, [x])

    def without_weights(model: ir.Model, keep: frozenset[str]) -> Any:
        found = kind.quantize(model, keep)
        stored = model.graph.initializers["down_conv1.weight.q"]
        assign(stored, np.zeros_like(array(model, "down_conv1.weight.q")))
        return found

    costs = rank(model, without_weights, [x], threads=1)
    assert costs[0].layer == "down_conv1"
    assert costs[0].sqnr_db < 22 < 28 < costs[1].sqnr_db


def test_fp8_is_ranked_too_and_what_stays_floating_is_not(graph: Graphs) -> None:
    model, x = residual(graph, 16), normal(8, 16, 6, 6)
    ranges = observe(model, s8s8.activations(model), [x], threads=1).ranges

    def fp8(model: ir.Model, keep: frozenset[str]) -> Quantization:
        return s8s8.quantize(model, ranges, "fp8", keep=keep | {"fc"})

    costs = rank(model, fp8, [x], threads=1)
    assert len(costs) == 6
    assert "fc" not in {cost.layer for cost in costs}
    assert all(5 < cost.sqnr_db < 80 for cost in costs)


def test_it_looks_at_so_many_images_and_no_more(folded_digits: ir.Model, batches: Batches) -> None:
    kind = dialect("u8s8", folded_digits, batches)
    taken = 0

    def stream() -> Any:
        nonlocal taken
        while True:
            taken += 4
            yield batches[0][:4]

    costs = rank(folded_digits, kind.quantize, stream(), threads=1, images=6)
    assert costs[0].images == 6
    assert taken == 8
    with pytest.raises(UsageError, match="no images"):
        rank(folded_digits, kind.quantize, [], threads=1)
