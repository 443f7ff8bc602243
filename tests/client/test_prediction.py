"""The classification extension's strings, as Triton writes them and as it must not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from resnet_client.errors import NotFiniteError, ServerError
from resnet_client.prediction import Prediction, from_logits, from_strings, labels_in, needs_all
from resnet_serve.activation import SOFTMAX, Activation, Kind


def as_triton(logits: np.ndarray, labels: list[str]) -> list[bytes]:
    """Best first, six decimals, as triton-inference-server/core writes it."""
    order = np.argsort(-logits, kind="stable")
    return [f"{logits[i]:f}:{i}:{labels[i]}".encode() for i in order]


def predictions(
    rows: list[bytes], top: int | None, activation: Activation = SOFTMAX
) -> tuple[Prediction, ...]:
    """From the logits and labels of these strings, which hold every class."""
    written = {int(row.split(b":")[1]): float(row.split(b":")[0]) for row in rows}
    logits = np.array([written[index] for index in range(len(rows))])
    return from_logits(logits, labels_in(rows), top, activation)


@given(
    arrays.arrays(np.float32, st.integers(1, 20), elements=st.floats(-50, 50, width=32)),
    st.data(),
    st.integers(1, 25),
)
def test_what_triton_writes_is_read(logits: np.ndarray, data: st.DataObject, top: int) -> None:
    labels = [data.draw(st.text(st.characters(codec="utf-8"), min_size=1)) for _ in logits]
    found = from_logits(logits, labels_in(as_triton(logits, labels)), top, SOFTMAX)
    order = np.argsort(-logits, kind="stable")[:top]
    exact = np.exp(logits.astype(np.float64) - logits.max())
    exact /= exact.sum()
    assert [p.index for p in found] == order.tolist()
    assert [p.label for p in found] == [labels[i] for i in order]
    np.testing.assert_allclose([p.logit for p in found], logits[order], atol=1e-6)
    np.testing.assert_allclose([p.probability for p in found], exact[order], atol=1e-5)


def test_without_labels_the_index_is_the_label() -> None:
    assert [p.label for p in from_strings([b"1.5:3", b"0.5:12"], 20, 5, SOFTMAX)] == ["3", "12"]
    assert labels_in([b"1.5:1", b"0.5:0"]) == ("0", "1")


def test_large_logits_do_not_overflow() -> None:
    best, worst = predictions([b"90000.0:1:a", b"-90000.0:0:b"], 2)
    assert (best.probability, worst.probability) == (1.0, 0.0)


def test_the_logits_given_stay_as_they_are() -> None:
    logits = np.arange(20, dtype=np.float64)
    best, second = from_logits(logits, [str(index) for index in range(20)], 2, SOFTMAX)
    assert (best.index, second.index) == (19, 18)
    assert logits.tolist() == list(range(20))


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf"])
def test_outputs_that_are_not_numbers_are_refused(value: str) -> None:
    assert not math.isfinite(float(value))
    with pytest.raises(NotFiniteError, match="logits are not finite"):
        from_strings([b"1.0:0:a", f"{value}:1:b".encode()], 2, 1, SOFTMAX)
    with pytest.raises(NotFiniteError, match="logits are not finite"):
        from_logits(np.array([1, float(value)], np.float32), ("a", "b"), 1, SOFTMAX)
    many = np.arange(20, dtype=np.float32)
    many[7] = float(value)
    with pytest.raises(NotFiniteError, match="logits are not finite"):
        from_logits(many, [str(index) for index in range(20)], 5, SOFTMAX)


@pytest.mark.parametrize("text", [b"", b"1.0", b"cat:1:0.5", b"1.0:one:cat"])
def test_what_is_not_the_extensions_is_refused(text: bytes) -> None:
    with pytest.raises(ServerError, match=r"not value:index\[:label\]"):
        from_strings([text], 2, 1, SOFTMAX)


@given(
    arrays.arrays(np.float32, st.integers(2, 20), elements=st.floats(-20, 20, width=32)),
    st.floats(0.01, 0.99),
)
def test_a_sigmoid_has_every_label_from_its_threshold_on(logits: np.ndarray, cut: float) -> None:
    labels = [f"label {index}" for index in range(len(logits))]
    found = predictions(as_triton(logits, labels), None, Activation(Kind.SIGMOID, (cut,)))
    written = np.array([float(f"{value:f}") for value in logits])
    exact = 1 / (1 + np.exp(-written))
    order = [index for index in np.argsort(-written, kind="stable") if exact[index] >= cut]
    assert [each.index for each in found] == order
    np.testing.assert_allclose([each.probability for each in found], exact[order])
    assert all(each.above_threshold for each in found)


def test_each_label_is_held_to_its_own_threshold() -> None:
    rows = [b"1.0:2:dog", b"0.0:0:cat", b"-1.0:1:cow"]
    activation = Activation(Kind.SIGMOID, (0.5, 0.2, 0.9))
    assert [p.label for p in predictions(rows, None, activation)] == ["cat", "cow"]
    best = predictions(rows, 2, activation)
    assert [(p.label, p.above_threshold) for p in best] == [("dog", False), ("cat", True)]


@pytest.mark.parametrize(
    ("row", "activation", "label", "index", "probability"),
    [
        (b"2.0:0:dog", Activation(Kind.SIGMOID, (0.5,)), "dog", 1, 0.8808),
        (b"-2.0:0:dog", Activation(Kind.SIGMOID, (0.5,)), "not dog", 0, 0.8808),
        (b"-2.0:0:dog", Activation(Kind.SIGMOID, (0.5,), "cat"), "cat", 0, 0.8808),
        (b"-2.0:0:dog", Activation(Kind.SIGMOID, (0.1,), "cat"), "dog", 1, 0.1192),
        (b"0.0:0:dog", Activation(Kind.SIGMOID, (0.5,), "cat"), "dog", 1, 0.5),
    ],
)
def test_one_output_is_the_positive_or_the_negative(
    row: bytes, activation: Activation, label: str, index: int, probability: float
) -> None:
    (outcome,) = predictions([row], None, activation)
    assert (outcome.label, outcome.index, outcome.above_threshold) == (label, index, True)
    assert outcome.probability == pytest.approx(probability, abs=1e-4)
    first, second = predictions([row], 5, activation)
    assert first == outcome
    assert second.above_threshold is False
    assert (first.probability or 0) + (second.probability or 0) == pytest.approx(1)


def test_raw_scores_have_no_probability() -> None:
    rows = [f"{7 - index}.5:{index}:score {index}".encode() for index in range(7)]
    activation = Activation(Kind.NONE)
    found = predictions(rows, None, activation)
    assert found == from_strings(rows[:5], 7, None, activation)
    assert [p.logit for p in found] == [7.5, 6.5, 5.5, 4.5, 3.5]
    assert {p.probability for p in found} == {p.above_threshold for p in found} == {None}


@given(
    arrays.arrays(np.float32, st.integers(2, 20), elements=st.floats(-20, 20, width=32)),
    st.integers(1, 25),
)
def test_the_best_alone_are_enough_where_nothing_is_summed(logits: np.ndarray, top: int) -> None:
    """Raw scores, the decisions of a sigmoid, and the classes of a softmax without its shares."""
    logits = np.round(logits.astype(np.float64), 3)
    rows = as_triton(logits, [f"label {index}" for index in range(len(logits))])
    for activation in (Activation(Kind.NONE), Activation(Kind.SIGMOID, (0.4,))):
        assert not needs_all(top, activation)
        found = from_strings(rows[:top], len(rows), top, activation)
        assert found == predictions(rows, top, activation)
    best = from_strings(rows[:top], len(rows), top, SOFTMAX)
    assert [p.index for p in best] == [p.index for p in predictions(rows, top)]
    assert {p.probability for p in best} == {None}


def test_what_needs_every_output() -> None:
    sigmoid = Activation(Kind.SIGMOID, (0.5,))
    assert [needs_all(None, each) for each in (SOFTMAX, sigmoid, Activation(Kind.NONE))] == [
        True,
        True,
        False,
    ]
    assert needs_all(3, SOFTMAX)


@pytest.mark.parametrize("rows", [[b"1.0:0", b"1.0:0"], [b"1.0:1"], [b"1.0:0", b"1.0:2"]])
def test_labels_are_of_every_class_once(rows: list[bytes]) -> None:
    with pytest.raises(ServerError, match="not every class once"):
        labels_in(rows)
