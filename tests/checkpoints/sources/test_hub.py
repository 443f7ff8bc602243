"""Checkpoints of a hub: the real client against a web server with the hub's addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_site import NEW, OLD, Site, served
from safetensors.torch import save
from state_dicts import same

from resnet_serve.checkpoints.files import IN_FOLDERS
from resnet_serve.checkpoints.reading import Reading, read
from resnet_serve.checkpoints.sources import hub
from resnet_serve.errors import HostError, InputFileError, UsageError

pytest.importorskip("huggingface_hub")
ONE, TWO = {"x.weight": torch.ones(2)}, {"x.weight": torch.full((2,), 2.0)}
CONFIG = b'{"model_type": "resnet"}'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    old = {"model.safetensors": save(ONE), "config.json": CONFIG, "net.pth": b"x"}
    new = {**old, "model.safetensors": save(TWO), "sub/other.safetensors": save(ONE)}
    found = Site({OLD: old, NEW: new})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with served(found) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield found


def test_a_branch_is_resolved_to_its_commit_and_that_is_said(site: Site) -> None:
    found = read("hf://me/net")
    assert same(found.tensors, TWO)
    assert found.source == f"hf://me/net@{NEW}:model.safetensors"
    assert found.notices == (
        f"'main' of me/net is now the commit {NEW}: pin it with "
        f"hf://me/net@{NEW}:model.safetensors",
    )
    assert found.path.with_name("config.json").read_bytes() == CONFIG
    assert same(read("hf://me/net@v1").tensors, ONE)


def test_the_pinned_value_is_the_same_for_ever_and_needs_no_network(site: Site) -> None:
    pinned = read("hf://me/net").source
    assert hub.in_cache(pinned)
    site.branches["main"] = OLD
    assert same(read("hf://me/net").tensors, ONE)
    site.requests.clear()
    found = read(pinned)
    assert same(found.tensors, TWO)
    assert found.notices == ()
    assert not [path for path in site.requests if "model.safetensors" in path]


def test_a_file_may_be_named_and_held_to_a_hash(site: Site) -> None:
    found = read("hf://me/net:sub/other.safetensors")
    assert same(found.tensors, ONE)
    again = read("hf://me/net:sub/other.safetensors", Reading(sha256=found.sha256))
    assert again.sha256 == found.sha256
    with pytest.raises(InputFileError, match="expected 0000"):
        read("hf://me/net", Reading(sha256="0" * 64))


def test_an_index_brings_its_shards(site: Site) -> None:
    index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    site.commits[NEW] = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "m-1.safetensors": save({"a": torch.ones(1)}),
        "m-2.safetensors": save({"b": torch.zeros(1)}),
    }
    for spec in ("hf://me/net", f"hf://me/net@{NEW}:model.safetensors.index.json"):
        assert set(read(spec).tensors) == {"a", "b"}
    index["weight_map"]["b"] = "../m-2.safetensors"
    site.commits[OLD] = {
        **site.commits[NEW],
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    with pytest.raises(InputFileError, match="outside its own folder"):
        read("hf://me/net@v1")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("hf://me/nothing", "is no repository that can be read"),
        ("hf://me/net@v9", "has no such revision"),
        ("hf://me/net:absent.pth", "has no such file"),
    ],
)
def test_what_the_hub_does_not_have_is_named(site: Site, spec: str, text: str) -> None:
    with pytest.raises(InputFileError, match=text):
        read(spec)


def test_without_a_usual_file_the_remedy_names_one_that_is_there(site: Site) -> None:
    site.commits[NEW] = {"readme.md": b"", "resnet.safetensors": save(ONE)}
    with pytest.raises(InputFileError) as caught:
        read("hf://me/net")
    proposed = str(caught.value).partition("Name a file: ")[2]
    assert same(read(proposed).tensors, ONE)


def test_a_hub_that_cannot_be_reached_is_an_error_of_this_host(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = read("hf://me/net").source
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HostError, match="cannot be reached") as caught:
        read("hf://me/net")
    assert "hf download me/net" in str(caught.value)
    assert same(read(pinned).tensors, TWO), "what is pinned and cached is still there"


@pytest.mark.parametrize(
    "spec",
    ["hf://", "hf://net", "hf://a/b/c", "hf://a/b@", "hf://a/b:", "hf://a/b:../x", "hf://a/ b"],
)
def test_a_malformed_place_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="hf://owner/name"):
        hub.fetch(spec, IN_FOLDERS)


@pytest.mark.parametrize(
    "spec",
    ["hf://a/b", "hf://a/b@main", "hf://a/b@refs/pr/3", f"hf://a/b@{OLD}:c/d.bin", "hf://a/b:c.d"],
)
def test_a_place_is_written_as_it_was_read(spec: str) -> None:
    assert str(hub.parse(spec)) == spec
    assert hub.parse(spec).pinned == (OLD in spec)
