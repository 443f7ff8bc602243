"""The classification extension's strings, as Triton writes them and as it must not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from resnet_client.errors import ServerError
from resnet_client.prediction import predictions


def as_triton(logits: np.ndarray, labels: list[str]) -> list[bytes]:
    """Best first, six decimals, as triton-inference-server/core writes it."""
    order = np.argsort(-logits, kind="stable")
    return [f"{logits[i]:f}:{i}:{labels[i]}".encode() for i in order]


@given(
    arrays.arrays(np.float32, st.integers(1, 20), elements=st.floats(-50, 50, width=32)),
    st.data(),
    st.integers(1, 25),
)
def test_what_triton_writes_is_read(logits: np.ndarray, data: st.DataObject, top: int) -> None:
    labels = [data.draw(st.text(st.characters(codec="utf-8"), min_size=1)) for _ in logits]
    found = predictions(as_triton(logits, labels), top)
    order = np.argsort(-logits, kind="stable")[:top]
    exact = np.exp(logits.astype(np.float64) - logits.max())
    exact /= exact.sum()
    assert [p.index for p in found] == order.tolist()
    assert [p.label for p in found] == [labels[i] for i in order]
    np.testing.assert_allclose([p.logit for p in found], logits[order], atol=1e-6)
    np.testing.assert_allclose([p.probability for p in found], exact[order], atol=1e-5)


def test_without_labels_the_index_is_the_label() -> None:
    assert [p.label for p in predictions([b"1.5:3", b"0.5:12"], 5)] == ["3", "12"]


def test_large_logits_do_not_overflow() -> None:
    best, worst = predictions([b"90000.0:1:a", b"-90000.0:0:b"], 2)
    assert (best.probability, worst.probability) == (1.0, 0.0)


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf"])
def test_outputs_that_are_not_numbers_are_refused(value: str) -> None:
    assert not math.isfinite(float(value))
    with pytest.raises(ServerError, match="logits are not finite"):
        predictions([b"1.0:0:a", f"{value}:1:b".encode()], 1)


@pytest.mark.parametrize("text", [b"", b"1.0", b"cat:1:0.5", b"1.0:one:cat"])
def test_what_is_not_the_extensions_is_refused(text: bytes) -> None:
    with pytest.raises(ServerError, match=r"not value:index\[:label\]"):
        predictions([text], 1)
