"""The repository as a hostile stranger would treat it: killed, filled, mounted, raced, misnamed."""

from __future__ import annotations

import ctypes
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resnet_serve import durable, passport
from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.triton import repository as module
from resnet_serve.triton.repository import LONGEST_NAME, ModelFiles, Repository, check_name

NAMES = ("net", "net_preprocess", "net_image")


def deployment(mark: str, size: int = 100) -> list[ModelFiles]:
    """Three models, every file of which says which deployment it belongs to."""
    filler = b"." * size
    return [
        ModelFiles(
            "net",
            f'# {mark}\nname: "net"\n',
            {"labels.txt": mark.encode()},
            {"model.onnx": mark.encode() + filler, passport.FILE_NAME: stamp(mark)},
        ),
        ModelFiles("net_preprocess", f"# {mark}\n", version_files={"p.json": mark.encode()}),
        ModelFiles("net_image", f"# {mark}\n", {"labels.txt": mark.encode()}),
    ]


def stamp(mark: str) -> bytes:
    return (
        passport.create(
            architecture=mark,
            precision="fp32",
            target="onnxruntime",
            weights={"trained": True},
            gate={},
        )
        .to_json()
        .encode()
    )


def tree(path: Path) -> dict[str, bytes | None]:
    """Every entry below a directory: the bytes of files, None for directories."""
    if not path.exists():
        return {}
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else None
        for entry in sorted(path.rglob("*"))
    }


def mark_of(repository: Repository, name: str) -> str:
    """Which deployment a model is at; fails when its files are of different ones."""
    directory = repository.path / name
    mark = (directory / "config.pbtxt").read_text().splitlines()[0].removeprefix("# ")
    newest = directory / str(max(repository.versions(name)))
    for file in (directory / "labels.txt", newest / "p.json", newest / "model.onnx"):
        if file.exists():
            assert file.read_bytes().rstrip(b".") == mark.encode(), file
    if name == "net":
        assert passport.read(newest / passport.FILE_NAME).architecture == mark
        assert (newest / "model.onnx").stat().st_size > 100
    return mark


def beside(repository: Repository) -> set[str]:
    return {entry.name for entry in repository.path.parent.iterdir()} - {repository.path.name}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where fsync costs nothing, for what is done hundreds of times."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def repository(memory: Path) -> Repository:
    return Repository(memory / "some" / "models")


def test_the_first_deployment_makes_version_1(repository: Repository) -> None:
    repository.check_writable()
    assert tree(repository.path.parent) == {}
    assert repository.deploy(deployment("one")) == 1
    assert set(os.listdir(repository.path)) == set(NAMES)
    assert [mark_of(repository, name) for name in NAMES] == ["one"] * 3
    assert [repository.versions(name) for name in NAMES] == [[1]] * 3
    assert (repository.path / "net_image" / "1").is_dir()
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
    with (repository.path / "net" / "config.pbtxt").open() as served:
        repository.deploy(deployment("two"))
        assert served.read().startswith("# one")


def test_all_models_of_a_deployment_get_the_same_number(repository: Repository) -> None:
    repository.deploy([ModelFiles("net", "# zero\n", version_files={"p.json": b"zero"})])
    repository.deploy([ModelFiles("net", "# zero\n", version_files={"p.json": b"zero"})])
    assert repository.deploy(deployment("one")) == 3
    assert [repository.versions(name) for name in NAMES] == [[1, 2, 3], [3], [3]]


