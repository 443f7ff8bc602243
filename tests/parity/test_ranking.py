"""F1 and average precision: scikit-learn's, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from resnet_serve.parity.ranking import average_precision, f1


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40))
def test_they_are_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([truth for truth, _ in rows])
    scores = np.array([score for _, score in rows], float)
    found = average_precision(truth, scores)
    if not truth.any():
        assert found is None
    else:
        assert found == pytest.approx(average_precision_score(truth, scores))
    decided = scores >= 1
    found = f1(truth, decided)
    if not (truth | decided).any():
        assert found is None
    else:
        assert found == pytest.approx(f1_score(truth, decided))
