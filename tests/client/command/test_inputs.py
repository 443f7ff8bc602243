"""The images on a command line: files, folders and stdin."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from resnet_client.command.inputs import collect
from resnet_client.errors import UsageError


def test_files_are_named_and_not_opened() -> None:
    found = collect(["b.png", "a.png"])
    assert found.images == [("b.png", Path("b.png")), ("a.png", Path("a.png"))]
    assert (found.errors, found.skipped) == ([], 0)


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
