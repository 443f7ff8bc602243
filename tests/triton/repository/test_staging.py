"""Deployments that are killed or interrupted: the repository is whole at every moment."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deployments import NAMES, beside, deployment, in_one, inside, mark_of, stamp, tree
from patience import PATIENCE_S, until

from resnet_serve import durable
from resnet_serve.errors import HostError
from resnet_serve.triton.canary.split import Split, share
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.repository import staging as module
from resnet_serve.triton.repository.canaries import Canary


class Killed(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


class Killer:
    """Lets n changes of the file system happen and none after them, whoever tries to clean up.

    `committed` is how many there had been when a change was committed and began to be swapped in.
    """

    CALLS = ("mkdir", "link", "unlink", "rename", "replace", "rmdir", "fsync")

    def __init__(self, countdown: int, patch: pytest.MonkeyPatch) -> None:
        self.countdown = self._allowed = countdown
        self.committed: int | None = None
        for name in self.CALLS:
            patch.setattr(os, name, self._deadly(getattr(os, name)))
        opened = io.open
        # Once before and once after: a file may be there and have nothing in it yet.
        patch.setattr(
            io, "open", self._deadly(lambda *a, **o: self._deadly(lambda f: f)(opened(*a, **o)))
        )
        patch.setattr(module, "_swap", self._deadly(module._swap))
        settle = module._settle

        def settled(repository: Path, place: Path) -> None:
            if self.committed is None and (place / module._JOURNAL).is_file():
                self.committed = self._allowed - self.countdown
            settle(repository, place)

        patch.setattr(module, "_settle", settled)

    def _deadly(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            if self.countdown == 0:
                raise Killed
            self.countdown -= 1
            return call(*arguments, **options)

        return counted


def copied_tree(source: Path, destination: Path) -> None:
    """A copy by hard links: what would be written into them is found to be of neither state."""
    shutil.copytree(source, destination, symlinks=True, copy_function=os.link, dirs_exist_ok=True)


STEPS = 1000  # more than any change takes


def steps(change: Callable[[Repository], object], copy: Repository, *, exchange: bool) -> range:
    """Before which changes of the file system `change` is to be killed, made on a copy.

    Without the exchange only what follows the commit differs: until then it is the same code.
    """
    if exchange:
        return range(STEPS)
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(STEPS, patch)
        change(copy)
    assert killer.committed
    return range(killer.committed, STEPS)


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
    template = Repository(memory / "template" / "models")
    for number in range(present):
        template.deploy(deployment(f"old {number}"))
    old = f"old {present - 1}" if present else None
    outcomes = []

    def copied(name: str) -> Repository:
        repository = Repository(memory / name / "models")
        repository.path.parent.mkdir()
        if present:
            copied_tree(template.path.parent, repository.path.parent)
        return repository

    new, following = deployment("new"), deployment("next")

    def change(repository: Repository) -> object:
        return repository.deploy(new)

    for step in steps(change, copied("first"), exchange=exchange):
        repository = copied(str(step))

        killed = False
        with monkeypatch.context() as patch:
            if not exchange:
                without_exchange(patch)
            Killer(step, patch)
            try:
                change(repository)
            except Killed:
                killed = True
        names = inside(repository)
        assert names <= set(NAMES), "nothing but models is ever inside the repository"
        if exchange:
            assert {mark_of(repository, name) for name in names} <= {old, "new"}
            assert not present or names == set(NAMES)
        repository.recover()
        names = inside(repository)
        assert names in (set(), set(NAMES))
        marks = {mark_of(repository, name) for name in names}
        assert marks in ({old}, {"new"}, set())
        assert marks or old is None
        assert beside(repository) == set(), "no staging is left"
        outcomes.append(marks == {"new"})
        for name in names:
            assert repository.versions(name) == list(range(1, present + 1 + outcomes[-1]))
        if step % 10 == 0:
            assert repository.deploy(following) == present + 1 + outcomes[-1]
        shutil.rmtree(repository.path.parent)
        if not killed:
            break
    assert len(outcomes) > (25 if exchange else 5)
    committed = outcomes.index(True)
    assert (0 if exchange else -1) < committed < len(outcomes) - 1
    assert all(outcomes[committed:]), "once committed it is never undone"


NEW_FILES = {"passport.json": stamp("new"), "model.onnx": b"new"}
CHANGES: dict[str, Callable[[Repository], None]] = {
    "rewrite": lambda repository: repository.rewrite("net", 2, NEW_FILES),
    "serve another version": lambda repository: repository.serve(dict.fromkeys(NAMES, 1)),
    "remove a version": lambda repository: repository.remove(NAMES, 1),
    "remove the model": lambda repository: repository.remove(NAMES),
    "begin a canary": lambda repository: repository.split(tried(repository)),
    "another share": lambda repository: repository.split(tried(repository, "20%")),
    "withdraw a canary": lambda repository: repository.serve(dict.fromkeys(NAMES, 2)),
    "promote a canary": lambda repository: repository.serve(dict.fromkeys(NAMES, 1)),
    "remove the model of a canary": lambda repository: repository.remove(NAMES),
}
# From a repository of an earlier resnet-serve, with all models in one place.
MOVES = {
    "serve and move": lambda repository: repository.serve(dict.fromkeys(NAMES, 1)),
}
CHANGES |= MOVES
OF_A_CANARY = (
    *("another share", "withdraw a canary", "promote a canary"),
    "remove the model of a canary",
)


def tried(repository: Repository, text: str = "10%") -> Canary:
    """Version 1 of `deployment`s, beside version 2 which is served."""
    new, old = repository.deployed()
    split = Split(old.version, new.version, share(text))
    return Canary(split, old, new, ("net", "net_image"), {})


@pytest.mark.parametrize(
    ("change", "exchange"),
    [
        pytest.param(change, exchange, id=f"{change}, {'exchange' if exchange else 'two renames'}")
        for change in CHANGES
        for exchange in (True, False)
        if exchange or change not in MOVES
    ],
)
def test_kill_at_every_step_of_a_change(
    change: str, exchange: bool, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each model is as before or as after it, and after `recover` all are the same of the two."""
    template = Repository(memory / "template" / "models")
    for number in range(2):
        template.deploy(deployment(f"old {number}"))
    if change in OF_A_CANARY:
        template.split(tried(template))
    if change in MOVES:
        in_one(template)
    before = tree(template.path.parent)
    shutil.copytree(template.path.parent, memory / "changed", symlinks=True)
    CHANGES[change](Repository(memory / "changed" / "models"))
    after = tree(memory / "changed")
    assert set(os.listdir(memory / "changed" / "models")).isdisjoint(NAMES[1:])
    assert after != before
    outcomes = []

    def copied(name: str) -> Repository:
        copied_tree(template.path.parent, memory / name)
        return Repository(memory / name / "models")

    for step in steps(CHANGES[change], copied("first"), exchange=exchange):
        repository = copied(str(step))
        killed = False
        with monkeypatch.context() as patch:
            if not exchange:
                without_exchange(patch)
            Killer(step, patch)
            try:
                CHANGES[change](repository)
            except Killed:
                killed = True
        if exchange:
            found = tree(repository.path.parent)
            for name in NAMES:
                states = (_of(name, before), _of(name, after))
                # One that moves is in both places for a moment.
                assert _of(name, found) in (*states, states[0] | states[1])
        repository.recover()
        found = tree(repository.path.parent)
        assert found in (before, after) or found == before | {"models.images": None}
        assert beside(repository) == set()
        outcomes.append(found == after)
        shutil.rmtree(repository.path.parent)
        if not killed:
            break
    assert len(outcomes) > (10 if exchange else 1)
    assert outcomes[-1]
    assert all(outcomes[outcomes.index(True) :]), "once committed it is never undone"


