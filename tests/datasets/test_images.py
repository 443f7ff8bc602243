"""Image folders as people have them, and the digits as they must stay."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_serve import datasets
from resnet_serve.datasets import ImageFolder, check_label_count, open_images
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import ImageError, Preprocessing

Unprivileged = Callable[[], AbstractContextManager[None]]


def picture(path: Path, shade: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(path)
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for shade, name in enumerate(("cat/b.png", "cat/a.png", "ant/z.png", "dog/c.jpg"), start=1):
        picture(tmp_path / name, 20 * shade)
    return tmp_path


def test_a_flat_folder_is_sorted_and_not_labelled(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPEG", "c.webp", "d.bmp", "e.gif", "f.tiff", "g.ppm"):
        picture(tmp_path / name)
    found = ImageFolder.scan(tmp_path)
    names = [Path(found.name_of(index)).name for index in range(len(found))]
    assert names == ["a.JPEG", "b.png", "c.webp", "d.bmp", "e.gif", "f.tiff", "g.ppm"]
    assert found.labels is None
    assert found.skipped == ()
    assert all(found.image(index).mode == "RGB" for index in range(len(found)))


def test_class_folders_are_numbered_in_order_without_labels(classes: Path) -> None:
    found = ImageFolder.scan(classes)
    names = [str(path.relative_to(classes)) for path in found.files]
    assert names == ["ant/z.png", "cat/a.png", "cat/b.png", "dog/c.jpg"]
    assert found.labels is not None
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == [0, 1, 1, 2]


def test_class_folders_are_numbered_by_the_labels_of_the_network(classes: Path) -> None:
    found = ImageFolder.scan(classes, ["dog", "emu", "cat", "ant"])
    assert found.labels is not None
    assert found.labels.tolist() == [3, 2, 2, 0]


def test_an_empty_class_keeps_its_number(classes: Path) -> None:
    (classes / "bee").mkdir()
    found = ImageFolder.scan(classes)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 2, 2, 3]


def test_a_folder_that_is_no_label_is_refused(classes: Path) -> None:
    with pytest.raises(InputFileError, match=r"'dog' is not one of the .* labels \('cat', 'ant'\)"):
        ImageFolder.scan(classes, ["cat", "ant"])


def test_a_label_that_stands_for_two_classes_is_refused(classes: Path) -> None:
    with pytest.raises(InputFileError, match="'cat' stands for more than one class"):
        ImageFolder.scan(classes, ["ant", "cat", "cat", "dog"])


def test_what_is_no_image_is_skipped_and_counted(classes: Path) -> None:
    (classes / "README.md").write_text("x")
    picture(classes / "beside the classes.png")
    (classes / "cat" / "notes.txt").write_text("x")
    picture(classes / "cat" / "nested" / "x.png")
    (classes / "dog" / "gone.png").symlink_to("nowhere")
    found = ImageFolder.scan(classes)
    assert len(found) == 4
    assert {str(path.relative_to(classes)) for path in found.skipped} == {
        "README.md",
        "beside the classes.png",
        "cat/notes.txt",
        "cat/nested",
        "dog/gone.png",
    }


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    checkpoints, fork = tmp_path / ".ipynb_checkpoints", tmp_path / "._a.png"
    checkpoints.mkdir()
    fork.write_bytes(b"resource fork")
    found = ImageFolder.scan(tmp_path)
    assert (len(found), found.labels, set(found.skipped)) == (1, None, {checkpoints, fork})


def test_a_folder_without_images_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "photo.HEIC").write_bytes(b"x")
    with pytest.raises(InputFileError, match=r"skipped: 1 HEIC \(cat/photo\.HEIC\), convert to"):
        ImageFolder.scan(tmp_path)


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["cat/notes.txt"]])
def test_a_folder_without_images_is_refused(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(InputFileError, match=r"no images.*\.jpg, \.jpeg, \.jpe, ") as caught:
        ImageFolder.scan(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_no_such_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png")
    for source in (tmp_path / "absent", image):
        with pytest.raises(InputFileError, match="no such folder of calibration images"):
            open_images(str(source), split="calibration")


@pytest.mark.parametrize("locked", [".", "cat"])
def test_an_unreadable_folder_is_named(
    public_folder: Path, as_nobody: Unprivileged, locked: str
) -> None:
    picture(public_folder / "cat" / "a.png")
    (public_folder / locked).chmod(0)
    with as_nobody(), pytest.raises(InputFileError, match=r"cannot be read \(Permission") as caught:
        ImageFolder.scan(public_folder)
    (public_folder / locked).chmod(0o755)
    assert caught.value.where == str(public_folder / locked)


def test_an_unreadable_file_is_named(public_folder: Path, as_nobody: Unprivileged) -> None:
    path = picture(public_folder / "a.png")
    path.chmod(0)
    found = ImageFolder.scan(public_folder)
    with as_nobody():
        with pytest.raises(ImageError, match=r"a\.png: cannot read \(Permission denied\)"):
            found.image(0)
        with pytest.raises(InputFileError, match=r"a\.png: cannot be read \(Permission denied\)"):
            found.digest()


def test_the_digest_follows_contents_names_and_order_and_nothing_else(
    tmp_path: Path, classes: Path
) -> None:
    digest = ImageFolder.scan(classes).digest()
    assert len(bytes.fromhex(digest)) == 32
    assert ImageFolder.scan(classes).digest() == digest

    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    classes.rename(moved)
    assert ImageFolder.scan(moved).digest() == digest, "depends on where the folder is"

    file = moved / "cat" / "b.png"
    content = file.read_bytes()
    picture(file, 251)
    changed = ImageFolder.scan(moved).digest()
    file.write_bytes(content)
    assert ImageFolder.scan(moved).digest() == digest
    (moved / "cat" / "b.png").rename(moved / "dog" / "b.png")  # same order, another class
    relabelled = ImageFolder.scan(moved).digest()
    assert len({digest, changed, relabelled}) == 3


def test_a_file_name_that_is_no_text_is_taken(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    source.rename(tmp_path / os.fsdecode(b"\xff\xfe.png"))
    found = ImageFolder.scan(tmp_path)
    assert len(bytes.fromhex(found.digest())) == 32
    assert found.image(0).size == (8, 8)


def test_open_images_gives_the_held_out_digits_to_validation_only() -> None:
    assert len(open_images("digits", split="validation")) == 500
    assert len(open_images("digits", split="calibration")) == 1297


def test_hard_digits_are_opened_by_name() -> None:
    hard, plain = (open_images(name, split="validation") for name in ("digits-hard", "digits"))
    np.testing.assert_array_equal(np.asarray(hard.labels), np.asarray(plain.labels))
    assert hard.digest() != plain.digest()


class Counted:
    """Ten one-colour images that say when they are looked at."""

    name = "counted"
    labels = None

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __len__(self) -> int:
        return 10

    def name_of(self, index: int) -> str:
        return f"image {index}"

    def image(self, index: int) -> Image.Image:
        self.seen.append(index)
        return Image.new("RGB", (8, 8), (index, index, index))

    def digest(self) -> str:
        return ""


SMALL = Preprocessing(resize=8, crop=(4, 6))


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (20, [10]), (1, [1] * 10)]
)
def test_batches_cover_every_image_once(batch_size: int, sizes: list[int]) -> None:
    batches = list(datasets.pixel_batches(Counted(), SMALL, batch_size))
    assert [batch.shape for batch in batches] == [(size, 4, 6, 3) for size in sizes]
    assert all(batch.dtype == np.uint8 for batch in batches)
    shades = [int(pixels[0, 0, 0]) for batch in batches for pixels in batch]
    assert shades == list(range(sum(sizes)))


def test_batches_are_read_one_at_a_time() -> None:
    images = Counted()
    batches = datasets.pixel_batches(images, SMALL, 3)
    assert images.seen == []
    next(batches)
    assert images.seen == [0, 1, 2]
    next(batches)
    assert images.seen == [0, 1, 2, 3, 4, 5]


def test_a_bad_image_in_a_batch_is_named(classes: Path) -> None:
    bad = classes / "cat" / "b.png"
    bad.write_bytes(bad.read_bytes()[:45])
    found = ImageFolder.scan(classes)
    with pytest.raises(ImageError, match=r"cat/b\.png: .*Remove it from the folder") as caught:
        list(datasets.pixel_batches(found, SMALL, 2))
    assert str(caught.value).count(str(bad)) == 1


def test_all_bad_images_from_the_first_on_are_in_one_error(classes: Path) -> None:
    for name in ("cat/a.png", "dog/c.jpg"):
        (classes / name).write_bytes((classes / name).read_bytes()[:45])
    batches = datasets.pixel_batches(ImageFolder.scan(classes), SMALL, 1)
    next(batches)
    with pytest.raises(ImageError, match=r"^2 images cannot be used: .*a\.png \(.*c\.jpg \("):
        next(batches)


def test_labels_must_be_as_many_as_the_classes() -> None:
    check_label_count(["a", "b"], 2)
    with pytest.raises(UsageError, match="2 labels for a network of 3 classes"):
        check_label_count(["a", "b"], 3)


def test_a_gif_is_read_although_its_suffix_lies(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 5), (9, 9, 9)).save(buffer, "GIF")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert ImageFolder.scan(tmp_path).image(0).getpixel((0, 0)) == (9, 9, 9)


def test_every_suffix_of_a_decoded_format_is_taken(tmp_path: Path) -> None:
    for suffix in (".jfif", ".JPE", ".jpeg", ".apng", ".pbm"):
        picture(tmp_path / "a.png").rename(tmp_path / f"a{suffix}")
    (tmp_path / "a.webm").write_bytes(b"x")
    found = ImageFolder.scan(tmp_path)
    assert len(found) == 5
    assert found.skipped == (tmp_path / "a.webm",)


def test_folders_that_systems_make_are_no_classes(classes: Path) -> None:
    before = ImageFolder.scan(classes)
    for name in ("__MACOSX", "@eaDir", "lost+found"):
        picture(classes / name / "a.png")
    after = ImageFolder.scan(classes)
    assert (after.files, after.indices) == (before.files, before.indices)
    assert {each.name for each in after.skipped} >= {"__MACOSX", "@eaDir", "lost+found"}
