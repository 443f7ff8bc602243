"""Which versions may be served in the place of the present one, and why others may not."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
import tunable
from passports import composed, converted, engine

from resnet_serve.errors import UsageError
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.tuning.candidates import Candidates, find


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def found(repository: Repository, budget: float | None = None, **more: bool) -> Candidates:
    return find(repository.deployed(), "net", budget, **more)


def test_versions_of_the_same_weights_in_other_precisions(repository: Repository) -> None:
    tunable.deploy(repository, hidden=64)
    tunable.deploy(repository, hidden=32, target="openvino", precision="int8")
    made = found(repository)
    assert [each.version for each in made.allowed] == [1, 2]
    assert made.served.version == 2
    assert [each.title for each in made.allowed] == ["fp32 on ONNX Runtime", "int8 on OpenVINO"]
    assert made.left_out == ()
    assert made.of(1).version == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": dataclasses.replace(converted().weights, sha256="9" * 64)}, "other weights"),
        ({"head": "features"}, "another input or output"),
        (
            {"contract": dataclasses.replace(converted().contract, input="float32")},
            "another input or output",
        ),
        ({"gate": dataclasses.replace(converted().gate, overridden=True)}, "--force"),
        ({"engine": engine()}, "runs on a GPU"),
        ({"files": None}, "earlier resnet-serve"),
    ],
)
def test_others_are_left_out_with_the_reason(
    repository: Repository, changes: dict[str, object], reason: str
) -> None:
    tunable.deploy(repository)
    first, second = _two(repository, changes)
    made = find([first, second], "net", None)
    assert [each.version for each in made.allowed] == [1]
    assert len(made.left_out) == 1
    assert made.left_out[0].startswith("version 2 is left out: ")
    assert reason in made.left_out[0]


def _two(repository: Repository, changes: dict[str, object]) -> tuple[Deployed, Deployed]:
    """The served version, and one that differs in its passport."""
    (first,) = repository.deployed()
    model = dataclasses.replace(first.passport.model, sha256="8" * 64)
    other = dataclasses.replace(first.passport, **{"model": model, **changes})
    return first, dataclasses.replace(first, version=2, passport=other, served=False)


def test_the_budget_is_compared_with_the_passport(repository: Repository) -> None:
    tunable.deploy(repository, hidden=64)
    tunable.deploy(repository, hidden=32, target="openvino", precision="int8", lost_points=0.8)
    assert [each.version for each in found(repository, 0.8).allowed] == [1, 2]
    made = found(repository, 0.5)
    assert [each.version for each in made.allowed] == [1]
    assert "int8 on OpenVINO loses 0.80 points of accuracy, 0.5 are allowed" in made.left_out[0]
    assert made.served.version == 2, "it is measured nevertheless"


def test_without_labels_the_margins_count(repository: Repository) -> None:
    tunable.deploy(repository)
    (only,) = found(repository).allowed
    decisions = dataclasses.replace(
        only.passport.parity.decisions, difference_points=None, margin_points=0.3
    )
    parity = dataclasses.replace(only.passport.parity, decisions=decisions)
    other = dataclasses.replace(only, passport=dataclasses.replace(only.passport, parity=parity))
    assert other.lost_points == 0.3
    undecided = dataclasses.replace(only.passport.parity, decisions=None)
    passport = dataclasses.replace(only.passport, parity=undecided)
    assert dataclasses.replace(only, passport=passport).lost_points is None


def test_no_version_within_the_budget(repository: Repository) -> None:
    tunable.deploy(repository, lost_points=2)
    with pytest.raises(UsageError, match=r"no version of net may be served: version 1 .* 2\.00"):
        found(repository, 1.0)


def test_a_tuned_version_is_not_measured_twice(repository: Repository) -> None:
    tunable.deploy(repository)
    tunable.deploy(repository)
    made = found(repository)
    assert [each.version for each in made.allowed] == [2], "the served one"
    assert "the model of version 2, served in another way" in made.left_out[0]


def test_a_canary_is_not_ended_by_the_way(repository: Repository) -> None:
    tunable.deploy(repository)
    tunable.deploy(repository, hidden=32, serve=False)
    canary = changes.canary(repository.deployed(), "net", 2, Fraction(1, 10))
    repository.split(canary)
    with pytest.raises(UsageError, match="or first: resnet-serve withdraw net"):
        found(repository, apply=True)
    assert found(repository).served.version == 1


def test_what_cannot_be_tuned(repository: Repository) -> None:
    tunable.deploy(repository)
    deployed = repository.deployed()
    with pytest.raises(UsageError, match="Use: resnet-serve tune net"):
        find(deployed, "net_image", None)
    with pytest.raises(UsageError, match="no deployed model is called 'nett'"):
        find(deployed, "nett", None)
    (net,) = deployed
    crops = dataclasses.replace(net, name="crops", passport=composed())
    with pytest.raises(UsageError, match=r"composed of other models.* Tune net\."):
        find([crops], "crops", None)
    on_gpu = dataclasses.replace(net, passport=dataclasses.replace(net.passport, engine=engine()))
    with pytest.raises(UsageError, match="runs on a GPU"):
        find([on_gpu], "net", None)
    with pytest.raises(UsageError, match="Leave out --apply, or first: resnet-serve remove crops"):
        find([net, crops], "net", None, apply=True)
    assert find([net, crops], "net", None).allowed
