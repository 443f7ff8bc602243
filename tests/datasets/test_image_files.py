"""Which files are images, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

from resnet_serve.datasets.image_files import by_reason, skipped_images, skipped_text, taken


def made(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def test_an_image_is_taken_by_its_suffix_and_only_as_a_file(tmp_path: Path) -> None:
    image, text = made(tmp_path, "a.JPG", "b.txt")
    (tmp_path / "c.png").mkdir()
    (tmp_path / "d.png").symlink_to("nowhere")
    given = (image, text, tmp_path / "c.png", tmp_path / "d.png")
    assert [taken(path) for path in given] == [True, False, False, False]


def test_every_skipped_file_has_one_reason(tmp_path: Path) -> None:
    names = (".DS_Store", ".hidden.heic", "a.HEIC", "b.heif", "c.nef", "d.webm", "e", "f.png")
    skipped = made(tmp_path, *names)
    made(tmp_path, "deep/x.png")
    (tmp_path / "gone.png").symlink_to("nowhere")
    skipped += [tmp_path / "deep", tmp_path / "gone.png"]
    found = {
        reason.text: [path.name for path in paths] for reason, paths in by_reason(skipped).items()
    }
    assert found == {
        "hidden": [".DS_Store", ".hidden.heic"],
        "in folders that are too deep": ["deep"],
        "HEIC": ["a.HEIC", "b.heif"],
        "raw photographs": ["c.nef"],
        "broken links or no regular files": ["gone.png"],
        "without the suffix of an image that is decoded": ["d.webm", "e"],
        "outside the class folders, or not listed": ["f.png"],
    }


def test_the_text_has_counts_first_names_and_what_to_do(tmp_path: Path) -> None:
    skipped = made(tmp_path, *(f"cat/{number}.heic" for number in range(5)), "notes.txt")
    text = skipped_text(str(tmp_path), skipped)
    assert text.startswith(
        "5 HEIC (cat/0.heic, cat/1.heic, cat/2.heic and 2 more), convert to JPEG"
    )
    assert text.endswith("; 1 without the suffix of an image that is decoded (notes.txt)")
    assert skipped_text(str(tmp_path), ()) == ""


def test_the_text_stays_short_whatever_is_skipped(tmp_path: Path) -> None:
    skipped = made(tmp_path, *(f"{number}.{kind}" for number in range(300) for kind in "xyz"))
    assert len(skipped_text(str(tmp_path), skipped)) < 200


def test_images_are_counted_in_formats_that_are_not_decoded_and_in_deep_folders(
    tmp_path: Path,
) -> None:
    skipped = made(tmp_path, "a.heic", "b.jxl", "c.png", "notes.txt", "._c.png")
    made(tmp_path, "deep/x.png", "deep/deeper/y.cr2", "deep/z.txt", "deep/.w.png")
    assert skipped_images([*skipped, tmp_path / "deep"]) == 5
