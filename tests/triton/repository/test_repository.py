"""The repository: versions, names, what is listed, and deployments that race each other."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deployments import NAMES, beside, deployment, inside, mark_of, tree
from hypothesis import example, given
from hypothesis import strategies as st

from resnet_serve import durable, passport
from resnet_serve.errors import UsageError
from resnet_serve.triton.repository import LONGEST_NAME, ModelFiles, Repository, check_name


def test_the_first_deployment_makes_version_1(repository: Repository) -> None:
    repository.check_writable()
    assert tree(repository.path.parent) == {}
    assert repository.deploy(deployment("one")) == 1
    assert inside(repository) == set(NAMES)
    assert os.listdir(repository.path) == ["net"], "any Triton loads it"
    assert [mark_of(repository, name) for name in NAMES] == ["one"] * 3
    assert [repository.versions(name) for name in NAMES] == [[1]] * 3
    assert (repository.directory("net_image") / "1").is_dir()
    assert beside(repository) == set()


def test_the_second_makes_version_2_and_keeps_the_first(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    first = repository.path / "net" / "1" / "model.onnx"
    before = (first.stat().st_ino, first.read_bytes(), first.stat().st_mtime_ns)
    assert repository.deploy(deployment("two")) == 2
    assert [mark_of(repository, name) for name in NAMES] == ["two"] * 3
    assert [repository.versions(name) for name in NAMES] == [[1, 2]] * 3
    assert (first.stat().st_ino, first.read_bytes(), first.stat().st_mtime_ns) == before
    assert passport.read(first.parent / passport.FILE_NAME).architecture == "one"
    assert beside(repository) == set()


def test_files_that_are_being_served_are_replaced_and_never_written_into(
    repository: Repository,
) -> None:
    repository.deploy(deployment("one"))
    path = repository.path / "net" / "config.pbtxt"
    before = path.read_text()
    with path.open() as served:
        repository.deploy(deployment("two"))
        assert served.read() == before
    assert path.read_text() != before


def test_all_models_of_a_deployment_get_the_same_number(repository: Repository) -> None:
    repository.deploy([ModelFiles("net", "# zero\n", version_files={"p.json": b"zero"})])
    repository.deploy([ModelFiles("net", "# zero\n", version_files={"p.json": b"zero"})])
    assert repository.deploy(deployment("one")) == 3
    assert [repository.versions(name) for name in NAMES] == [[1, 2, 3], [3], [3]]


def test_numbers_go_on_from_the_largest(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    for name in NAMES:
        (repository.directory(name) / "1").rename(repository.directory(name) / "41")
    assert repository.deploy(deployment("two")) == 42


@pytest.mark.parametrize("odd", ["01", "0", "1a", "-2", "²", "٣", " 3", "v3", "1.5"])
def test_only_what_triton_takes_for_a_version_is_one(repository: Repository, odd: str) -> None:
    repository.deploy(deployment("one"))
    (repository.path / "net" / odd).mkdir()
    (repository.path / "net" / odd / "notes.txt").write_text("mine")
    (repository.path / "net" / "7").write_text("a file")
    assert repository.versions("net") == [1]
    assert repository.deploy(deployment("two")) == 2
    assert (repository.path / "net" / odd / "notes.txt").read_text() == "mine"


def test_what_somebody_keeps_beside_the_versions_is_kept(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    net = repository.path / "net"
    (net / "README.txt").write_text("mine")
    (net / "configs").mkdir()
    (net / "configs" / "fast.pbtxt").write_text("mine too")
    (net / "latest").symlink_to("1")
    (net / "nowhere").symlink_to("gone")
    (repository.path / "other_model").mkdir()
    repository.deploy(deployment("two"))
    assert (net / "README.txt").read_text() == "mine"
    assert (net / "configs" / "fast.pbtxt").read_text() == "mine too"
    assert os.readlink(net / "latest") == "1"
    assert os.readlink(net / "nowhere") == "gone"
    assert (repository.path / "other_model").is_dir()


def test_a_file_system_without_hard_links(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.deploy(deployment("one"))
    inode = (repository.path / "net" / "1" / "model.onnx").stat().st_ino

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert repository.deploy(deployment("two")) == 2
    copied = repository.path / "net" / "1" / "model.onnx"
    assert copied.read_bytes().startswith(b"one")
    assert copied.stat().st_ino != inode


def test_concurrent_deployments_all_succeed_with_numbers_of_their_own(
    repository: Repository,
) -> None:
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            status = 99
            try:
                status = Repository(repository.path).deploy(deployment(f"process {number}"))
            finally:
                os._exit(status)
        children.append(child)
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(lambda n: repository.deploy(deployment(f"thread {n}")), range(4)))
    processes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(processes + threads) == list(range(1, 9))
    assert len({mark_of(repository, name) for name in NAMES}) == 1
    assert [repository.versions(name) for name in NAMES] == [list(range(1, 9))] * 3
    assert beside(repository) == set()


def test_a_reader_never_sees_half_a_model(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.deploy(deployment("0"))
    rename = os.rename

    def watched(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        assert repository.path != Path(source).parent, "moved away before the new one is there"
        rename(source, target)

    monkeypatch.setattr(os, "rename", watched)
    stop, seen = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            directory = repository.path / "net"
            seen.append((directory.is_dir(), (directory / "config.pbtxt").is_file()))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(10):
            repository.deploy(deployment(str(number)))
    finally:
        stop.set()
        watcher.join()
    assert len(seen) > 20
    assert set(seen) == {(True, True)}


def test_staging_is_beside_the_repository_and_on_the_same_disk(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.deploy(deployment("one"))
    looks = []

    def look(staging: Path) -> None:
        looks.append((inside(repository), staging.parent.parent))

    monkeypatch.setattr(durable, "sync_tree", look)
    repository.deploy(deployment("two"))
    assert looks == [(set(NAMES), repository.path.parent)]


def test_a_repository_behind_a_symlink_is_staged_beside_the_real_one(
    tmp_path: Path, memory: Path
) -> None:
    """The link may lie on another disk, from which nothing can be renamed."""
    real = Repository(memory / "models")
    real.deploy(deployment("one"))
    (tmp_path / "link").symlink_to(real.path)
    linked = Repository(tmp_path / "link")
    linked.check_writable()
    assert linked.deploy(deployment("two")) == 2
    assert mark_of(real, "net") == "two"
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path) == ["link"]
    assert sorted(os.listdir(memory)) == ["models", "models.images"]


ALLOWED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


@given(st.text(max_size=20) | st.text(st.sampled_from("aB9_-./ "), max_size=6))
@example("a" * LONGEST_NAME)
@example("a" * (LONGEST_NAME + 1))
@example("net\n")
@example("..")
@example("-rf")
@example("ﬁle")
@example("٣")
def test_names(name: str) -> None:
    if ALLOWED.fullmatch(name) and len(name) <= LONGEST_NAME:
        check_name(name)
    else:
        with pytest.raises(UsageError, match="cannot be a model name") as refusal:
            check_name(name)
        assert "\n" not in str(refusal.value)


def test_a_bad_name_is_refused_before_anything_is_written(repository: Repository) -> None:
    with pytest.raises(UsageError):
        repository.deploy([ModelFiles("net", "# one\n"), ModelFiles("../net", "# one\n")])
    assert not repository.path.parent.exists()


@pytest.mark.parametrize("name", ["commit.json", "deployment", "x.old", "1", "a" * LONGEST_NAME])
def test_names_that_look_like_our_own_files(repository: Repository, name: str) -> None:
    models = [ModelFiles("x", "# one\n"), ModelFiles(name, "# one\n", {}, {"p.json": b"one"})]
    assert [repository.deploy(models), repository.deploy(models)] == [1, 2]
    assert repository.versions(name) == [1, 2]
    assert beside(repository) == set()


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_name_that_is_a_part_of_another_model_is_not_free(
    repository: Repository, name: str
) -> None:
    repository.check_free(name)
    repository.deploy(deployment("one"))
    with pytest.raises(UsageError, match=f"^{name} would replace {name}, which belongs to net ver"):
        repository.check_free(name)
    for free in ("net", "other"):
        repository.check_free(free)


def test_a_model_is_not_free_whose_part_is_another_model(repository: Repository) -> None:
    (own, *_) = deployment("one")
    repository.deploy([ModelFiles("toy_image", own.config, own.files, own.version_files)])
    with pytest.raises(UsageError, match=r"toy would replace toy_image, .*Give another --name"):
        repository.check_free("toy")
