"""The average: PyTorch's mean of softmaxes, and logits that give it back."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from resnet_convert.ensembles.average import TINY, average
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.runtimes import onnxruntime


def answers(
    given: list[NDArray[np.float32]], activation: Activation = SOFTMAX
) -> dict[str, NDArray[np.float32]]:
    model = average(len(given), given[0].shape[1], activation)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    others = {f"logits_{number}": each for number, each in enumerate(given[1:], 2)}
    with onnxruntime.load(model, threads=1) as session:
        return session.run_all(given[0], others)


@pytest.mark.parametrize("count", [1, 2, 7, 50])
@pytest.mark.parametrize("scale", [1, 30])
def test_it_is_pytorchs_mean_of_softmaxes(count: int, scale: float) -> None:
    random = np.random.default_rng(count)
    given = [(scale * random.normal(size=(3, 10))).astype(np.float32) for _ in range(count)]
    found = answers(given)
    wanted = torch.stack([torch.softmax(torch.from_numpy(each), 1) for each in given]).mean(0)
    np.testing.assert_allclose(found["probabilities"], wanted.numpy(), rtol=0, atol=3e-7)
    again = torch.softmax(torch.from_numpy(found["logits"]), 1)
    np.testing.assert_allclose(again.numpy(), found["probabilities"], rtol=0, atol=3e-7)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("scale", [1, 12])
@pytest.mark.parametrize("classes", [1, 10])
def test_it_is_pytorchs_mean_of_sigmoids(count: int, scale: float, classes: int) -> None:
    random = np.random.default_rng(count)
    given = [(scale * random.normal(size=(3, classes))).astype(np.float32) for _ in range(count)]
    found = answers(given, Activation(Kind.SIGMOID, (0.5,)))
    wanted = torch.stack([torch.sigmoid(torch.from_numpy(each).double()) for each in given]).mean(0)
    np.testing.assert_allclose(found["probabilities"], wanted.numpy(), rtol=0, atol=3e-7)
    # Also where a probability rounds to 1: 1 − σ(z) is σ(−z).
    rest = torch.stack([torch.sigmoid(-torch.from_numpy(each).double()) for each in given]).mean(0)
    exact = (wanted.log() - rest.log()).numpy()
    np.testing.assert_allclose(found["logits"], exact, rtol=1e-4, atol=1e-5)


def test_raw_scores_are_averaged_as_they_are() -> None:
    found = answers([np.float32([[1, -8]]), np.float32([[2, 4]])], Activation(Kind.NONE))
    assert set(found) == {"logits"}
    np.testing.assert_allclose(found["logits"], [[1.5, -2]])


def test_it_averages_probabilities_and_not_logits() -> None:
    """One member that is very sure outvotes in logits, and not in probabilities."""
    sure, others = np.float32([[90, 0]]), np.float32([[0, 9]])
    assert answers([sure, others, others])["probabilities"].argmax() == 1
    assert (sure + others + others).argmax() == 0


def test_impossible_classes_stay_finite() -> None:
    found = answers([np.float32([[0, 500, -500]])] * 2)
    assert found["probabilities"][0, 2] == 0
    np.testing.assert_allclose(found["logits"][0, [0, 2]], np.log(TINY), rtol=1e-6)


def test_nvidias_container_can_load_it() -> None:
    proto = onnx.load_from_string(average(2, 5))
    assert (proto.ir_version, proto.opset_import[0].version) == (8, 17)
    assert [value.name for value in proto.graph.input] == ["logits_1", "logits_2"]
    assert [value.name for value in proto.graph.output] == ["probabilities", "logits"]
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    ]
    assert shapes == [["batch", 5]] * 4
