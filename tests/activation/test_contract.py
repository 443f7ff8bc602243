"""Activations: the same numbers as PyTorch's, and nothing that means two things."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.activation.contract import sigmoid, to_logits
from resnet_serve.errors import InputFileError
from resnet_serve.passport import encode
from resnet_serve.passport.facts import decode

LOGITS = np.array([[-90.0, -3.0, 0.0, 2.5, 90.0], [1.0, 1.0, 1.0, 1.0, 1.5]], np.float32)
FIVE = Activation(Kind.SIGMOID, (0.1, 0.5, 0.5, 0.9, 0.5))


def test_probabilities_are_pytorchs() -> None:
    exact = torch.from_numpy(LOGITS).double()
    found = SOFTMAX.probabilities(LOGITS)
    np.testing.assert_allclose(found, torch.softmax(exact, 1).numpy(), rtol=1e-12)
    found = Activation(Kind.SIGMOID, (0.5,)).probabilities(LOGITS)
    np.testing.assert_allclose(found, torch.sigmoid(exact).numpy(), rtol=1e-12)
    assert Activation(Kind.NONE).probabilities(LOGITS) is None


@given(st.floats(1e-6, 1 - 1e-6))
def test_logits_are_the_inverse_of_probabilities(p: float) -> None:
    assert sigmoid(to_logits(p)) == pytest.approx(p, rel=1e-9)


@given(st.lists(st.floats(-30, 30, width=32), min_size=5, max_size=5))
def test_a_margin_has_the_sign_of_the_decision(row: list[float]) -> None:
    logits = np.array([row])
    decided = sigmoid(logits) >= np.array(FIVE.thresholds)
    margins = FIVE.margins(logits)
    certain = np.abs(margins) > 1e-9
    np.testing.assert_array_equal((margins >= 0)[certain], decided[certain])


def test_each_label_has_its_threshold() -> None:
    assert [FIVE.threshold(index) for index in range(5)] == [0.1, 0.5, 0.5, 0.9, 0.5]
    assert Activation(Kind.SIGMOID, (0.3,)).threshold(4) == 0.3


@pytest.mark.parametrize(
    ("activation", "outputs"),
    [
        (SOFTMAX, [2, 5, 1000]),
        (Activation(Kind.SIGMOID, (0.5,)), [1, 2, 5, 1000]),
        (Activation(Kind.SIGMOID, (0.5,), "cat"), [1]),
        (FIVE, [5]),
        (Activation(Kind.NONE), [1, 2, 5, 1000]),
    ],
)
def test_which_networks_can_have_it(activation: Activation, outputs: list[int]) -> None:
    assert [count for count in (1, 2, 5, 1000) if activation.fits(count)] == outputs


@pytest.mark.parametrize(
    "activation", [SOFTMAX, FIVE, Activation(Kind.SIGMOID, (0.3,), "cat"), Activation(Kind.NONE)]
)
def test_configurations_and_passports_keep_it(activation: Activation) -> None:
    assert Activation.from_text(activation.to_text()) == activation
    assert decode(Activation, encode(activation), "activation") == activation


@pytest.mark.parametrize(
    "values",
    [
        (Kind.SOFTMAX, (0.5,)),
        (Kind.SIGMOID, ()),
        (Kind.SIGMOID, (0.0,)),
        (Kind.SIGMOID, (0.5, 1.0)),
        (Kind.SIGMOID, (True,)),
        (Kind.NONE, (), "cat"),
    ],
)
def test_what_means_nothing_is_refused(values: tuple) -> None:
    with pytest.raises(InputFileError):
        Activation(*values)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "softmax", "{}", '{"kind": "relu"}', '{"kind": "softmax", "temperature": 2}'),
        *('{"kind": "sigmoid", "thresholds": 0.5}', '{"kind": "sigmoid", "thresholds": ["x"]}'),
    ],
)
def test_a_text_that_is_no_activation_is_refused(text: str) -> None:
    with pytest.raises(InputFileError):
        Activation.from_text(text)


def test_it_is_said_in_a_few_words() -> None:
    assert str(SOFTMAX) == "softmax"
    assert str(Activation(Kind.SIGMOID, (0.25,))) == "sigmoid, threshold 0.25"
    assert str(FIVE) == "sigmoid, thresholds 0.1 to 0.9"


def test_decisions_are_compared_by_class_or_by_label() -> None:
    one = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, -1.0]])
    other = np.array([[2.0, -1.0], [0.0, 3.0], [-1.0, 1.0]])
    assert SOFTMAX.agreement(one, other) == pytest.approx(2 / 3)
    assert SOFTMAX.flips(one, other) == 1
    half = Activation(Kind.SIGMOID, (0.5,))
    assert half.agreement(one, other) == pytest.approx(3 / 6)
    assert half.flips(one, other) == 2
    none = Activation(Kind.NONE)
    assert none.agreement(one, other) is None
    assert none.flips(one, other) == 0