def _of(name: str, found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    return {path: data for path, data in found.items() if path.split("/")[1:2] == [name]}


def test_kill_at_random_times(repository: Repository) -> None:
    repository.deploy(deployment("0"))
    generator = random.Random(0)
    deployed, attempt = 1, 0
    while attempt < 25 or (deployed <= 5 and attempt < 250):
        attempt += 1
        child = os.fork()
        if child == 0:
            try:
                for number in range(10_000):
                    repository.deploy(deployment(f"{attempt}-{number}", size=50_000))
            finally:
                os._exit(1)
        time.sleep(generator.uniform(0.001, 0.02 + 0.001 * attempt))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert inside(repository) == set(NAMES)
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


def test_a_change_that_waits_for_another_one_says_so(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(durable, "_SILENT_S", 0.0)
    folder = repository.path.parent
    folder.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with module.opened(repository.path):
            waiting = pool.submit(repository.deploy, deployment("0"))
            assert until(lambda: bool(caplog.messages)), "waiting is silent"
        assert waiting.result(PATIENCE_S) == 1
    (said,) = caplog.messages
    assert said.startswith(f"waiting for another command that changes a repository in {folder}")


def test_a_copy_on_a_full_disk_names_the_first_file(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.deploy(deployment("0"))

    def full(_: object, destination: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", destination)

    monkeypatch.setattr(module, "link", full)
    source = repository.directory("net")
    with pytest.raises(HostError, match=r"cannot write: no space left on device") as refused:
        module.copy(source, source.parent.parent / "copy")
    assert str(refused.value).count("no space left") == 1


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
