"""Which models move when another version is served or one is removed, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from deployments import NAMES, deployment, in_one, mark_of, marked, tree
from passports import composed, converted

from resnet_serve import passport
from resnet_serve.errors import UsageError
from resnet_serve.passport import MemberFacts
from resnet_serve.triton.repository import ModelFiles, Repository, changes, whole

ENSEMBLE = ("both", "both_image", "both_average")


def served(repository: Repository) -> dict[str, int]:
    return {each.name: each.version for each in repository.deployed() if each.served}


def serve(repository: Repository, change: changes.Change) -> None:
    repository.serve(change.models)


@pytest.fixture
def three(repository: Repository) -> Repository:
    for mark in ("one", "two", "three"):
        repository.deploy(deployment(mark))
    return repository


def deploy_ensemble(repository: Repository, members: Sequence[tuple[str, int]]) -> int:
    """`both`, proved with these versions of its members."""
    (template, *_) = composed().members
    facts: tuple[MemberFacts, ...] = tuple(
        dataclasses.replace(template, name=name, version=version) for name, version in members
    )
    files = [ModelFiles(name, marked(name, "both")) for name in ENSEMBLE]
    document = composed(name="both", members=facts, files=whole.hashes(files))
    stamped = {passport.FILE_NAME: document.to_bytes()}
    return repository.deploy([dataclasses.replace(files[0], version_files=stamped), *files[1:]])


def test_rollback_serves_the_version_before(three: Repository) -> None:
    before = tree(three.path)
    change = changes.rollback(three.deployed(), "net")
    assert change.models == dict.fromkeys(NAMES, 2)
    assert (str(change.new), str(change.old)) == ("net version 2", "net version 3")
    serve(three, change)
    assert [mark_of(three, name) for name in NAMES] == ["two"] * 3
    assert [three.versions(name) for name in NAMES] == [[1, 2, 3]] * 3
    assert served(three) == {"net": 2}
    serve(three, changes.rollback(three.deployed(), "net", 1))
    assert [mark_of(three, name) for name in NAMES] == ["one"] * 3
    serve(three, changes.promote(three.deployed(), "net", 3))
    assert tree(three.path) == before


def test_the_next_deployment_is_served_and_has_the_next_number(three: Repository) -> None:
    serve(three, changes.rollback(three.deployed(), "net", 1))
    assert three.deploy(deployment("four")) == 4
    assert [mark_of(three, name) for name in NAMES] == ["four"] * 3


def test_a_deployment_beside_the_served_version_changes_nothing_served(three: Repository) -> None:
    assert three.deploy(deployment("four"), serve=False) == 4
    assert [mark_of(three, name) for name in NAMES] == ["three"] * 3
    serve(three, changes.promote(three.deployed(), "net", 4))
    assert [mark_of(three, name) for name in NAMES] == ["four"] * 3


def test_the_first_version_is_served_in_any_case(repository: Repository) -> None:
    repository.deploy(deployment("one"), serve=False)
    assert [mark_of(repository, name) for name in NAMES] == ["one"] * 3


def test_a_version_without_labels_has_none_when_it_is_served(repository: Repository) -> None:
    features = [dataclasses.replace(each, files={}) for each in deployment("one")]
    repository.deploy(features)
    repository.deploy(deployment("two"))
    assert (repository.path / "net" / "labels.txt").is_file()
    serve(repository, changes.rollback(repository.deployed(), "net"))
    assert not (repository.path / "net" / "labels.txt").exists()
    assert [mark_of(repository, name) for name in NAMES] == ["one"] * 3


def test_what_cannot_be_served_is_refused(three: Repository) -> None:
    found = three.deployed()
    for call, said, remedy in (
        (lambda: changes.promote(found, "nett", 1), "called 'nett'", "net"),
        (lambda: changes.promote(found, "net", 4), "no version 4", "1, 2, 3"),
        (lambda: changes.rollback(found, "net", 3), "not before version 3", "promote net 3"),
        (lambda: changes.remove(found, "net", 3), "version 3 of net is served", "rollback net"),
        (lambda: changes.remove(found, "net", 9), "no version 9", "1, 2, 3"),
        (lambda: changes.remove(found, "other"), "called 'other'", "net"),
    ):
        with pytest.raises(UsageError, match=said) as refused:
            call()
        assert remedy in str(refused.value)
    serve(three, changes.rollback(found, "net", 1))
    with pytest.raises(UsageError, match=r"no version of net before 1.*promote net VERSION"):
        changes.rollback(three.deployed(), "net")
    with pytest.raises(UsageError, match=r"version 1 of net is served\. First: .* promote net 3$"):
        changes.remove(three.deployed(), "net", 1)


def test_what_is_served_alone_is_replaced_or_removed_whole(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    found = repository.deployed()
    with pytest.raises(UsageError, match=r"no version of net before 1.*resnet-convert deploys"):
        changes.rollback(found, "net")
    with pytest.raises(UsageError, match=r"First: resnet-serve remove net$"):
        changes.remove(found, "net", 1)


def test_remove_deletes_a_version_of_all_its_models(three: Repository) -> None:
    gone = changes.remove(three.deployed(), "net", 2)
    three.remove(gone.models, gone.version)
    assert [three.versions(name) for name in NAMES] == [[1, 3]] * 3
    assert [mark_of(three, name) for name in NAMES] == ["three"] * 3
    everything = changes.remove(three.deployed(), "net")
    three.remove(everything.models, everything.version)
    assert list(three.path.iterdir()) == []


# --- composed models --------------------------------------------------------------------------


def test_an_ensemble_moves_with_its_member(three: Repository) -> None:
    serve(three, changes.promote(three.deployed(), "net", 2))
    assert deploy_ensemble(three, [("net", 2)]) == 1
    serve(three, _forward(three))
    assert deploy_ensemble(three, [("net", 3)]) == 2
    change = changes.rollback(three.deployed(), "net")
    assert change.models == {**dict.fromkeys(NAMES, 2), **dict.fromkeys(ENSEMBLE, 1)}
    serve(three, change)
    assert served(three) == {"both": 1, "net": 2}
    serve(three, changes.promote(three.deployed(), "net", 3))
    assert served(three) == {"both": 2, "net": 3}


def _forward(repository: Repository) -> changes.Change:
    """`net` 3, while `both` is removed for the moment: nothing was proved with it yet."""
    with pytest.raises(UsageError, match="no version of it was proved with net version 3") as no:
        changes.promote(repository.deployed(), "net", 3)
    assert "resnet-serve remove both" in str(no.value)
    found = [each for each in repository.deployed() if each.name != "both"]
    return changes.promote(found, "net", 3)


def test_an_ensemble_is_served_only_with_the_members_it_was_proved_with(three: Repository) -> None:
    deploy_ensemble(three, [("net", 2)])
    with pytest.raises(UsageError, match="net version 2, which is not served") as refused:
        changes.promote(three.deployed(), "both", 1)
    assert "resnet-serve promote net 2" in str(refused.value)


def test_a_member_is_not_removed_under_its_ensemble(three: Repository) -> None:
    deploy_ensemble(three, [("net", 3)])
    with pytest.raises(UsageError, match="both version 1 is composed of net") as refused:
        changes.remove(three.deployed(), "net")
    assert "resnet-serve remove both" in str(refused.value)
    changes.remove(three.deployed(), "net", 2)
    gone = changes.remove(three.deployed(), "both")
    assert set(gone.models) == set(ENSEMBLE)
    three.remove(gone.models, gone.version)
    gone = changes.remove(three.deployed(), "net")
    three.remove(gone.models, gone.version)
    assert three.deployed() == []


# --- what earlier versions of resnet-serve deployed -------------------------------------------


def as_before(repository: Repository, *marks: str) -> None:
    """Versions as they were deployed before versions kept their own configuration."""
    for mark in marks:
        repository.deploy(deployment(mark))
    for name in NAMES:
        for version in repository.versions(name):
            for file in ("config.pbtxt", "labels.txt"):
                (repository.directory(name) / str(version) / file).unlink(missing_ok=True)
        (repository.directory(name) / "config.pbtxt").write_text(marked(name, marks[-1]))
    in_one(repository)


def test_the_served_version_of_an_earlier_deployment_can_be_stored(repository: Repository) -> None:
    as_before(repository, "one", "two")
    found = repository.deployed()
    assert served(repository) == {"net": 2}
    with pytest.raises(UsageError, match="overwritten by a later version") as refused:
        changes.rollback(found, "net")
    assert converted().command in str(refused.value)
    change = changes.promote(found, "net", 2)
    assert not change.new.whole
    changes.store(repository, change.new)
    (new,) = [each for each in repository.deployed() if each.served]
    assert new.whole
    assert new.models == ("net", "net_image", "net_preprocess")
    assert [mark_of(repository, name) for name in NAMES] == ["two"] * 3


def test_a_deployment_stores_the_served_version_of_an_earlier_one(repository: Repository) -> None:
    as_before(repository, "one", "two")
    repository.deploy(deployment("three"))
    serve(repository, changes.rollback(repository.deployed(), "net"))
    assert [mark_of(repository, name) for name in NAMES] == ["two"] * 3


def test_a_copy_under_another_name_moves_alone(three: Repository) -> None:
    (three.path / "net").rename(three.path / "other")
    assert changes.promote(three.deployed(), "other", 1).models == {"other": 1}
