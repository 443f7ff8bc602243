"""The images on a command line: files, folders and stdin."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path

import pytest

from resnet_client.command.inputs import collect
from resnet_client.errors import UsageError


def test_files_are_named_and_not_opened() -> None:
    found = collect(["b.png", "a.png"])
    assert found.images == [("b.png", Path("b.png")), ("a.png", Path("a.png"))]
    assert (found.errors, found.skipped, found.special) == ([], 0, [])


def test_folders_are_searched_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a/3.webp", "a/notes.txt", ".hidden/4.png", "b/.5.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = collect([str(tmp_path)])
    expected = [str(tmp_path / name) for name in ("a/3.webp", "b/1.jpg", "b/2.PNG")]
    assert [name for name, _ in found.images] == expected
    assert found.skipped == 1


def test_a_folder_without_images_is_an_error_of_its_own(tmp_path: Path) -> None:
    (error,) = collect([str(tmp_path)]).errors
    assert str(error) == f"{tmp_path}: contains no images"


def test_stdin_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"image")))
    assert collect(["-"]).images == [("stdin", b"image")]
    with pytest.raises(UsageError, match="can be given once"):
        collect(["-", "-"])


def test_what_is_no_file_in_a_folder_is_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(tmp_path / "c.png"))
        for argument in (str(tmp_path), f"{tmp_path}/*.png", f"{tmp_path}/**"):
            found = collect([argument])
            assert [name for name, _ in found.images] == [
                str(tmp_path / "a.png"),
                str(tmp_path / "gone.png"),
            ]
            assert found.special == [
                (str(tmp_path / "b.png"), "a FIFO"),
                (str(tmp_path / "c.png"), "a socket"),
                (str(tmp_path / "zero.png"), "a device"),
            ]


def test_patterns_match_files_in_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/c/1.jpg", "a.jpg", "a.txt", "[x].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def names(pattern: str) -> list[str]:
        found = collect([f"{tmp_path}/{pattern}"])
        return [Path(name).relative_to(tmp_path).as_posix() for name, _ in found.images]

    assert names("*.jpg") == ["[x].jpg", "a.jpg"]
    assert names("**/*.jpg") == ["[x].jpg", "a.jpg", "b/2.jpg", "b/c/1.jpg"]
    assert names("[x].jpg") == ["[x].jpg"]  # a file of that name comes before the pattern
    (error,) = collect([f"{tmp_path}/*.png"]).errors
    assert str(error) == f"{tmp_path}/*.png: matches no file"


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_a_list_of_paths(tmp_path: Path, separator: str) -> None:
    paths = ["a b.png", "c*.png", "ä.png"]
    (tmp_path / "list").write_bytes(separator.join([*paths, ""]).encode())
    found = collect(["first.png"], str(tmp_path / "list"))
    assert [name for name, _ in found.images] == ["first.png", *paths]
    assert collect([], str(tmp_path / "list")).images[0] == ("a b.png", Path("a b.png"))
    with pytest.raises(UsageError, match=r"none: cannot read \(No such file"):
        collect([], str(tmp_path / "none"))


def test_a_list_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.png\n\nb.png")))
    assert [name for name, _ in collect([], "-").images] == ["a.png", "b.png"]
