"""The model that is used when none is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from patience import PATIENCE_S
from scripted_triton import Reluctant, Scripted, Started, features_config, start

from resnet_client.discovery import only_classifier
from resnet_client.errors import ModelError
from resnet_client.transport.connection import Connection

OURS = features_config(8, "{}")


@pytest.fixture
def serving() -> Iterator[Callable[[Any], str]]:
    running: list[Started] = []

    def serve(servicer: Any) -> str:
        running.append(start(servicer))
        return running[-1].url

    yield serve
    for each in running:
        each.stop()


def only(url: str) -> str:
    with closing(Connection(url, timeout_s=PATIENCE_S)) as connection:
        return only_classifier(connection)


def test_the_only_classifier_without_its_companions(serving: Callable[[Any], str]) -> None:
    other = features_config(8, "{}")
    del other.parameters["preprocessing"]
    served = {"cats": OURS, "cats_image": OURS, "cats_preprocess": OURS, "bert": other}
    assert only(serving(Scripted(**served))) == "cats"


def test_several_are_named(serving: Callable[[Any], str]) -> None:
    with pytest.raises(ModelError, match=r"serves cats, dogs\. Name one with --model"):
        only(serving(Scripted(cats=OURS, dogs=OURS)))


def test_none_and_a_restricted_list(serving: Callable[[Any], str]) -> None:
    with pytest.raises(ModelError, match="serves no classifier that resnet-convert deployed"):
        only(serving(Scripted()))
    with pytest.raises(ModelError, match=r"restricts the list.*`resnet-serve list`"):
        only(serving(Reluctant()))
