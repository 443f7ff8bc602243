"""What is compared with what, and what counts as the same decision, for every kind of output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from shades import image

from resnet_client import Prediction
from resnet_client.contract import Contract
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.errors import DeadlineError, ModelError, ServerError, UnavailableError, UsageError
from resnet_serve.web import served
from resnet_serve.web.catalog import Served
from resnet_serve.web.uploads import Asked, Upload

SIGMOID = Activation(Kind.SIGMOID, (0.5,))
SCORES = Activation(Kind.NONE)
UPLOAD = Upload(image(10), Asked())


class Fixed:
    """A classifier of fixed predictions, or of an error."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def classify_by(self, _picture: Any, top: int | None, _deadline: Any) -> list[Prediction]:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return list(self.outcome)[:top]


class Versions:
    """A catalog of versions that are there."""

    def __init__(self, *found: Served) -> None:
        self.found = found
        self.expired = False

    def versions(self) -> tuple[Served, ...]:
        return self.found

    def expire(self) -> None:
        self.expired = True


def version(name: str, outcome: Any, activation: Activation = SOFTMAX, classes: int = 3) -> Served:
    contract = Contract(name, "1", "image", classes, 4, lambda _: None, False, activation)
    labels = tuple(f"label {at}" for at in range(classes))
    return Served(name, "1", Fixed(outcome), contract, labels)


def best(*indices: int) -> list[Prediction]:
    return [Prediction(f"label {at}", at, 0.9, 1.0) for at in indices]


def decided(**shares: float) -> list[Prediction]:
    found = [
        Prediction(f"label {name[1:]}", int(name[1:]), share, 0.0, above_threshold=share >= 0.5)
        for name, share in shares.items()
    ]
    return sorted(found, key=lambda each: -(each.probability or 0))


def agreement(*versions: Served) -> tuple[bool | None, list[bool | None]]:
    found = served.compare(Versions(*versions), UPLOAD, 5)
    return found.agree, [each.agrees for each in found.columns]


def test_one_class_per_image() -> None:
    one, other = version("a", best(1, 0)), version("b", best(1, 2))
    flipped = version("c", best(0, 1))
    assert agreement(one) == (None, [None])
    assert agreement(one, other) == (True, [None, True])
    assert agreement(one, other, flipped) == (False, [None, True, False])


def test_the_labels_at_their_threshold_in_any_order() -> None:
    first = version("a", decided(_0=0.9, _1=0.8, _2=0.1), SIGMOID)
    same = version("b", decided(_1=0.9, _0=0.6, _2=0.4), SIGMOID)
    more = version("c", decided(_0=0.9, _1=0.8, _2=0.5), SIGMOID)
    none = version("d", decided(_0=0.1, _1=0.1, _2=0.1), SIGMOID)
    assert agreement(first, same) == (True, [None, True])
    assert agreement(first, more, none) == (False, [None, False, False])
    assert agreement(none, none) == (True, [None, True])


def test_every_label_that_is_decided_for_is_shown() -> None:
    many = {f"_{at}": 0.9 for at in range(8)}
    found = served.compare(
        Versions(version("a", decided(**many, _8=0.1), SIGMOID, 9)), UPLOAD, 5
    ).columns[0]
    assert len(found.predictions or ()) == 8


def test_one_output() -> None:
    positive = [
        Prediction("yes", 1, 0.8, 1.0, above_threshold=True),
        Prediction("no", 0, 0.2, -1.0, above_threshold=False),
    ]
    negative = [replace(each, above_threshold=not each.above_threshold) for each in positive[::-1]]
    first, same = (version(name, positive, SIGMOID, 1) for name in "ab")
    assert agreement(first, same) == (True, [None, True])
    assert agreement(first, version("c", negative, SIGMOID, 1)) == (False, [None, False])


def test_versions_of_other_labels_are_not_compared() -> None:
    first, other = version("a", best(0)), version("b", best(0), classes=4)
    reading = version("c", best(0), SCORES)
    versions = Versions(first, other, reading)
    for name in "abc":
        asked = Upload(UPLOAD.image, Asked(model=name))
        assert [each.model for each in served.compare(versions, asked, 5).columns] == [name]


def test_a_version_that_fails_has_its_error_and_the_others_their_predictions() -> None:
    fine, broken = version("a", best(0)), version("b", ServerError("out of memory"))
    found = served.compare(Versions(fine, broken, fine), UPLOAD, 5)
    assert found.agree is True
    assert found.columns[1].error == "out of memory"
    assert found.columns[1].predictions is None
    first_fails = served.compare(Versions(broken, fine, fine), UPLOAD, 5)
    assert first_fails.agree is None


def test_where_nothing_answers_the_request_fails() -> None:
    late = version("a", DeadlineError("no response"))
    with pytest.raises(UnavailableError, match="no response"):
        served.compare(Versions(late, late), UPLOAD, 5)


def test_a_version_that_is_gone_is_looked_for_again() -> None:
    versions = Versions(version("a", ModelError("gone")), version("b", best(0)))
    served.compare(versions, UPLOAD, 5)
    assert versions.expired


def test_a_model_has_to_be_named_among_several() -> None:
    versions = Versions(version("a", best(0)), version("b", best(0)))
    with pytest.raises(UsageError, match=r"a, b.*\?model=a"):
        served.classify(versions, UPLOAD, 5)
    with pytest.raises(ModelError, match="no classifier"):
        served.classify(Versions(), UPLOAD, 5)
    with pytest.raises(ModelError, match="Served: 1"):
        served.classify(versions, Upload(UPLOAD.image, Asked("a", "2")), 5)
    with pytest.raises(ModelError, match="It serves a, b"):
        served.classify(versions, Upload(UPLOAD.image, Asked("c", "2")), 5)
