"""What is said of image files before they are used, with real files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_serve.datasets import ImageFolder, image_labels
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import Selection, spread
from resnet_serve.datasets.survey import files_of, notices, survey
from resnet_serve.preprocessing import ImageError

ORIENTATION = 0x0112


def picture(path: Path, shade: int, orientation: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    Image.new("RGB", (8, 6), (shade, shade, shade)).save(path, exif=exif)
    return path


def truncated(path: Path) -> Path:
    """A file whose header is whole and whose pixels are not."""
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:-600])
    return path


@pytest.fixture
def validation(tmp_path: Path) -> ImageFolder:
    for number, name in enumerate(("cat/a.png", "cat/b.jpg", "dog/c.webp", "dog/d.tiff")):
        picture(tmp_path / "v" / name, 10 * number)
    return ImageFolder.scan(tmp_path / "v")


def test_nothing_is_said_of_good_images(validation: ImageFolder, tmp_path: Path) -> None:
    picture(tmp_path / "c" / "other.png", 200)
    calibration = ImageFolder.scan(tmp_path / "c")
    assert notices(validation, ("cat", "dog"), calibration=calibration) == ()
    assert notices(Digits(held_out=True), Digits.LABELS, calibration=Digits(held_out=False)) == ()
    assert notices(None) == ()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_images_that_exif_turns_are_counted(
    validation: ImageFolder, tmp_path: Path, suffix: str
) -> None:
    picture(tmp_path / "v" / "cat" / f"turned.{suffix}", 100, orientation=6)
    picture(tmp_path / "v" / "dog" / f"upright.{suffix}", 100, orientation=1)
    (notice,) = notices(ImageFolder.scan(tmp_path / "v"), ("cat", "dog"))
    assert notice.startswith("1 of 6 validation images were turned upright by EXIF; torchvision's")


def test_images_in_both_sets_are_counted_by_content(
    validation: ImageFolder, tmp_path: Path
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "copy.png").write_bytes(validation.files[0].read_bytes())
    picture(tmp_path / "c" / "a.png", 222)
    (notice,) = notices(validation, calibration=ImageFolder.scan(tmp_path / "c"))
    assert notice.startswith("1 of 4 validation images are calibration images too")
    (same,) = notices(validation, calibration=validation)
    assert same.startswith("4 of 4 validation images")


def test_chosen_images_alone_are_looked_at(validation: ImageFolder) -> None:
    first, second = Selection(validation, (0, 1)), Selection(validation, (2, 3))
    assert files_of(second) == validation.files[2:]
    assert notices(second, calibration=first) == ()


def test_skipped_files_and_empty_classes_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "coverage"
    picture(folder / "dog" / "a.png", 1)
    (folder / "cat").mkdir()
    (folder / "cat" / "a.heic").write_bytes(b"x")
    found = ImageFolder.scan(folder, ("cat", "dog"))
    skipped, coverage = notices(found, ("cat", "dog"))
    assert skipped.startswith(f"skipped in {folder}: 1 HEIC (cat/a.heic), convert to JPEG or PNG")
    assert coverage == f"1 of 2 images in {folder} counted, class 'cat' has none"


def test_a_folder_that_is_both_sets_lists_its_skipped_files_once(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "notes.txt").write_text("x")
    found = ImageFolder.scan(tmp_path)
    said = notices(found, calibration=spread(found, 1))
    assert sum("notes.txt" in notice for notice in said) == 1


def test_images_that_a_label_file_does_not_list_are_said(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, 1)
    (tmp_path / "image_labels.json").write_text('{"a.png": ["cat"]}')
    found = image_labels.open_labelled(tmp_path / "image_labels.json", ("cat",))
    (notice,) = notices(found, ("cat",))
    assert "1 outside the class folders, or not listed (b.png)" in notice


def test_all_damaged_images_of_both_sets_are_one_error(
    validation: ImageFolder, tmp_path: Path
) -> None:
    validation.files[0].write_bytes(b"")
    validation.files[1].write_bytes(b"<html>not found</html>")
    truncated(validation.files[2].with_suffix(".png"))
    (tmp_path / "c").mkdir()
    picture(tmp_path / "c" / "good.png", 1)
    truncated(tmp_path / "c" / "cut.png")
    both = ImageFolder.scan(tmp_path / "v"), ImageFolder.scan(tmp_path / "c")
    with pytest.raises(ImageError, match=r"^4 images cannot be used: ") as caught:
        notices(both[0], calibration=both[1])
    for name in ("cut.png", "a.png", "b.jpg", "c.png"):
        assert name in str(caught.value)
    assert caught.value.exit_code == 5

    for path in (*both[0].files, *both[1].files):  # as the remedy says
        if str(path) in str(caught.value):
            path.unlink()
    notices(ImageFolder.scan(tmp_path / "v"), calibration=ImageFolder.scan(tmp_path / "c"))


def test_a_header_alone_is_read(tmp_path: Path) -> None:
    (tmp_path / "cut.png").touch()
    found = survey([truncated(tmp_path / "cut.png"), tmp_path / "absent.png"])
    assert (len(found.digests), found.turned) == (1, 0)
    assert [error.where for error in found.damaged] == [str(tmp_path / "absent.png")]
