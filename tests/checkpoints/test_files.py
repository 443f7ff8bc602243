"""Shards, suffixes and pickles: read whole, or refused in the exact words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from resnet_serve import durable
from resnet_serve.checkpoints import files
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.optional import optional

FIRST, SECOND = {"a": torch.ones(2), "b": torch.zeros(3)}, {"c": torch.full((1,), 7.0)}


def index_of(folder: Path, weight_map: object, name: str = "model") -> Path:
    path = folder / f"{name}.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": weight_map}))
    return path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save_file(FIRST, tmp_path / "model-1.safetensors")
    save_file(SECOND, tmp_path / "model-2.safetensors", {"labels": '["x"]'})
    names = {"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    return index_of(tmp_path, names)


def refused(path: Path, **options: bool) -> str:
    with pytest.raises(InputFileError) as caught:
        files.read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_are_one_state_dict(sharded: Path) -> None:
    found = files.read(sharded)
    assert isinstance(found.loaded, Mapping)
    assert set(found.loaded) == {"a", "b", "c"}
    assert torch.equal(found.loaded["c"], SECOND["c"])
    assert found.metadata == {"labels": '["x"]'}


def test_without_pytorch_it_says_how_to_get_it(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors alone is there, as where only PyTorch was not installed with the extra."""
    monkeypatch.setattr(files, "torch", optional("no_such_torch", extra="convert"))
    with pytest.raises(HostError, match=r"pip install 'resnet-serve\[convert\]'"):
        files.read(sharded.with_name("model-1.safetensors"))


def test_the_hash_of_an_index_is_that_of_all_its_files(sharded: Path) -> None:
    before = files.digest(sharded)
    shard = sharded.with_name("model-2.safetensors")
    assert before != durable.sha256(sharded)
    save_file({"c": torch.full((1,), 8.0)}, shard)
    assert files.digest(sharded) != before
    assert files.digest(shard) == durable.sha256(shard)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/x.safetensors", "sub/x.safetensors",
             "..\\x.safetensors", "C:x.safetensors"],
)  # fmt: skip
def test_a_shard_outside_the_folder_of_its_index_is_refused(tmp_path: Path, name: str) -> None:
    save_file(FIRST, tmp_path / "secret.safetensors")
    (tmp_path / "in").mkdir()
    path = index_of(tmp_path / "in", {"a": name})
    assert refused(path) == (
        f"{path}: names a shard outside its own folder: {name!r}. "
        "Shards must be in the folder of their index; download them again."
    )


@pytest.mark.parametrize("name", ["x.pth", "..", "", "x.safetensors\0", "model.index.json"])
def test_a_shard_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.pth").write_bytes(b"x")
    assert refused(index_of(tmp_path, {"a": name})).endswith(
        f": names a shard that is not .safetensors or .bin: {name!r}"
    )


