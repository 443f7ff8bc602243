"""A canary in the repository: its files, what is listed, what ends it, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import versioned
from deployments import in_one, inside
from versioned import NAMES

from resnet_serve.errors import UsageError
from resnet_serve.triton import config, image_repository, rollout
from resnet_serve.triton.canary.split import Split, share
from resnet_serve.triton.repository import ModelFiles, Repository, canaries, changes
from resnet_serve.verification import files

TENTH = share("10%")
ALONE = {f"{name}.canary-{version}" for name in NAMES for version in (1, 2)}


@pytest.fixture
def two(memory: Path) -> Repository:
    """Version 1 is served, version 2 answers the same requests."""
    made = Repository(memory / "models")
    versioned.deploy(made)
    versioned.deploy(made, serve=False, like=1)
    return made


def begin(repository: Repository, version: int = 2, percent: str = "10%") -> canaries.Canary:
    made = changes.canary(repository.deployed(), "net", version, share(percent))
    repository.split(made)
    return made


def test_the_split_is_in_the_repository(two: Repository) -> None:
    made = begin(two)
    assert inside(two) == {*NAMES, *ALONE}
    assert made.routed == ("net", "net_image")
    for name in made.routed:
        shown = config.parse((two.directory(name) / "config.pbtxt").read_text())
        assert shown.backend == "canary"
        assert list(shown.version_policy.specific.versions) == [1, 2, 1_000_000_002]
        assert canaries.running(two.directory(name)) == Split(1, 2, TENTH)
    net = config.parse((two.path / "net" / "config.pbtxt").read_text())
    assert "preprocessing" in net.parameters  # clients read it
    image = config.parse((two.directory("net_image.canary-2") / "config.pbtxt").read_text())
    steps = [(step.model_name, step.model_version) for step in image.ensemble_scheduling.step]
    assert steps == [("net_preprocess.canary-2", 2), ("net.canary-2", 2)]
    assert (two.path / "net.canary-2" / "2" / "model.onnx").is_file()


def test_a_canary_moves_the_models_of_an_earlier_deployment(two: Repository) -> None:
    """Its links lead to models of the same repository, those too that keep the old version."""
    in_one(two)
    begin(two)
    second = image_repository.of(two.path)
    assert sorted(os.listdir(two.path)) == ["net", "net.canary-1", "net.canary-2"]
    assert {"net_image", "net_preprocess"} < set(os.listdir(second))
    for name in ALONE:
        model, _, version = name.rpartition(".canary-")
        assert (two.directory(name) / version).resolve() == two.directory(model) / version


def test_the_old_version_is_the_served_one(two: Repository) -> None:
    begin(two)
    found = two.deployed()
    assert [(each.name, each.version, each.served) for each in found] == [
        ("net", 1, True),
        ("net", 2, False),
    ]
    tried = changes.trying(found, "net")
    assert tried is not None
    assert (tried.new.version, tried.split.percent) == (2, "10%")
    assert two.versions("net") == [1, 2]
    assert [row.verdict for row in files.rows(found[0])] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("ends", "served"),
    [
        pytest.param(lambda r: r.serve(dict.fromkeys(NAMES, 1)), 1, id="withdrawn"),
        pytest.param(lambda r: r.serve(dict.fromkeys(NAMES, 2)), 2, id="promoted"),
        pytest.param(versioned.deploy, 3, id="another version"),
    ],
)
def test_what_ends_it_leaves_nothing_of_it(
    two: Repository, ends: Callable[[Repository], object], served: int
) -> None:
    begin(two)
    ends(two)
    found = two.deployed()
    assert [each.version for each in found if each.served] == [served]
    assert changes.trying(found, "net") is None
    assert inside(two) == set(NAMES)
    assert not canaries.numbers(two.path / "net")


def test_a_version_that_is_only_deployed_does_not_end_it(two: Repository) -> None:
    begin(two)
    assert versioned.deploy(two, serve=False, like=1) == 3
    assert changes.trying(two.deployed(), "net") is not None
    begin(two, 3, "25%")
    tried = changes.trying(two.deployed(), "net")
    assert tried is not None
    assert (tried.split.new, tried.split.percent) == (3, "25%")
    assert not (two.path / "net.canary-2").exists()
    assert canaries.numbers(two.path / "net") == ["1000000003"]


def test_refusals(two: Repository) -> None:
    versioned.deploy(two, serve=False)  # with other labels
    found = two.deployed()
    with pytest.raises(UsageError, match=r"its labels are others.*another --name"):
        changes.canary(found, "net", 3, TENTH)
    with pytest.raises(UsageError, match="is the served version"):
        changes.canary(found, "net", 1, TENTH)
    begin(two)
    with pytest.raises(UsageError, match="First: resnet-serve withdraw net"):
        changes.remove(two.deployed(), "net", 2)
    with pytest.raises(UsageError, match=r"without '\.canary-'"):
        two.deploy([ModelFiles("net.canary-7", "")])


def test_a_version_that_was_just_deployed_gets_its_share(two: Repository) -> None:
    """What `resnet-convert --canary` does where no server runs."""
    rollout.check_canary(two, "net", "10%")
    assert rollout.bring(None, two, "net", 2, print, "10%") is None
    tried = changes.trying(two.deployed(), "net")
    assert tried is not None
    assert tried.split == Split(1, 2, TENTH)
    for name, share_of, said in (("net", "x", "as in 10%"), ("other", "10%", "Leave out --canary")):
        with pytest.raises(UsageError, match=said):
            rollout.check_canary(two, name, share_of)
    rollout.check_canary(two, "other", None)


def test_another_preprocessing_leaves_the_tensors_to_the_old_version(
    two: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versioned, "labels_of", lambda _: ("a", "b", "c"))
    made = Repository(two.path.parent / "others")
    versioned.deploy(made)
    versioned.deploy(made, serve=False)
    canary = begin(made)
    assert canary.routed == ("net_image",)
    assert canary.unsplit == {"net": "its preprocessing of clients is another"}
    net = config.parse((made.path / "net" / "config.pbtxt").read_text())
    assert (net.backend, list(net.version_policy.specific.versions)) == ("onnxruntime", [1])
