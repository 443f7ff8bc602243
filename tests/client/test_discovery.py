"""The model that is used when none is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from patience import PATIENCE_S
from scripted_triton import Reluctant, Scripted, Started, features_config, start

from resnet_client.discovery import only_classifier
from resnet_client.errors import ModelError

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


def test_the_only_classifier_without_its_companions(serving: Callable[[Any], str]) -> None:
    other = features_config(8, "{}")
    del other.parameters["preprocessing"]
    served = {"cats": OURS, "cats_image": OURS, "cats_preprocess": OURS, "bert": other}
    assert only_classifier(serving(Scripted(**served)), timeout_s=PATIENCE_S) == "cats"


def test_several_are_named(serving: Callable[[Any], str]) -> None:
    with pytest.raises(ModelError, match=r"serves cats, dogs\. Name one with --model"):
        only_classifier(serving(Scripted(cats=OURS, dogs=OURS)), timeout_s=PATIENCE_S)


def test_none_and_a_restricted_list(serving: Callable[[Any], str]) -> None:
    with pytest.raises(ModelError, match="serves no classifier that resnet-convert deployed"):
        only_classifier(serving(Scripted()), timeout_s=PATIENCE_S)
    with pytest.raises(ModelError, match=r"restricts the list.*`resnet-serve list`"):
        only_classifier(serving(Reluctant()), timeout_s=PATIENCE_S)