def test_numbers_go_on_from_the_largest(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    for name in NAMES:
        (repository.path / name / "1").rename(repository.path / name / "41")
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


# --- killed --------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


class Killer:
    """Lets n changes of the file system happen and none after them, whoever tries to clean up."""

    CALLS = ("mkdir", "link", "unlink", "rename", "replace", "rmdir", "fsync")

    def __init__(self, countdown: int, patch: pytest.MonkeyPatch) -> None:
        self.countdown = countdown
        for name in self.CALLS:
            patch.setattr(os, name, self._deadly(getattr(os, name)))
        opened = io.open
        # Once before and once after: a file may be there and have nothing in it yet.
        patch.setattr(
            io, "open", self._deadly(lambda *a, **o: self._deadly(lambda f: f)(opened(*a, **o)))
        )
        patch.setattr(module, "_swap", self._deadly(module._swap))

    def _deadly(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            if self.countdown == 0:
                raise Killed
            self.countdown -= 1
            return call(*arguments, **options)

        return counted


def without_exchange(patch: pytest.MonkeyPatch) -> None:
    class Libc:
        pass

    patch.setattr(ctypes, "CDLL", lambda *_: Libc())


@pytest.mark.parametrize(
    ("present", "exchange"),
    [
        pytest.param(0, True, id="first version"),
        pytest.param(1, True, id="second version"),
        pytest.param(1, False, id="two renames"),
    ],
)
def test_kill_at_every_step(
    present: int, exchange: bool, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it each model is whole, and after `recover` all are at the same deployment."""
    template = Repository(memory / "template")
    for number in range(present):
        template.deploy(deployment(f"old {number}"))
    old = f"old {present - 1}" if present else None
    outcomes = []
    for step in range(1000):
        repository = Repository(memory / str(step) / "models")
        repository.path.parent.mkdir()
        if present:
            shutil.copytree(template.path, repository.path)

        killed = False
        with monkeypatch.context() as patch:
            if not exchange:
                without_exchange(patch)
            Killer(step, patch)
            try:
                repository.deploy(deployment("new"))
            except Killed:
                killed = True
        inside = set(os.listdir(repository.path)) if repository.path.exists() else set()
        assert inside <= set(NAMES), "nothing but models is ever inside the repository"
        if exchange:
            assert {mark_of(repository, name) for name in inside} <= {old, "new"}
            assert not present or inside == set(NAMES)
        repository.recover()
        inside = set(os.listdir(repository.path)) if repository.path.exists() else set()
        assert inside in (set(), set(NAMES))
        marks = {mark_of(repository, name) for name in inside}
        assert marks in ({old}, {"new"}, set())
        assert marks or old is None
        assert beside(repository) == set(), "no staging is left"
        outcomes.append(marks == {"new"})
        for name in inside:
            assert repository.versions(name) == list(range(1, present + 1 + outcomes[-1]))
        if step % 10 == 0:
            assert repository.deploy(deployment("next")) == present + 1 + outcomes[-1]
        shutil.rmtree(repository.path.parent)
        if not killed:
            break
    assert len(outcomes) > 25
    committed = outcomes.index(True)
    assert 0 < committed < len(outcomes) - 1
    assert all(outcomes[committed:]), "once committed it is never undone"


def test_kill_at_random_times(repository: Repository) -> None:
    repository.deploy(deployment("0"))
    generator = random.Random(0)
    deployed = 1
    for attempt in range(25):
        child = os.fork()
        if child == 0:
            try:
                for number in range(10_000):
                    repository.deploy(deployment(f"{attempt}-{number}", size=50_000))
            finally:
                os._exit(1)
        time.sleep(generator.uniform(0.001, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert set(os.listdir(repository.path)) == set(NAMES)
        repository.recover()
        assert len({mark_of(repository, name) for name in NAMES}) == 1
        versions = [repository.versions(name) for name in NAMES]
        assert versions[0] == versions[1] == versions[2] == list(range(1, len(versions[0]) + 1))
        assert len(versions[0]) >= deployed
        deployed = len(versions[0])
        assert beside(repository) == set()
        for version in range(1, deployed):
            assert (repository.path / "net" / str(version) / "model.onnx").stat().st_size > 100
    assert deployed > 5


def test_recovering_nothing_does_nothing(repository: Repository) -> None:
    repository.recover()
    assert not repository.path.parent.exists()
    repository.deploy(deployment("one"))
    before = tree(repository.path.parent)
    repository.recover()
    assert tree(repository.path.parent) == before


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, MemoryError, OSError(5, "Input/output error")]
)
def test_an_interruption_before_the_commit_leaves_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    repository.deploy(deployment("one"))
    before = tree(repository.path.parent)

    def interrupt(_: Path) -> None:
        assert beside(repository), "at this moment the staging directory is there"
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_tree", interrupt)
        with pytest.raises((KeyboardInterrupt, MemoryError, HostError)):
            repository.deploy(deployment("two"))
    assert tree(repository.path.parent) == before
    assert repository.deploy(deployment("two")) == 2


def test_an_interruption_of_the_swap_is_finished_by_whoever_comes_next(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.deploy(deployment("one"))
    swap, swapped = module._swap, []

    def interrupt(new: Path, target: Path) -> None:
        if swapped:
            raise KeyboardInterrupt
        swapped.append(target)
        swap(new, target)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_swap", interrupt)
        with pytest.raises(KeyboardInterrupt):
            repository.deploy(deployment("two"))
    assert {mark_of(repository, name) for name in NAMES} == {"one", "two"}
    repository.check_writable()
    assert {mark_of(repository, name) for name in NAMES} == {"two"}
    assert beside(repository) == set()


# --- raced ---------------------------------------------------------------------------------------


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
        looks.append((set(os.listdir(repository.path)), staging.parent.parent))

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
    assert os.listdir(memory) == ["models"]


# --- refused -------------------------------------------------------------------------------------


def one_line(refusal: pytest.ExceptionInfo[HostError]) -> str:
    text = str(refusal.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("present", [False, True])
def test_a_full_disk_leaves_the_repository_as_it_was(small_disk: Path, present: bool) -> None:
    def net(size: int) -> list[ModelFiles]:
        return [ModelFiles("net", "# mark\n", version_files={"model.onnx": b"." * size})]

    repository = Repository(small_disk / "models")
    if present:
        repository.deploy(net(100))
    before = tree(small_disk)
    with pytest.raises(HostError, match="no space left") as refusal:
        repository.deploy(net(200_000))
    assert "nothing was changed" in one_line(refusal)
    assert refusal.value.where == str(repository.path)
    assert tree(small_disk) == before
    assert repository.deploy(net(100)) == 1 + present


def test_a_read_only_disk_is_found_out_early(read_only_disk: Path) -> None:
    for path in (read_only_disk / "new" / "models", read_only_disk):
        with pytest.raises(HostError, match="read-only"):
            Repository(path).check_writable()
    with pytest.raises(HostError, match="read-only") as refusal:
        Repository(read_only_disk / "models").deploy(deployment("one"))
    one_line(refusal)


def test_a_directory_of_somebody_else_is_found_out_early(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    theirs = Repository(public_folder / "theirs" / "models")
    theirs.deploy(deployment("one"))
    before = tree(public_folder)
    with as_nobody():
        for path in (theirs.path, theirs.path.parent / "new" / "models"):
            with pytest.raises(HostError, match="permission denied") as refusal:
                Repository(path).check_writable()
            assert refusal.value.where == str(path)
    assert tree(public_folder) == before


def test_a_parent_that_cannot_be_written_is_the_one_that_is_named(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    parent = public_folder / "parent"
    (parent / "models").mkdir(parents=True)
    (parent / "models").chmod(0o777)
    with as_nobody(), pytest.raises(HostError, match="permission denied") as refusal:
        Repository(parent / "models").check_writable()
    assert refusal.value.where == str(parent)


def test_a_model_of_somebody_else_is_refused_before_anything_is_swapped(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """Renaming a directory to another parent needs write access to itself."""
    repository = Repository(public_folder / "models")
    with as_nobody():
        repository.deploy(deployment("one"))
    os.chown(repository.path / "net_image", 0, 0)
    before = tree(public_folder)
    with as_nobody(), pytest.raises(HostError, match="permission denied"):
        repository.deploy(deployment("two"))
    assert tree(public_folder) == before
    assert repository.deploy(deployment("three")) == 2


@pytest.fixture
def mounted() -> Iterator[Callable[..., None]]:
    """`mounted(place)` mounts a disk there; `mounted(place, source)` another directory."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a file system needs root")
    places: list[Path] = []

    def mount(place: Path, source: Path | None = None) -> None:
        place.mkdir(exist_ok=True)
        kind = ["-t", "tmpfs", "tmpfs"] if source is None else ["--bind", str(source)]
        done = subprocess.run(["mount", *kind, str(place)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting is not allowed here")
        places.append(place)

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("bind", [False, True], ids=["disk", "bind mount"])
def test_a_mount_point_is_refused(mounted: Callable[..., None], bind: bool, tmp_path: Path) -> None:
    """What a container's volume is: nothing can be renamed into it from beside."""
    (tmp_path / "volume").mkdir()
    mounted(tmp_path / "models", *([tmp_path / "volume"] if bind else []))
    repository = Repository(tmp_path / "models")
    with pytest.raises(HostError, match="mount point") as refusal:
        repository.check_writable()
    assert "directory inside it" in one_line(refusal)
    with pytest.raises(HostError, match="mount point"):
        repository.deploy(deployment("one"))
    assert tree(repository.path) == {}
    assert beside(repository) == {"volume"}
    inside = Repository(repository.path / "models")
    inside.check_writable()
    assert inside.deploy(deployment("one")) == 1


def test_a_model_that_is_a_mount_point_is_refused_before_anything_is_swapped(
    repository: Repository, mounted: Callable[..., None]
) -> None:
    repository.deploy(deployment("one"))
    mounted(repository.path / "net_image", repository.path / "net_image")
    with pytest.raises(HostError, match="mount point"):
        repository.deploy(deployment("two"))
    assert [mark_of(repository, name) for name in NAMES] == ["one"] * 3
    assert beside(repository) == set()


def test_a_file_in_the_place_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    for path in (tmp_path / "models", tmp_path / "models" / "inner"):
        with pytest.raises(HostError, match="is a file, not a directory") as refusal:
            Repository(path).check_writable()
        assert refusal.value.where == str(tmp_path / "models")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(HostError):
        Repository(tmp_path / "link").check_writable()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(HostError):
        Repository(tmp_path / "loop").check_writable()


def test_a_file_in_the_place_of_a_model_is_not_thrown_away(repository: Repository) -> None:
    """`--name README.md` in the default repository, which keeps a README."""
    repository.path.mkdir(parents=True)
    (repository.path / "README.md").write_text("read me")
    with pytest.raises(HostError, match="is a file") as refusal:
        repository.deploy([ModelFiles("net", "# one\n"), ModelFiles("README.md", "# one\n")])
    assert refusal.value.where == str(repository.path / "README.md")
    assert tree(repository.path) == {"README.md": b"read me"}
    assert beside(repository) == set()


def test_a_path_that_is_too_long_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="too long") as refusal:
        Repository(tmp_path / ("x" * 300)).check_writable()
    one_line(refusal)


# --- names ---------------------------------------------------------------------------------------

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


# --- listed --------------------------------------------------------------------------------------


def test_deployed_versions_are_those_with_a_passport(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    repository.deploy(deployment("two"))
    (repository.path / "foreign" / "1").mkdir(parents=True)
    (repository.path / ".hidden" / "1").mkdir(parents=True)
    (repository.path / ".hidden" / "1" / passport.FILE_NAME).write_bytes(stamp("hidden"))
    (repository.path / "README.md").write_text("read me")
    found = [
        (row.name, row.version, row.passport.architecture)
        for row in repository.deployed()
        if row.passport
    ]
    assert found == [("net", 1, "one"), ("net", 2, "two")]


def test_a_broken_passport_is_named(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    file = repository.path / "net" / "1" / passport.FILE_NAME
    file.write_text(json.dumps({"format": 1}))
    with pytest.raises(InputFileError, match="not a passport") as refusal:
        repository.deployed()
    assert refusal.value.where == str(file)


def test_no_repository_is_said(repository: Repository) -> None:
    with pytest.raises(InputFileError, match="no model repository") as refusal:
        repository.deployed()
    assert "resnet-convert" in str(refusal.value)
    assert repository.versions("net") == []


def test_a_repository_that_cannot_be_read_is_said(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    repository = Repository(public_folder / "models")
    repository.deploy(deployment("one"))
    (repository.path / "net").chmod(0o700)
    with as_nobody(), pytest.raises(InputFileError, match="cannot be read"):
        repository.deployed()
