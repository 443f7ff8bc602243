"""Classes without an image are named, with how many images are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_serve.datasets import ImageFolder, image_labels
from resnet_serve.datasets.coverage import coverage_notice, without_images
from resnet_serve.datasets.selection import Selection
from resnet_serve.datasets.synthetic import SyntheticImages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two dogs, one emu, and a cat that is not decoded."""
    for name in ("dog/a.png", "dog/b.png", "emu/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.heic").write_bytes(b"x")
    return tmp_path


def test_a_class_whose_files_are_all_skipped(folder: Path) -> None:
    names = ("cat", "dog", "emu")
    found = ImageFolder.scan(folder, names)
    assert coverage_notice(found, names) == (
        f"3 of 4 images in {folder} counted, class 'cat' has none"
    )


def test_a_class_that_has_no_folder(folder: Path) -> None:
    names = ("ape", "cat", "dog", "emu", *(f"other {number}" for number in range(6)))
    notice = coverage_notice(ImageFolder.scan(folder, names), names)
    assert notice is not None
    assert notice.endswith(
        "8 of 10 classes have none: 'ape', 'cat', 'other 0', 'other 1', 'other 2' and 3 more"
    )


def test_a_class_of_which_no_image_was_chosen(folder: Path) -> None:
    names = ("dog", "emu", "cat")
    (folder / "cat" / "a.heic").unlink()
    Image.new("RGB", (4, 4)).save(folder / "cat" / "a.png")
    whole = ImageFolder.scan(folder, names)
    assert coverage_notice(whole, names) is None
    notice = coverage_notice(Selection(whole, (0, 1, 2)), names)
    assert notice == f"3 of 4 images in {folder} counted, class 'emu' has none"


def test_a_label_that_no_image_has(folder: Path) -> None:
    (folder / "image_labels.json").write_text('{"dog/a.png": ["dog", "wet"], "emu/c.png": []}')
    names = ("dog", "wet", "old")
    found = image_labels.open_labelled(folder / "image_labels.json", names)
    assert without_images(found, names) == ("old",)


def test_images_without_labels_cover_nothing() -> None:
    assert coverage_notice(SyntheticImages(side=8), ("a", "b")) is None
