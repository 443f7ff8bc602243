"""Pictures: the right images, small, with both decisions."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_convert.parity.compare import Logits
from resnet_convert.report.pictures import SIDE, pictures, worst
from resnet_serve.datasets import ImageFolder

NAMES = ("cat", "dog")


def made(folder: Path) -> tuple[ImageFolder, Logits]:
    for index, name in enumerate(("a.png", "b.png", "c.png")):
        Image.new("RGB", (300, 200), (80 * index, 0, 0)).save(folder / name)
    reference = np.array([[4, 1], [4, 1], [1, 4]], dtype=np.float32)
    converted = np.array([[4, 1], [1, 4], [1, 5]], dtype=np.float32)
    return ImageFolder.scan(folder), Logits(reference, converted, np.array([0, 0, 1]))


def test_the_worst_come_first_with_both_decisions(tmp_path: Path) -> None:
    images, logits = made(tmp_path)
    assert worst(logits) == [1, 2, 0]
    first, second, _ = pictures(images, logits, NAMES, worst(logits))
    assert (first.name, first.reference, first.converted, first.label) == (
        "b.png",
        "cat",
        "dog",
        "cat",
    )
    assert first.changed
    assert not second.changed
    data = base64.b64decode(first.uri.removeprefix("data:image/jpeg;base64,"))
    picture = Image.open(io.BytesIO(data))
    assert picture.size == (SIDE, SIDE * 2 // 3)
    assert len(data) < 5000


def test_numbers_that_are_not_finite_are_the_worst(tmp_path: Path) -> None:
    _, logits = made(tmp_path)
    logits.converted[2, 0] = np.nan
    assert worst(logits, 1) == [2]


def test_an_image_that_is_gone_leaves_its_row(tmp_path: Path) -> None:
    images, logits = made(tmp_path)
    (tmp_path / "b.png").unlink()
    (found,) = pictures(images, logits, NAMES, [1])
    assert found.uri == ""
    assert found.name == "b.png"
