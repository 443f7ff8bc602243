"""The example image of the served version, read without NumPy."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_serve.triton.repository.examples import FILE_NAME, Examples
from resnet_serve.triton.supervision.health import example
from resnet_serve.triton.supervision.health.probe import request_for

IMAGES = (b"first image", b"second")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    version = tmp_path / "net" / "3"
    version.mkdir(parents=True)
    kept = Examples("made", ("a", "b"), IMAGES, {"logits": np.zeros((2, 3), np.float32)})
    (version / FILE_NAME).write_bytes(kept.to_bytes())
    return tmp_path


def config(version: int, **more: Any) -> dict[str, Any]:
    return {
        "name": "net_image",
        "max_batch_size": 4,
        "input": [{"name": "image", "data_type": "TYPE_STRING", "dims": ["1"]}],
        "version_policy": {"specific": {"versions": [str(version)]}},
        **more,
    }


def test_the_first_image_of_the_served_version_is_sent(repository: Path) -> None:
    found = example.image(repository, config(3))
    assert found == IMAGES[0]
    _, data = request_for(config(3), found)
    assert data == struct.pack("<I", len(IMAGES[0])) + IMAGES[0]


def test_of_a_canary_it_is_the_old_version(repository: Path) -> None:
    split = json.dumps({"old": 3, "new": 4, "share": "10%"})
    tried = config(4, parameters={"canary": {"string_value": split}})
    assert example.image(repository, tried) == IMAGES[0]


def test_without_an_example_there_is_none(repository: Path) -> None:
    assert example.image(repository, config(4)) is None
    assert example.image(repository / "nowhere", config(3)) is None
    assert example.image(repository, {"name": "net_image"}) is None
    file = repository / "net" / "3" / FILE_NAME
    whole = file.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2], whole.replace(b"ends", b"odds")):
        file.write_bytes(damaged)
        assert example.image(repository, config(3)) is None
