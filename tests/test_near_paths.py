"""A path with a typing error leads to the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.datasets.images import open_images
from resnet_serve.errors import InputFileError
from resnet_serve.near_paths import near


@pytest.fixture
def there(tmp_path: Path) -> Path:
    for name in ("checkpoints/resnet18.pth", "checkpoints/resnet50.pth", "images/cat/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("checkpoints/resnet18.pht", "checkpoints/resnet18.pth"),
        ("checkpoint/resnet50.pth", "checkpoints/resnet50.pth"),
        ("image", "images"),
        ("imagse/cat", "images/cat"),
        ("Images/cat", "images/cat"),
    ],
)
def test_one_wrong_name_is_found(there: Path, given: str, meant: str) -> None:
    assert near(there / given) == there / meant


@pytest.mark.parametrize(
    "given",
    [
        "images",  # exists
        "labels.txt",  # nothing like it
        "checkpoint/resnet50.pht",  # two wrong names
        "checkpoints/resnet18.pth/within",  # below a file
        "images/" + 300 * "x",  # longer than a name may be
        "nul\0",
    ],
)
def test_nothing_else_is_suggested(there: Path, given: str) -> None:
    assert near(there / given) is None


def test_a_relative_path_stays_relative(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(there)
    assert near(Path("image/cat")) == Path("images/cat")


def test_an_error_about_a_file_says_so(there: Path) -> None:
    wrong = there / "image"
    with pytest.raises(InputFileError) as refused:
        open_images(str(wrong), split="validation")
    assert str(refused.value) == (
        f"{wrong}: no such folder of validation images. Did you mean {there / 'images'}? "
        "Give a folder of images, one folder per class when they are labelled."
    )
