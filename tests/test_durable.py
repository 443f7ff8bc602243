"""A reader sees the old file or the new one: killed, out of space, not allowed, or done."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE_S, until

from resnet_serve import durable
from resnet_serve.errors import HostError, UsageError

Unprivileged = Callable[[], AbstractContextManager[None]]

# Kills itself in the n-th fsync: the first is the file's, before the rename; the second is the
# directory's, after it.
KILLED = """
import os, signal, sys
from pathlib import Path
from resnet_serve import durable
calls = 0
def fsync(descriptor):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
durable.write(Path(sys.argv[1]), b"new" * 1_000_000)
"""


# Holds the lock until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from resnet_serve import durable
with durable.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(3600)
"""
BUSY = UsageError("another one writes there", remedy="Wait for it.")


@pytest.mark.parametrize(("fsync", "content"), [(1, b"old"), (2, b"new" * 1_000_000)])
def test_kill_9_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, fsync: int, content: bytes
) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(target), str(fsync)], timeout=PATIENCE_S, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == content


@pytest.mark.parametrize("data", [b"\x00\xff", "größer\n", b""])
def test_write_replaces_and_makes_its_directory(tmp_path: Path, data: bytes | str) -> None:
    target = tmp_path / "a" / "b" / "config.pbtxt"
    durable.write(target, "before")
    durable.write(target, data)
    assert target.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert [path.name for path in target.parent.iterdir()] == ["config.pbtxt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        durable.write(tmp_path / "file", b"x")
        assert os.umask(mask) == mask, "write changed the umask"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "ü" * 127):
        durable.write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_an_interrupted_write_leaves_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        durable.write(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_a_full_disk_is_one_line_and_changes_nothing(small_disk: Path) -> None:
    target = small_disk / "model.onnx"
    durable.write(target, b"old")
    with pytest.raises(HostError, match=r"model\.onnx: .*no space left.*Free some space") as caught:
        durable.write(target, b"x" * 1_000_000)
    assert caught.value.exit_code == 4
    assert {path.name: path.read_bytes() for path in small_disk.iterdir()} == {"model.onnx": b"old"}


def test_a_read_only_file_system_is_one_line(read_only_disk: Path) -> None:
    with pytest.raises(HostError, match=r"new/config\.pbtxt: .*read-only"):
        durable.write(read_only_disk / "new" / "config.pbtxt", "x")


def test_a_directory_of_someone_else_is_one_line(
    public_folder: Path, as_nobody: Unprivileged
) -> None:
    locked = public_folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    with as_nobody(), pytest.raises(HostError, match=r"locked/file: .*permission denied.*Choose"):
        durable.write(locked / "file", b"x")
    assert list(locked.iterdir()) == []


def test_a_file_in_the_place_of_a_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(HostError, match="A part of the path is a file"):
        durable.write(tmp_path / "file" / "config.pbtxt", "x")
    with pytest.raises(HostError, match="A part of the path is a file"):
        durable.write(tmp_path / "file" / "deeper" / "config.pbtxt", "x")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_directory_in_the_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(HostError, match="give the path of a file"):
        durable.write(tmp_path / "1", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "folder"
    with pytest.raises(ZeroDivisionError), durable.new_folder(place) as part:
        durable.write(part / "a", "b")
        raise ZeroDivisionError
    assert list(place.parent.iterdir()) == []
    with durable.new_folder(place) as part:
        durable.write(part / "a", "b")
        assert not place.exists()
    assert (place / "a").read_text() == "b"
    assert [each.name for each in place.parent.iterdir()] == ["folder"]
    with pytest.raises(UsageError, match="is there already"), durable.new_folder(place):
        pass
    assert (place / "a").read_text() == "b"


@pytest.fixture(params=["a folder", "a file"])
def lockable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What can be locked; what is in it stays."""
    path = tmp_path / request.param
    path.mkdir() if request.param == "a folder" else path.write_bytes(b"kept")
    return path


def free(path: Path) -> bool:
    """Whether a lock can be had."""
    try:
        with durable.locked(path, BUSY):
            return True
    except UsageError as error:
        assert error is BUSY
        return False


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock; it is killed at the end."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_a_lock_is_released_however_its_block_ends(lockable: Path) -> None:
    with durable.locked(lockable, BUSY):
        assert not free(lockable)
    assert free(lockable)
    for ending in (ZeroDivisionError, KeyboardInterrupt, SystemExit):
        with pytest.raises(ending), durable.locked(lockable):
            raise ending
        assert free(lockable)
    assert lockable.is_dir() or lockable.read_bytes() == b"kept"


def test_kill_9_releases_the_lock_to_one_that_waits(
    lockable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def waited() -> None:
        with durable.locked(lockable):
            pass

    with held_elsewhere(lockable) as holder, ThreadPoolExecutor(1) as pool:
        assert not free(lockable)
        waiting = pool.submit(waited)
        assert until(waiting.running)
        assert not waiting.done()
        assert until(lambda: bool(caplog.messages)), "waiting is silent"
        holder.kill()
        waiting.result(PATIENCE_S)
    assert free(lockable)
    said = f"waiting for another process that uses {lockable}"
    # Not every file system has the numbers that the kernel's list has.
    assert caplog.messages in ([said], [f"{said} (process {holder.pid})"])


def test_a_program_started_while_it_is_held_does_not_have_the_lock(lockable: Path) -> None:
    with durable.locked(lockable):
        child = subprocess.Popen(["sleep", "3600"], close_fds=False)
    try:
        assert free(lockable)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_file_system_without_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(HostError) as caught, durable.locked(tmp_path, BUSY):
        pass
    assert str(caught.value) == f"{tmp_path}: cannot lock: no locks available"
    with pytest.raises(HostError, match="no such file"), durable.locked(tmp_path / "absent"):
        pass


@pytest.mark.parametrize("error", [ConnectionResetError("peer"), TimeoutError("slow")])
def test_errors_of_a_network_are_not_explained_as_the_disk_s(
    tmp_path: Path, error: OSError
) -> None:
    with pytest.raises(type(error)), durable.explained(tmp_path):
        raise error


def test_an_error_without_a_known_remedy_is_explained_too(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught, durable.explained(tmp_path):
        raise OSError(errno.EIO, "whatever")
    assert str(caught.value) == f"{tmp_path}: cannot write: input/output error"


def test_sync_tree_syncs_every_file_and_directory_leaves_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    (tmp_path / "m" / "config.pbtxt").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")  # opening it for reading would wait for a writer for ever
    synced: list[str] = []
    real = os.fsync

    def recorded(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append("." if path == tmp_path else str(path.relative_to(tmp_path)))

    monkeypatch.setattr(os, "fsync", recorded)
    durable.sync_tree(tmp_path)
    assert set(synced) == {".", "m", "m/1", "m/1/model.onnx", "m/config.pbtxt"}
    assert len(synced) == 5
    order = [synced.index(name) for name in ("m/1/model.onnx", "m/1", "m", ".")]
    assert order == sorted(order)


def test_sync_tree_does_not_pass_over_what_it_cannot_read(
    public_folder: Path, as_nobody: Unprivileged
) -> None:
    hidden = public_folder / "hidden"
    hidden.mkdir()
    hidden.chmod(0)
    with as_nobody(), pytest.raises(HostError, match="permission denied"):
        durable.sync_tree(public_folder)


def test_sync_tree_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no such file"):
        durable.sync_tree(tmp_path / "absent")


def test_sha256_of_bytes_and_of_files(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert durable.sha256(data) == expected
    assert durable.sha256(tmp_path / "file") == expected
