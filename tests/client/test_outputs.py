"""Which outputs cross the wire for which predictions, counted at a server that says so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from patience import PATIENCE_S
from scripted_triton import Ranking, start

from resnet_client.contract import Contract
from resnet_client.errors import ServerError
from resnet_client.outputs import Outputs, VersionChangedError
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline
from resnet_serve.activation import SOFTMAX, Activation, Kind

CLASSES = 1000
BATCH = np.zeros((2, 1), np.uint8)


@pytest.fixture
def ranking() -> Ranking:
    return Ranking(CLASSES)


@pytest.fixture
def connection(ranking: Ranking) -> Iterator[Connection]:
    server = start(ranking)
    made = Connection(server.url, timeout_s=PATIENCE_S)
    yield made
    made.close()
    server.stop()


def contract(activation: Activation = SOFTMAX, version: str = "1") -> Contract:
    def unused(image: object) -> np.ndarray:
        raise AssertionError

    return Contract("m", version, "image", CLASSES, 8, unused, False, activation)


def ask(outputs: Outputs, of: Contract, top: int | None) -> list[tuple[int, str]]:
    found = list(outputs.predictions(of, BATCH, top, Deadline.after(PATIENCE_S)))
    assert len(found) == 2
    return [(each.index, each.label) for each in found[0]]


def test_a_softmax_gets_its_labels_once_and_then_numbers(
    connection: Connection, ranking: Ranking
) -> None:
    outputs, served = Outputs(connection, "", probabilities=True), contract()
    for _ in range(3):
        assert ask(outputs, served, 2) == [(999, "label 999"), (998, "label 998")]
    assert ranking.asked == [(1, CLASSES), (2, 0), (2, 0), (2, 0)]
    ask(outputs, contract(), 2)  # read again: another version, or another server
    assert ranking.asked[4:] == [(1, CLASSES), (2, 0)]


def test_only_the_best_are_sent_where_no_others_are_needed(
    connection: Connection, ranking: Ranking
) -> None:
    without = Outputs(connection, "", probabilities=False)
    assert ask(without, contract(), 2) == [(999, "label 999"), (998, "label 998")]
    assert len(ask(without, contract(), None)) == 5
    outputs = Outputs(connection, "", probabilities=True)
    ask(outputs, contract(Activation(Kind.NONE)), 3)
    ask(outputs, contract(Activation(Kind.SIGMOID, (0.5,))), 3)
    ask(outputs, contract(), 2000)
    ask(without, contract(), 2000)
    assert ranking.asked == [(2, n) for n in (2, 5, 3, 3)] + [(1, 1000), (2, 0), (2, 1000)]


def test_a_sigmoid_without_top_may_find_any_number(
    connection: Connection, ranking: Ranking
) -> None:
    outputs = Outputs(connection, "", probabilities=False)
    found = ask(outputs, contract(Activation(Kind.SIGMOID, (0.5,))), None)
    assert len(found) == CLASSES // 2
    assert ranking.asked == [(1, CLASSES), (2, 0)]


def test_another_version_and_another_shape_are_noticed(
    connection: Connection, ranking: Ranking
) -> None:
    outputs = Outputs(connection, "", probabilities=True)
    with pytest.raises(VersionChangedError):
        ask(outputs, contract(version="2"), 1)
    ranking.classes = 3
    with pytest.raises(ServerError, match=r"'logits' is \[1, 3\], not \[1, 1000\]"):
        ask(outputs, contract(), 1)
