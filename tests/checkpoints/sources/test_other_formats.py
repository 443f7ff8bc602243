"""Files of other formats: named, and what the remedy says leads to a checkpoint that loads."""

from __future__ import annotations

import gzip
import io
import re
import shlex
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from state_dicts import same
from torch import Tensor, nn

from resnet_serve.checkpoints.reading import read
from resnet_serve.checkpoints.sources.other_formats import check
from resnet_serve.errors import InputFileError


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5))


STATE = network().state_dict()


def saved() -> bytes:
    data = io.BytesIO()
    torch.save(STATE, data)
    return data.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(InputFileError) as caught:
        read(str(path))
    assert caught.value.remedy
    return str(caught.value)


NAMED: dict[str, tuple[str, bytes, str]] = {
    "lfs": (
        "net.pth",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46830571\n",
        "is a Git LFS pointer.*git lfs pull",
    ),
    "html": ("net.pth", b"\n<!DOCTYPE html><html>404</html>", "is a web page.*/resolve/"),
    "html in safetensors": ("net.safetensors", b"<html><body>Sign in", "is a web page"),
    "s3 error": ("net.pth", b"<?xml version='1.0'?><Error><Code>AccessDenied", "is an XML text"),
    "empty": ("net.pth", b"", "is empty"),
    "empty safetensors": ("net.safetensors", b"", "is empty"),
    "bzip2": ("net.pth.bz2", b"BZh91AY&SY", "is compressed with bzip2.*bunzip2"),
    "xz": ("net.pth.xz", b"\xfd7zXZ\0\0\4", "is compressed with xz.*unxz"),
    "zstd": ("net.pth", b"\x28\xb5\x2f\xfd\0", "is compressed with zstd.*unzstd"),
    "7z": ("net.7z", b"7z\xbc\xaf\x27\x1c\0", "is compressed with 7-Zip"),
    "onnx": ("net.onnx", b"\x08\x08\x12\x07pytorch", "is an ONNX model.*PyTorch checkpoint"),
    "onnx renamed": ("net.pth", b"\x08\x08\x12\x07pytorch", "is an ONNX model"),
    "tflite": ("net.pth", b"\x1c\0\0\0TFL3\0", "is a TensorFlow Lite model.*PyTorch checkpoint"),
    "keras": ("net.h5", b"\x89HDF\r\n\x1a\n\0", "is an HDF5 file.*PyTorch checkpoint"),
    "frozen graph": ("net.pb", b"\x0a\x10", "is a TensorFlow graph"),
    "tensorflow checkpoint": ("model.ckpt-3.index", b"\0\0", "is a part of a TensorFlow"),
    "core ml": ("net.mlmodel", b"\x08\x04", "is a Core ML model"),
    "plan": ("net.pth", b"ftrt\0\0", "is a TensorRT plan"),
    "openvino": ("net.xml", b'<?xml version="1.0"?><net name="x">', "is an OpenVINO model"),
    "flax": ("flax_model.msgpack", b"\x81", "is a Flax checkpoint"),
    "paddle": ("net.pdparams", b"\x80\x02}.", "is a PaddlePaddle checkpoint"),
    "gguf": ("net.bin", b"GGUF\3\0", "is a GGUF file"),
    "npy": ("net.pth", b"\x93NUMPY\1\0", "is a NumPy array.*torch.save"),
    "json": ("config.json", b'{\n  "id2label": {}}', "is JSON.*Give the folder that it is in"),
    "json list": ("net.pth", b"[[1, 2]]", "is JSON"),
    "png": ("net.pth", b"\x89PNG\r\n\x1a\n", "is a picture"),
}


def test_a_header_of_safetensors_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    for digit in (b'"', b"{"):  # a length whose bytes are those of JSON
        path.write_bytes(b"{" + digit + bytes(6) + b'{"weight":{}}')
        check(path)


@pytest.mark.parametrize("name", NAMED)
def test_a_file_of_another_format_is_named(tmp_path: Path, name: str) -> None:
    file_name, content, text = NAMED[name]
    (tmp_path / file_name).write_bytes(content)
    assert re.search(text, refused(tmp_path / file_name))


