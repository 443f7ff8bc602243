"""The reference of images that a user gives: what is refused before PyTorch computes anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from passports import converted
from PIL import Image

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import CheckpointFacts
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification.reference import computed

MAP = (2048, 128, 128)  # 128 MiB of FP32: eight of them are 1 GiB
MOST = 8


def deployed(folder: Path, **changes: object) -> Deployed:
    """A network of maps, whose weights are a pickle that was trusted when it was converted."""
    weights = CheckpointFacts(
        trained=True, source="net.pth", sha256="0" * 64, trusted_pickle=True, training={}
    )
    facts = {"classes": 0, "head": "maps", "outputs": {"map": MAP}, "weights": weights, **changes}
    return Deployed("net", 1, folder / "net" / "1", converted(**facts))


def images(folder: Path, count: int) -> str:
    """A folder of so many images."""
    folder.mkdir()
    for number in range(count):
        picture = Image.fromarray(np.full((8, 8, 3), number, np.uint8))
        picture.save(folder / f"{number}.png")
    return str(folder)


def refused(version: Deployed, source: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        computed(version, source)
    return caught.value


def test_code_that_was_trusted_once_is_not_run_again(tmp_path: Path) -> None:
    error = refused(deployed(tmp_path), images(tmp_path / "few", 1))
    assert "--trust-pickle" in error.what
    assert ".safetensors" in str(error.remedy)


def test_outputs_of_more_than_a_gibibyte_are_refused(tmp_path: Path) -> None:
    version = deployed(tmp_path)
    error = refused(version, images(tmp_path / "many", MOST + 1))
    assert f"the outputs for {MOST + 1} images are too large" in error.what
    assert str(error.remedy) == f"Give a folder of at most {MOST} images."
    followed = refused(version, images(tmp_path / "most", MOST))
    assert "too large" not in followed.what, "it ends at the next question: the pickle"


def test_one_image_is_never_too_many(tmp_path: Path) -> None:
    version = deployed(tmp_path, outputs={"map": (4096, 512, 512)})
    assert "too large" not in refused(version, images(tmp_path / "one", 1)).what
    error = refused(version, images(tmp_path / "two", 2))
    assert str(error.remedy) == "Give a folder of at most 1 images."


def test_a_checkpoint_that_is_gone_is_named_with_what_verify_can_do(tmp_path: Path) -> None:
    weights = CheckpointFacts(
        trained=True,
        source="gone.pth (state_dict)",
        sha256="0" * 64,
        trusted_pickle=False,
        training={},
    )
    version = deployed(tmp_path, weights=weights)
    with pytest.raises(InputFileError) as caught:
        computed(version, images(tmp_path / "few", 1))
    assert str(caught.value).startswith(
        "gone.pth: is not there, and net version 1 was made from it"
    )
    assert "or leave out --images" in str(caught.value.remedy)
    assert "--weights" not in str(caught.value.remedy)
