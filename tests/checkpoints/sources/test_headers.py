"""Headers: names and shapes of a file of a hub, by a range of its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_site import NEW, OLD, Site, served
from safetensors.torch import save

from resnet_serve.checkpoints.files import IN_FOLDERS
from resnet_serve.checkpoints.reading import Reading, read
from resnet_serve.checkpoints.sources import headers
from resnet_serve.errors import InputFileError

pytest.importorskip("huggingface_hub")
SPEC = "hf://me/net"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    content = save({"a": torch.ones(2, 3), "n": torch.ones((), dtype=torch.int64)}, {"k": "v"})
    files = {"model.safetensors": content, "config.json": b"{}", "bad.safetensors": b"x" * 40}
    found = Site({OLD: files, NEW: files})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with served(found) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield found


def test_the_tensors_have_names_types_and_shapes_and_no_values(site: Site) -> None:
    place = headers.needed(SPEC, IN_FOLDERS)
    assert place is not None
    assert headers.has_header(place)
    found = headers.read(SPEC, IN_FOLDERS)
    assert {name: (each.dtype, tuple(each.shape)) for name, each in found.tensors.items()} == {
        "a": (torch.float32, (2, 3)),
        "n": (torch.int64, ()),
    }
    assert not any(each.any() for each in found.tensors.values())
    assert found.metadata == {"k": "v"}
    assert not found.path.exists()
    assert found.path.with_name("config.json").is_file()


def test_a_file_that_is_here_needs_no_header(site: Site) -> None:
    pinned = read(SPEC).source
    assert headers.needed(pinned, IN_FOLDERS) is None
    assert headers.needed(SPEC, IN_FOLDERS) is None
    assert read(SPEC, Reading(header=True)).whole


def test_the_shards_of_an_index(site: Site) -> None:
    index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    site.commits[NEW] = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "m-1.safetensors": save({"a": torch.ones(1)}),
        "m-2.safetensors": save({"b": torch.zeros(1)}),
    }
    found = read(SPEC, Reading(header=True))
    assert set(found.tensors) == {"a", "b"}
    assert not found.whole


def test_a_file_that_is_none_of_the_format_is_refused(site: Site) -> None:
    with pytest.raises(InputFileError, match="not a complete safetensors file"):
        headers.read("hf://me/net:bad.safetensors", IN_FOLDERS)