@pytest.fixture
def pickled_shards(tmp_path: Path) -> Path:
    """As transformers wrote them before safetensors."""
    torch.save(FIRST, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save(SECOND, tmp_path / "pytorch_model-00002-of-00002.bin")
    names = dict.fromkeys(FIRST, "pytorch_model-00001-of-00002.bin")
    names |= dict.fromkeys(SECOND, "pytorch_model-00002-of-00002.bin")
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": names}))
    return path


def test_pickled_shards_are_one_state_dict(pickled_shards: Path) -> None:
    found = files.read(pickled_shards)
    assert isinstance(found.loaded, Mapping)
    assert all(torch.equal(found.loaded[name], t) for name, t in (FIRST | SECOND).items())
    assert not found.trusted_pickle
    assert files.digest(pickled_shards) != durable.sha256(pickled_shards)


def test_in_a_folder_what_runs_no_code_is_found_first(tmp_path: Path) -> None:
    for name in reversed(files.IN_FOLDERS):
        (tmp_path / name).write_bytes(b"")
        assert files.located(tmp_path) == tmp_path / name
        assert files.located(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize(
    ("given", "hub"),
    [
        ("microsoft/resnet-18", True),
        ("there/resnet-18", False),
        ("models/net.pth", False),
        ("../resnet-18", False),
        ("resnet-18", False),
        ("/nowhere/resnet-18", False),
    ],
)
def test_a_name_of_the_hub_without_its_prefix_is_given_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, hub: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputFileError, match="no such checkpoint") as caught:
        files.located(Path(given))
    assert (f"On the Hugging Face Hub: --weights hf://{given}. " in str(caught.value)) == hub


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(InputFileError) as caught:
        files.located(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: is a folder without a checkpoint. Give the file, such as {tmp_path}/net.pth; "
        "in a folder, "
        "model.safetensors, model.safetensors.index.json, pytorch_model.bin, "
        "pytorch_model.bin.index.json are searched."
    )


def test_pickled_code_in_one_shard_is_refused_unless_it_is_trusted(pickled_shards: Path) -> None:
    shard = pickled_shards.with_name("pytorch_model-00002-of-00002.bin")
    torch.save({**SECOND, "args": argparse.Namespace(x=1)}, shard)
    assert "contains args, which pytorch_model.bin.index.json does not" in refused(pickled_shards)
    torch.save({"c": argparse.Namespace(x=1)}, shard)
    assert refused(pickled_shards).startswith(f"{shard}: contains pickled code, which is not run")
    assert files.read(pickled_shards, trust_pickle=True).trusted_pickle


def test_a_shard_that_holds_no_mapping_is_refused(pickled_shards: Path) -> None:
    shard = pickled_shards.with_name("pytorch_model-00001-of-00002.bin")
    torch.save([torch.ones(2)], shard)
    assert refused(pickled_shards) == (
        f"{shard}: is not a shard (a mapping of parameter names to tensors)"
    )


def test_missing_shards_are_named(sharded: Path) -> None:
    sharded.with_name("model-2.safetensors").unlink()
    assert refused(sharded) == (
        f"{sharded}: 1 of 2 shards are missing: model-2.safetensors. "
        f"Put them into {sharded.parent}."
    )


@pytest.mark.parametrize("weight_map", [{}, [], {"a": 3}, None, {"a": ["x.safetensors"]}, "x"])
def test_an_index_that_is_none_is_refused(tmp_path: Path, weight_map: object) -> None:
    assert "not an index of shards" in refused(index_of(tmp_path, weight_map))


def test_shards_and_index_must_agree(sharded: Path) -> None:
    names = {"a": "model-1.safetensors", "c": "model-2.safetensors"}
    assert "contains b, which model.safetensors.index.json does not" in refused(
        index_of(sharded.parent, names)
    )
    names |= {"b": "model-1.safetensors", "d": "model-2.safetensors"}
    assert "its shards do not contain d" in refused(index_of(sharded.parent, names))


@pytest.mark.parametrize("suffix", ["pth.tar", "pt", "pth", "ckpt", "bin", "tar"])
def test_a_pickled_state_dict_may_have_any_suffix(tmp_path: Path, suffix: str) -> None:
    torch.save(FIRST, tmp_path / f"net.{suffix}")
    found = files.read(tmp_path / f"net.{suffix}")
    assert isinstance(found.loaded, dict)
    assert torch.equal(found.loaded["a"], FIRST["a"])
    assert not found.trusted_pickle


def test_the_tensors_of_a_pickle_that_needs_code_are_read_without_it(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"model": FIRST, "args": argparse.Namespace(lr=0.1)}, path)
    found = files.read(path)
    assert isinstance(found.loaded, dict)
    assert torch.equal(found.loaded["model"]["a"], FIRST["a"])
    assert found.loaded["args"] == {"lr": 0.1}
    assert found.placeholders == ("argparse.Namespace",)
    assert not found.trusted_pickle
    trusted = files.read(path, trust_pickle=True)
    assert trusted.trusted_pickle
    assert isinstance(trusted.loaded, dict)
    assert trusted.loaded["args"].lr == 0.1


@pytest.mark.parametrize("name", ["net.pth", "net.bin", "net", "net.safetensors"])
@pytest.mark.parametrize("saved", ["safetensors", "torch"])
def test_a_renamed_file_is_read_by_its_contents(tmp_path: Path, name: str, saved: str) -> None:
    path = tmp_path / name
    save_file(FIRST, path) if saved == "safetensors" else torch.save(FIRST, path)
    found = files.read(path)
    assert isinstance(found.loaded, dict)
    assert torch.equal(found.loaded["a"], FIRST["a"])


def test_pickled_code_without_tensors_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"args": argparse.Namespace(lr=0.1)}, path)
    assert refused(path) == (
        f"{path}: contains pickled code, which is not run: it needs argparse.Namespace. "
        "Save the network's state_dict() and give that file. "
        "Only if you trust its author to run programs as you, use --trust-pickle."
    )


def test_arrays_of_numpy_become_tensors_as_the_remedy_says(tmp_path: Path) -> None:
    path = tmp_path / "arrays.pth"
    arrays = {name: tensor.numpy() for name, tensor in FIRST.items()}
    torch.save(arrays, path)
    text = refused(path)
    assert "contains pickled NumPy arrays" in text
    code = text.partition("torch.save(")[2].rpartition(", 'net.pth')")[0]
    torch.save(eval(code, {"torch": torch, "arrays": arrays}), path)
    found = files.read(path)
    assert isinstance(found.loaded, dict)
    assert torch.equal(found.loaded["a"], FIRST["a"])


def test_trust_is_not_stamped_where_it_was_not_needed(tmp_path: Path) -> None:
    torch.save(FIRST, tmp_path / "net.pth")
    assert not files.read(tmp_path / "net.pth", trust_pickle=True).trusted_pickle


def test_trusted_code_that_fails_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"\x80\x02cno_such_package\nNetwork\n.")
    assert refused(path, trust_pickle=True) == (
        f"{path}: its pickled code was run and failed (ModuleNotFoundError: No module named "
        "'no_such_package'). Install the packages that saved it, or save the network's "
        "state_dict()."
    )
