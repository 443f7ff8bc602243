"""Finding and provisioning the real perf_analyzer, from a wheel in a folder: no network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from wheel_folder import TINY, pip_from, write_wheel

from resnet_serve import durable
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.loadtest import perf_program
from resnet_serve.loadtest.perf_wheel import Wheel

pytestmark = pytest.mark.perf_analyzer


@pytest.fixture(scope="module")
def real_program() -> perf_program.Program:
    """This host's own, from PATH or the user cache; provisioned there once."""
    return perf_program.find_or_provision()


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_program: perf_program.Program
) -> tuple[Path, Wheel]:
    """A cache to fill, and a wheel of the real program that pip will find."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    file = write_wheel(tmp_path / "wheels", TINY, real_program.path.read_bytes())
    pip_from(monkeypatch, folder=tmp_path / "wheels")
    wheel = replace(TINY, sha256=durable.sha256(file), size_bytes=file.stat().st_size)
    return tmp_path / "cache", wheel


def test_provisions_once_and_then_finds(folder: tuple[Path, Wheel]) -> None:
    cache, wheel = folder
    assert perf_program.find(cache) is None
    made = perf_program.find_or_provision(cache, wheel=wheel)
    assert made.path == cache / "perf_analyzer-2.51.0" / "perf_analyzer"
    assert made.version.startswith("2.")
    inode = made.path.stat().st_ino
    assert perf_program.find_or_provision(cache, wheel=wheel) == made
    assert made.path.stat().st_ino == inode
    assert [path.name for path in cache.iterdir()] == ["perf_analyzer-2.51.0"], "no leftovers"


def test_the_libraries_go_to_this_child_alone(
    folder: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, wheel = folder
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere/else")
    made = perf_program.provision(cache, wheel=wheel)
    assert made.environment()["LD_LIBRARY_PATH"] == f"{made.libraries}:/somewhere/else"
    assert os.environ["LD_LIBRARY_PATH"] == "/somewhere/else"


def test_a_second_process_that_did_the_same_is_left_alone(folder: tuple[Path, Wheel]) -> None:
    cache, wheel = folder
    first = perf_program.provision(cache, wheel=wheel)
    inode = first.path.stat().st_ino
    perf_program.provision(cache, wheel=wheel)
    assert first.path.stat().st_ino == inode


def test_a_damaged_program_is_replaced(folder: tuple[Path, Wheel]) -> None:
    cache, wheel = folder
    made = perf_program.provision(cache, wheel=wheel)
    os.truncate(made.path, 1000)
    assert perf_program.find(cache) is None
    assert perf_program.find_or_provision(cache, wheel=wheel) == made
    assert [path.name for path in cache.iterdir()] == ["perf_analyzer-2.51.0"]


def test_a_file_that_is_not_the_pinned_one_leaves_nothing(folder: tuple[Path, Wheel]) -> None:
    cache, wheel = folder
    with pytest.raises(InputFileError):
        perf_program.provision(cache, wheel=replace(wheel, sha256="1" * 64))
    assert list(cache.iterdir()) == []


def test_without_the_triton_wheel_the_missing_library_is_named(
    folder: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, wheel = folder
    made = perf_program.provision(cache, wheel=wheel)
    if not list((made.path.parent / "lib").iterdir()):
        pytest.skip("this host has all the libraries itself")
    shutil.rmtree(cache)
    monkeypatch.setattr(perf_program, "_bundled", lambda name: None)
    for too_new, said in ((False, "resnet-serve[server]"), (True, "--no-deps nvidia-pytriton")):
        monkeypatch.setattr(perf_program, "python_is_too_new", lambda too_new=too_new: too_new)
        with pytest.raises(HostError, match=r"lib\S+\.so\S* is missing") as caught:
            perf_program.provision(cache, wheel=wheel)
        assert said in str(caught.value)
    assert list(cache.iterdir()) == []


def test_one_on_the_path_comes_first(
    folder: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache, wheel = folder
    made = perf_program.provision(cache, wheel=wheel)
    wrapper = tmp_path / "bin" / "perf_analyzer"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={made.libraries} exec {made.path} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin")
    assert perf_program.find(cache) == perf_program.Program(wrapper, made.version)


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/no/such/interpreter\n"])
def test_one_on_the_path_that_does_not_run_is_passed_over_aloud(
    folder: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    cache, wheel = folder
    broken = tmp_path / "bin" / "perf_analyzer"
    broken.parent.mkdir()
    broken.write_text(script)
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/usr/bin:/bin")
    for found in (perf_program.find_or_provision(cache, wheel=wheel), perf_program.find(cache)):
        assert found is not None
        assert found.path.parent.parent == cache
        assert str(broken) in str(found.note)


def test_a_full_disk_is_one_line(folder: tuple[Path, Wheel], small_disk: Path) -> None:
    _, wheel = folder
    with pytest.raises(HostError) as caught:
        perf_program.provision(small_disk, wheel=wheel)
    assert caught.value.exit_code == 4
    assert list(small_disk.iterdir()) == []


def test_a_cache_that_may_not_be_written(
    folder: tuple[Path, Wheel],
    public_folder: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    _, wheel = folder
    public_folder.chmod(0o555)
    with as_nobody(), pytest.raises(HostError, match="cannot write") as caught:
        perf_program.provision(public_folder / "cache", wheel=wheel)
    assert caught.value.exit_code == 4
