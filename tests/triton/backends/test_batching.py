"""Requests of one execute: which share a run, and whose fault is whose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_serve.triton.backends.batching import Run
from resnet_serve.triton.backends.elastic import Elastic
from resnet_serve.triton.backends.stub import Arrays


def rows(*numbers: int, width: int = 2) -> NDArray[np.float32]:
    return np.repeat(np.array(numbers, np.float32)[:, None], width, axis=1)


def run_all(
    feeds: Mapping[int, Arrays], run: Run, *, batched: bool
) -> dict[int, Arrays | Exception]:
    """As a backend without engines for single cores."""
    names = dict.fromkeys(feeds, ("y", "n"))
    return Elastic(lambda _, feed: run(feed)).run(feeds, names, batched=batched)


class Doubling:
    """Doubles its input, refuses 13s, and remembers the batches it saw."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, feed: Arrays) -> Arrays:
        self.sizes.append(len(feed["x"]))
        if (feed["x"] == 13).any():
            raise RuntimeError("thirteen")
        return {"y": 2 * feed["x"], "n": feed["x"][:, 0]}


def test_equal_shapes_share_a_run_and_keep_their_outputs() -> None:
    run = Doubling()
    feeds = {7: {"x": rows(1, 2)}, 2: {"x": rows(3)}, 9: {"x": rows(4, 5, 6)}}
    found = run_all(feeds, run, batched=True)
    assert run.sizes == [6]
    assert set(found) == set(feeds)
    for key, feed in feeds.items():
        np.testing.assert_array_equal(found[key]["y"], 2 * feed["x"])
        np.testing.assert_array_equal(found[key]["n"], feed["x"][:, 0])


def test_other_shapes_have_their_own_runs() -> None:
    run = Doubling()
    feeds = {0: {"x": rows(1)}, 1: {"x": rows(2, width=3)}, 2: {"x": rows(3)}}
    found = run_all(feeds, run, batched=True)
    assert sorted(run.sizes) == [1, 2]
    assert found[1]["y"].shape == (1, 3)


def test_without_batches_each_has_its_own_run() -> None:
    run = Doubling()
    run_all({0: {"x": rows(1, 2)}, 1: {"x": rows(3, 4)}}, run, batched=False)
    assert run.sizes == [2, 2]


@pytest.mark.parametrize("batched", [True, False])
def test_a_fault_stays_with_its_request(batched: bool) -> None:
    feeds = {0: {"x": rows(1)}, 1: {"x": rows(13)}, 2: {"x": rows(2)}}
    found = run_all(feeds, Doubling(), batched=batched)
    assert str(found[1]) == "thirteen"
    np.testing.assert_array_equal(found[0]["y"], rows(2))
    np.testing.assert_array_equal(found[2]["y"], rows(4))


def test_nothing_to_do() -> None:
    assert run_all({}, Doubling(), batched=True) == {}
