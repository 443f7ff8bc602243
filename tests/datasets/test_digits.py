"""The built-in digits: split once, exported as they are, and always made hard in the same way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from resnet_serve.datasets import ImageFolder
from resnet_serve.datasets.digits import Digits, HardDigits
from resnet_serve.preprocessing import decode


def test_digits_are_split_once_and_for_all() -> None:
    training, held_out = Digits(held_out=False), Digits(held_out=True)
    assert (len(training), len(held_out)) == (1297, 500)
    names = [{part.name_of(index) for index in range(len(part))} for part in (training, held_out)]
    assert names[0].isdisjoint(names[1])
    assert len(names[0] | names[1]) == 1797
    whole = Counter(training.labels.tolist()) + Counter(held_out.labels.tolist())
    for digit, count in Counter(held_out.labels.tolist()).items():
        assert abs(count - whole[digit] * 500 / 1797) < 1, "not stratified"
    # The shipped checkpoint was trained on this very split; another one would leak.
    assert held_out.name_of(0) == FIRST_HELD_OUT
    assert held_out.digest() == HELD_OUT_DIGEST
    assert training.digest() != held_out.digest()


FIRST_HELD_OUT = "digit 6"
HELD_OUT_DIGEST = "b701b0cc335bf2018ddd1a4fe441fddc15d92d098916aced5cd0064c08c6f616"


def test_exported_digits_come_back_as_the_same_pixels(tmp_path: Path) -> None:
    digits = Digits(held_out=True)
    paths = digits.export(tmp_path, 25)
    assert len(set(paths)) == 25
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(np.asarray(decode(path)), np.asarray(digits.image(index)))
        assert path.parent.name == str(digits.labels[index])
        assert path.stem == f"{int(digits.name_of(index).split()[1]):04d}"
    again = ImageFolder.scan(tmp_path, Digits.LABELS)
    assert again.labels is not None
    assert sorted(again.labels.tolist()) == sorted(digits.labels[:25].tolist())
    assert len(digits.export(tmp_path / "all", 10_000)) == 500


def test_hard_digits_are_the_same_digits_and_the_same_every_time() -> None:
    hard, again = HardDigits(held_out=True), HardDigits(held_out=True)
    assert hard.digest() == again.digest()
    assert len(hard) == len(Digits(held_out=True))
    assert hard.name_of(0) == FIRST_HELD_OUT
    assert HardDigits(held_out=False, draw=1).digest() != HardDigits(held_out=False).digest()


def test_hard_digits_are_covered_and_noisy() -> None:
    plain, hard = Digits(held_out=True), HardDigits(held_out=True)
    differences = np.stack(
        [
            np.asarray(hard.image(index).convert("L"), np.float64)
            - np.asarray(plain.image(index).convert("L"), np.float64)
            for index in range(200)
        ]
    )
    # Greys at the ends of the range cannot move outwards, so that about half the noise is left.
    assert 24 < differences.std() < 64
    assert not (differences == 0).all(axis=(1, 2)).any()
