"""Fashion-MNIST: the sample as it is shipped, the files of the data set, and damaged ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet_serve.datasets import ImageFolder, open_images
from resnet_serve.datasets.fashion_mnist import (
    DEBIAN_FOLDER,
    SAMPLE_FOLDER,
    FashionMnist,
    read_idx,
    write_idx,
)
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.preprocessing import decode


def test_the_sample_is_as_many_of_each_class_for_training_and_held_out() -> None:
    parts = [FashionMnist(held_out=part, folder=SAMPLE_FOLDER) for part in (False, True)]
    for part in parts:
        assert part.greys.shape == (200, 28, 28)
        assert np.bincount(part.labels).tolist() == [20] * 10
        assert "sample" in part.name
    first, second = ({image.tobytes() for image in part.greys} for part in parts)
    assert first.isdisjoint(second)
    assert parts[0].digest() != parts[1].digest()
    assert (SAMPLE_FOLDER / "LICENSE").read_text(encoding="utf-8").count("Zalando") == 1


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="no Debian package dataset-fashion-mnist")
def test_the_sample_is_the_first_images_of_the_data_set() -> None:
    for held_out, count in ((False, 60_000), (True, 10_000)):
        whole = FashionMnist(held_out=held_out)
        sample = FashionMnist(held_out=held_out, folder=SAMPLE_FOLDER)
        assert len(whole) == count
        for index in range(10):
            mine, theirs = sample.labels == index, whole.labels == index
            np.testing.assert_array_equal(sample.greys[mine], whole.greys[theirs][:20])


def test_exported_images_come_back_as_the_same_pixels(tmp_path: Path) -> None:
    clothes = FashionMnist(held_out=True, folder=SAMPLE_FOLDER)
    paths = clothes.export(tmp_path, 40)
    assert len(set(paths)) == 40
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(np.asarray(decode(path)), np.asarray(clothes.image(index)))
        np.testing.assert_array_equal(
            np.asarray(clothes.image(index))[..., 1], clothes.greys[index]
        )
    assert {path.parent.parent for path in paths} == {tmp_path}, "a label's / made a folder"
    assert "T-shirt-top" in {path.parent.name for path in paths}
    assert len(ImageFolder.scan(tmp_path)) == 40


def test_it_is_opened_by_name_and_in_another_folder(tmp_path: Path) -> None:
    held_out = open_images("fashion-mnist-sample", split="validation")
    assert held_out.digest() == FashionMnist(held_out=True, folder=SAMPLE_FOLDER).digest()
    assert open_images("fashion-mnist-sample", split="calibration").digest() != held_out.digest()
    for path in SAMPLE_FOLDER.glob("*.gz"):  # unpacked, as torchvision keeps them
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    elsewhere = open_images(f"fashion-mnist:{tmp_path}", split="validation")
    assert elsewhere.digest() == held_out.digest()
    assert elsewhere.labels is not None


def test_a_host_without_it_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(HostError) as refusal:
        open_images(f"fashion-mnist:{tmp_path}", split="validation")
    said = str(refusal.value)
    assert "apt-get install dataset-fashion-mnist" in said
    assert "fashion-mnist-sample" in said
    assert refusal.value.exit_code == 4


IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / IMAGES).write_bytes(b"\x1f\x8bnothing"), "cannot be read"),
        (lambda f: (f / IMAGES).write_bytes(gzip.compress(b"\0\0\x0d\x01")), "not an IDX file"),
        (lambda f: (f / IMAGES).write_bytes(gzip.compress(b"")), "not an IDX file"),
        (
            lambda f: (f / IMAGES).write_bytes(
                gzip.compress(gzip.decompress((f / IMAGES).read_bytes())[:-1])
            ),
            "156799 values for the shape [200, 28, 28]",
        ),
        (lambda f: write_idx(f / IMAGES, np.zeros((200, 32, 32), np.uint8)), "28 × 28"),
        (lambda f: write_idx(f / LABELS, np.zeros(199, np.uint8)), "for 200 images"),
        (lambda f: write_idx(f / LABELS, np.full(200, 10, np.uint8)), "class 10 of 10"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Damage, said: str) -> None:
    for path in SAMPLE_FOLDER.glob("*.gz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    with pytest.raises(InputFileError) as refusal:
        _ = FashionMnist(held_out=True, folder=tmp_path).labels
    assert said in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_idx_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    write_idx(tmp_path / "a.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), array)
    again = (tmp_path / "a.gz").read_bytes()
    write_idx(tmp_path / "a.gz", array)
    assert (tmp_path / "a.gz").read_bytes() == again, "the file depends on when it is written"
