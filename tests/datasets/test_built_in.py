"""The data sets that have a name: each row opens, and says whether this host has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.datasets import built_in


@pytest.mark.parametrize("name", built_in.DATA_SETS)
def test_a_row_opens_labelled_images_of_both_parts(name: str) -> None:
    row = built_in.DATA_SETS[name]
    assert built_in.find(name) is row
    if not row.here():
        pytest.skip(f"this host lacks {row.needs}")
    training, held_out = row.opened(False), row.opened(True)
    for part in (training, held_out):
        assert part.image(0).mode == "RGB"
        assert len(part.labels) == len(part)
        assert set(part.labels.tolist()) == set(range(len(part.LABELS)))
    assert training.digest() != held_out.digest()


def test_other_names_are_not_found(tmp_path: Path) -> None:
    for source in ("no-such-set", str(tmp_path), "digits:folder", "fashion"):
        assert built_in.find(source) is None
    other = built_in.find(f"fashion-mnist:{tmp_path}")
    assert other is not None
    assert other.needs == str(tmp_path)
    assert other.here()
    assert not built_in.find(f"fashion-mnist:{tmp_path / 'none'}").here()
