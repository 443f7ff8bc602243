"""Places where nothing can be deployed: full, read-only, somebody else's, mounted, taken."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from deployments import NAMES, beside, deployment, mark_of, tree

from resnet_serve.errors import HostError
from resnet_serve.triton.repository import ModelFiles, Repository


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
    os.chown(repository.directory("net_image"), 0, 0)
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
    mounted(repository.directory("net_image"), repository.directory("net_image"))
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