def tarred(content: bytes, mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        info = tarfile.TarInfo("models/net.pth")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def zipped(content: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("readme.txt", "x")
        archive.writestr("models/net.pth", content)
    return data.getvalue()


ARCHIVES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "gzip": ("net.pth.gz", gzip.compress, "net.pth"),
    "gzip without its suffix": ("packed", gzip.compress, "unpacked.pth"),
    "tar": ("net.tar", lambda content: tarred(content, "w"), "models/net.pth"),
    "tar.gz": ("net.tar.gz", lambda content: tarred(content, "w:gz"), "models/net.pth"),
    "tgz as pth": ("net.pth", lambda content: tarred(content, "w:gz"), "models/net.pth"),
    "zip": ("net.zip", zipped, "models/net.pth"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_unpacked_by_the_command_of_the_remedy(tmp_path: Path, name: str) -> None:
    file_name, pack, inside = ARCHIVES[name]
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / file_name).write_bytes(pack(saved()))
    text = refused(folder / file_name)
    command = text.partition("Unpack it: ")[2].partition(", and give ")[0]
    words = shlex.split(command)
    if words[0] == "unzip":  # not on every host: Python's own does the same
        words = ["python3", "-m", "zipfile", "-e", words[1], "."]
        command = shlex.join(words)
    assert subprocess.run(command, shell=True, cwd=folder, check=False).returncode == 0
    assert same(read(str(folder / inside)).tensors, STATE)
    if ", and give " in text:
        assert text.endswith(f", and give {inside}")


def followed(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The tensors after the Python of a remedy was run."""
    monkeypatch.chdir(folder)
    exec(text.partition("In Python: ")[2], {"torch": torch, "numpy": np})
    return dict(read(str(folder / "net.pth")).tensors)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own format
@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_becomes_a_state_dict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    image = torch.zeros(1, 3, 4, 4)
    module = torch.jit.script(network()) if how == "script" else torch.jit.trace(network(), image)
    torch.jit.save(module, str(tmp_path / "net.pt"))
    text = refused(tmp_path / "net.pt")
    assert "is a TorchScript archive" in text
    assert same(followed(text, tmp_path, monkeypatch), STATE)


@pytest.mark.slow
def test_an_exported_program_becomes_a_state_dict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = torch.export.export(network(), (torch.zeros(1, 3, 4, 4),))
    for name in ("net.pt2", "renamed.pt"):
        torch.export.save(program, str(tmp_path / "made.pt2"))
        (tmp_path / "made.pt2").rename(tmp_path / name)
        text = refused(tmp_path / name)
        assert "is an exported program" in text
        (tmp_path / name).rename(tmp_path / "given.pt2")
        text = text.replace(str(tmp_path / name), str(tmp_path / "given.pt2"))
        assert same(followed(text, tmp_path, monkeypatch), STATE)


def test_numpy_arrays_become_a_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "net.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    text = refused(tmp_path / "net.npz")
    assert "is an archive of NumPy arrays" in text
    assert same(followed(text, tmp_path, monkeypatch), STATE)


def test_folders_of_other_programs_are_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert "is a TensorFlow SavedModel" in refused(tmp_path)
    package = tmp_path / "net.mlpackage"
    package.mkdir()
    assert "is a Core ML model" in refused(package)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_distributed_checkpoint_is_joined_by_the_command(tmp_path: Path) -> None:
    from torch.distributed import checkpoint

    folder = tmp_path / "dcp"
    checkpoint.save({"model": STATE}, checkpoint_id=folder, no_dist=True)
    text = refused(folder)
    assert "is a distributed checkpoint" in text
    command = text.partition("Join it: ")[2]
    subprocess.run(command.replace("python ", f"{__import__('sys').executable} ", 1), shell=True,
                   cwd=tmp_path, check=True)  # fmt: skip
    assert same(read(str(tmp_path / "net.pth")).tensors, STATE)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_checkpoint_is_none_of_these(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "net.pth.tar"
    torch.save(STATE, path, _use_new_zipfile_serialization=not legacy)
    check(path)
