"""Images: read within limits, and the kind of every failure."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from batch_model import BAD, PREPROCESSING, picture, pictures
from hostile_images import HOSTILE

from resnet_serve.batch import images
from resnet_serve.batch.failures import Failure, Kind, of_decoding
from resnet_serve.batch.model import prepared
from resnet_serve.preprocessing import DamagedError, ImageError, Limits


def failure(found: object) -> Failure:
    """The failure that something is."""
    assert isinstance(found, Failure)
    return found


def result(path: Path, limits: Limits = PREPROCESSING.limits) -> object:
    """What becomes of a file: its element or its failure."""
    data = images.read(os.fsencode(path), Path("/"), limits)
    return data if isinstance(data, Failure) else prepared(data, PREPROCESSING, "uint8")


@pytest.mark.parametrize(("name", "kind"), BAD.items())
def test_each_bad_image_has_its_kind(tmp_path: Path, name: str, kind: str) -> None:
    found = failure(result(pictures(tmp_path, 1, bad=True) / name))
    assert found.kind == Kind(kind)
    assert found.text
    assert "\n" not in found.text
    assert str(tmp_path) not in found.text


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, Path("/dev/zero")):
        assert failure(result(path)).kind is Kind.UNREADABLE


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        (None, Kind.MISSING, "no path is given"),
        (b"", Kind.MISSING, "no path is given"),
        (b"a\0b.png", Kind.UNREADABLE, "is not the name of a file"),
        (b"x" * 5000, Kind.UNREADABLE, "file name too long"),
        (b"https://example.org/a.png", Kind.MISSING, "a URL is not read"),
        (b"/etc/passwd/a.png", Kind.MISSING, "there is no such file"),
    ],
)
def test_paths_that_lead_nowhere(path: bytes | None, kind: Kind, says: str) -> None:
    found = failure(images.read(path, Path("/tmp"), Limits()))
    assert (found.kind, says in found.text) == (kind, True)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(b"x" * 1000)
    limits = Limits(max_file_bytes=999)
    assert failure(result(tmp_path / "large.png", limits)).kind is Kind.REFUSED
    assert failure(images.checked(b"x" * 1000, limits)).kind is Kind.REFUSED
    assert images.checked(b"x" * 999, limits) == b"x" * 999
    assert failure(images.checked(None, limits)).kind is Kind.EMPTY


def test_planes_are_normalised_for_a_model_that_wants_them() -> None:
    pixels, planes = (prepared(picture(1), PREPROCESSING, kind) for kind in ("uint8", "float32"))
    assert not isinstance(pixels, Failure)
    assert np.array_equal(np.asarray(planes), PREPROCESSING.normalize(pixels))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("1,000 scans", Kind.REFUSED),
        ("64,000,000 × 1", Kind.REFUSED),
        ("packed text", Kind.REFUSED),
        ("strips", Kind.DAMAGED),
        ("EXIF in PNG", Kind.DAMAGED),
        ("comments", Kind.DAMAGED),
    ],
)
def test_beyond_a_limit_is_told_from_damaged(name: str, kind: Kind) -> None:
    make, _ = HOSTILE[name]
    assert failure(prepared(make(), PREPROCESSING, "uint8")).kind is kind


def test_a_kind_does_not_depend_on_the_words() -> None:
    assert of_decoding(DamagedError("cut off")).kind is Kind.DAMAGED
    assert of_decoding(ImageError("damaged by nobody")).kind is Kind.REFUSED
    told_again = ImageError("image 2 of 3: cut off")
    told_again.__cause__ = DamagedError("cut off")
    assert of_decoding(told_again).kind is Kind.DAMAGED


def test_relative_paths_begin_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(3))
    assert images.read(b"a.png", tmp_path, Limits()) == picture(3)
    assert images.read(os.fsencode(tmp_path / "a.png"), Path("/"), Limits()) == picture(3)
