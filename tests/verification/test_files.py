"""Files that are not those of the passport: of the version itself, and of what is served of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deployments import NAMES, deployment
from passports import converted
from repositories import at

from resnet_serve import passport
from resnet_serve.cli.models.repository import list_models
from resnet_serve.triton.repository import Repository, changes, whole
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import files

Edit = Callable[[Path], object]


def deploy(repository: Repository, mark: str) -> int:
    """A deployment whose passport has the hashes of its files."""
    first, *rest = deployment(mark)
    kept = {name: data for name, data in first.version_files.items() if name != passport.FILE_NAME}
    models = [dataclasses.replace(first, version_files=kept), *rest]
    document = converted(architecture=mark, files=whole.hashes(models))
    stamped = {**kept, passport.FILE_NAME: document.to_bytes()}
    return repository.deploy([dataclasses.replace(first, version_files=stamped), *rest])


def without_hashes(made: Repository, *marks: str) -> None:
    """Versions whose passports have no hashes, as earlier ones."""
    for mark in marks:
        made.deploy(deployment(mark))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "models")
    deploy(made, "one")
    deploy(made, "two")
    return made


def compared(deployed: Deployed) -> dict[str, files.Row]:
    return {row.subject: row for row in files.rows(deployed)}


def wrong(found: list[Deployed]) -> Iterator[files.Row]:
    return (row for each in found for row in files.rows(each) if row.verdict != "ok")


def test_whole_versions_are_right_whichever_is_served(repository: Repository) -> None:
    for version in (2, 1):
        repository.serve(dict.fromkeys(NAMES, version))
        found = repository.deployed()
        assert list(wrong(found)) == []
        assert [set(compared(each)) for each in found if each.served] == [{"files", "served copy"}]


def test_versions_of_an_earlier_resnet_serve_are_named(
    repository: Repository, tmp_path: Path
) -> None:
    assert list(files.earlier(repository.deployed())) == []
    old = Repository(tmp_path / "old")
    without_hashes(old, "one", "two")
    first, second = files.earlier(old.deployed())
    for number, line in ((1, first), (2, second)):
        assert line.startswith(f"net version {number}: an earlier resnet-serve deployed it")
        assert line.endswith(f"resnet-serve promote net {number}")
    without_hashes(old, "three", "four", "five")
    *named, rest = files.earlier(old.deployed())
    assert len(named) == 3
    assert rest == "2 more versions are such: resnet-serve verify --host names all"


def test_a_served_copy_that_was_edited_is_named(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """Backends do not compare it: it is Triton's."""
    found = repository.deployed()
    served = [each for each in found if each.served]
    assert list(files.edited(served)) == []
    path = repository.path / "net" / "config.pbtxt"
    path.write_text(path.read_text() + "\n# edited\n" + "max_batch_size: 2\n")
    (line,) = files.edited(served)
    list_models(repository.path)
    assert capsys.readouterr().err == f"warning: {line}\n"
    assert line.startswith(f"net version 2: {path} is not that of version 2")
    assert line.endswith("resnet-serve promote net 2")


def test_list_names_them_too(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    list_models(repository.path)
    assert capsys.readouterr().err == ""
    old = Repository(tmp_path / "old")
    without_hashes(old, "one")
    list_models(old.path)
    said = capsys.readouterr().err
    remedy = "store them as they are now: resnet-serve promote net 1"
    assert said.startswith("warning: net version 1: an earlier resnet-serve deployed it")
    assert said.endswith(f"{remedy}\n")
    change = changes.promote(old.deployed(), "net", 1)
    changes.store(old, change.new)
    list_models(old.path)
    assert capsys.readouterr().err == ""


def replaced(text: str, by: str) -> Edit:
    return lambda path: path.write_text(path.read_text().replace(text, by))


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("net/2/labels.txt", replaced("two", "one")),
        ("net/2/config.pbtxt", replaced("two", "one")),
        ("net/2/model.onnx", replaced("two", "one")),
        ("net_preprocess/2/p.json", replaced("two", "one")),
        ("net_image/2/config.pbtxt", replaced("net", "other")),
        ("net_image/2/labels.txt", Path.unlink),
    ],
)
def test_a_file_of_the_version_that_was_changed_is_named(
    repository: Repository, file: str, edit: Edit
) -> None:
    edit(at(repository.path, file))
    for row in files.rows(repository.deployed()[1]):
        assert (row.verdict, row.subject) == ("damaged", file.replace("/2", ""))
        assert str(at(repository.path, file)) in row.found


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("net/labels.txt", replaced("two", "one")),
        ("net/config.pbtxt", replaced("two", "one")),
        ("net_preprocess/config.pbtxt", lambda path: path.write_text("not a { configuration")),
        ("net_image/config.pbtxt", replaced("model_version: 2", "model_version: -1")),
        ("net_image/labels.txt", Path.unlink),
        ("net_preprocess/labels.txt", lambda path: path.write_text("labels of another model")),
    ],
)
def test_a_served_copy_that_was_changed_is_named_and_put_back(
    repository: Repository, file: str, edit: Edit
) -> None:
    edit(at(repository.path, file))
    (row,) = wrong(repository.deployed())
    assert (row.verdict, row.subject) == ("damaged", "served copy")
    assert str(at(repository.path, file)) in row.found
    assert row.remedy.endswith("resnet-serve promote net 2")
    repository.serve(changes.promote(repository.deployed(), "net", 2).models)
    assert list(wrong(repository.deployed())) == []


def test_text_that_says_the_same_is_the_same(repository: Repository) -> None:
    path = repository.path / "net" / "config.pbtxt"
    path.write_text(f"# a comment\n{path.read_text()}")
    assert list(wrong(repository.deployed())) == []


def test_without_hashes_nothing_is_known_until_they_are_stored(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "models")
    repository.deploy(deployment("one"))
    (row,) = wrong(repository.deployed())
    assert (row.subject, row.verdict) == ("files", "unknown")
    assert row.remedy.endswith("resnet-serve promote net 1")
    change = changes.promote(repository.deployed(), "net", 1)
    changes.store(repository, change.new)
    assert list(wrong(repository.deployed())) == []
    (repository.path / "net" / "1" / "labels.txt").write_text("two")
    assert [row.subject for row in wrong(repository.deployed())] == ["net/labels.txt"]


def test_a_copy_under_another_name_has_its_own_files(repository: Repository) -> None:
    (repository.path / "net").rename(repository.path / "other")
    found = [each for each in repository.deployed() if each.name == "other"]
    assert list(wrong(found)) == []
