"""Other formats: what is given as weights and is no checkpoint, recognised by its first bytes.

Each is named and refused with what to do: a Git LFS pointer is pulled, an archive unpacked, a
TorchScript module loaded and its state_dict saved; weights of other frameworks are not converted.
"""

from __future__ import annotations

import gzip
import re
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.errors import InputFileError

SAFETENSORS = re.compile(rb"[\s\S]{6}\0\0\{")  # the length of the header, then JSON
_HEAD = 512
_PYTORCH = "Give the PyTorch checkpoint of the network; timm and transformers publish many."
_EXPORTED = "Give the PyTorch checkpoint that it was made from."
_WEIGHTS = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors", ".pkl")


@dataclass(frozen=True)
class Format:
    """A format by its first bytes or its suffix; `remedy` may name the {file}."""

    what: str
    remedy: str
    starts: tuple[bytes, ...] = ()
    suffixes: tuple[str, ...] = ()
    matches: Callable[[bytes], bool] = lambda _: False

    def is_of(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format."""
        by_name = path.suffix.lower() in self.suffixes
        return by_name or head.startswith(self.starts) or self.matches(head)


def _is_json(head: bytes) -> bool:
    # The length at the beginning of a safetensors file can be the same bytes, and has zeros.
    return b"\0" not in head and re.match(rb'\s*[{\[]\s*["{\[]', head) is not None


def _is_page(head: bytes) -> bool:
    return re.match(rb"\s*(<!--.*-->\s*)?<(!doctype html|html|head|body)", head, re.I) is not None


FORMATS = (
    Format(
        "is a Git LFS pointer, not the file that it stands for",
        "Fetch the file in its repository: git lfs install && git lfs pull",
        (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"),
    ),
    Format(
        "is a web page (HTML), not the file that the page is about",
        "Download the file itself: on a model hub, from the address with /resolve/ for /blob/.",
        matches=_is_page,
    ),
    *(
        Format(f"is compressed with {name}", f"Unpack it: {command} {{file}}", (magic,))
        for name, command, magic in (
            ("bzip2", "bunzip2", b"BZh"),
            ("xz", "unxz", b"\xfd7zXZ\0"),
            ("zstd", "unzstd", b"\x28\xb5\x2f\xfd"),
            ("7-Zip", "7z x", b"7z\xbc\xaf\x27\x1c"),
            ("RAR", "unrar x", b"Rar!\x1a\x07"),
        )
    ),
    Format("is an ONNX model", _EXPORTED, suffixes=(".onnx",)),
    Format(
        "is an ONNX model",
        _EXPORTED,
        matches=lambda head: head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a"),
    ),
    Format("is a TensorFlow Lite model", _PYTORCH, matches=lambda head: head[4:8] == b"TFL3"),
    Format("is a TensorFlow Lite model", _PYTORCH, suffixes=(".tflite",)),
    Format("is an HDF5 file, as Keras writes", _PYTORCH, (b"\x89HDF\r\n\x1a\n",), (".h5", ".hdf5")),
    Format("is a TensorFlow graph", _PYTORCH, suffixes=(".pb",)),
    Format(
        "is a part of a TensorFlow checkpoint",
        _PYTORCH,
        suffixes=(".index", ".meta", ".data-00000-of-00001"),
    ),
    Format("is a Core ML model", _EXPORTED, suffixes=(".mlmodel", ".mlpackage")),
    Format("is a TensorRT plan", _EXPORTED, (b"ftrt", b"ptrt"), (".plan", ".engine", ".trt")),
    Format("is an OpenVINO model", _EXPORTED, matches=lambda head: b"<net name=" in head),
    Format("is a Flax checkpoint", _PYTORCH, suffixes=(".msgpack",)),
    Format("is a PaddlePaddle checkpoint", _PYTORCH, suffixes=(".pdparams", ".pdmodel")),
    Format("is a Darknet checkpoint", _PYTORCH, suffixes=(".weights",)),
    Format("is a GGUF file", _PYTORCH, (b"GGUF",)),
    Format(
        "is a NumPy array",
        "Give a state_dict: torch.save({name: torch.from_numpy(array), …}, 'net.pth')",
        (b"\x93NUMPY",),
    ),
    Format("is a picture or document", _EXPORTED, (b"\x89PNG\r\n", b"\xff\xd8\xff", b"%PDF-")),
    Format(
        "is JSON, which may describe a network and has no weights",
        "Give the folder that it is in, or the file with the weights.",
        matches=_is_json,
    ),
    Format("is an XML text", "Give the file with the weights.", (b"<?xml", b"<Error")),
)


def check(path: Path) -> None:
    """Raise `InputFileError` for a file of another format, with what to do; else do nothing."""
    if path.stat().st_size == 0:
        raise InputFileError("is empty", where=path, remedy="Copy or download it again.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = next((each for each in FORMATS if each.is_of(path, head)), None)
    if found is not None:
        raise _error(path, found.what, found.remedy)
    if head.startswith(b"\x1f\x8b"):
        _refuse_gzip(path)
    if head[257:262] == b"ustar":
        _refuse_tar(path)
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        _check_zip(path)


def check_folder(path: Path) -> None:
    """Raise `InputFileError` for a folder that another program wrote; else do nothing."""
    if (path / "saved_model.pb").is_file():
        raise _error(path, "is a TensorFlow SavedModel", _PYTORCH)
    if path.suffix == ".mlpackage":
        raise _error(path, "is a Core ML model", _EXPORTED)
    if (path / ".metadata").is_file() and any(path.glob("*.distcp")):
        raise _error(
            path,
            "is a distributed checkpoint (torch.distributed.checkpoint)",
            "Join it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch {file} "
            "net.pth",
        )


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do, whatever its suffix."""
    with path.open("rb") as file:
        return SAFETENSORS.match(file.read(9)) is not None


def _refuse_gzip(path: Path) -> None:
    try:
        with gzip.open(path) as file:
            inside = file.read(_HEAD)
    except (OSError, EOFError):
        inside = b""
    if inside[257:262] == b"ustar":
        raise _error(path, "is a compressed tar archive", "Unpack it: tar xzf {file}")
    command = "gunzip {file}" if path.suffix == ".gz" else "gunzip -c {file} > unpacked.pth"
    raise _error(path, "is compressed with gzip", f"Unpack it: {command}")


def _refuse_tar(path: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    except (tarfile.TarError, OSError):
        names = []
    if {"sys_info", "pickle", "storages", "tensors"} <= set(names):
        return  # torch.save's own format before PyTorch 0.1.10, which torch reads
    raise _error(path, "is a tar archive", "Unpack it: tar xf {file}" + _inside(names))


def _check_zip(path: Path) -> None:
    """Refuse a zip archive that `torch.save` did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return  # damage is named where it is read
    inner = [name.partition("/")[2] for name in names]
    if any(name.startswith("code/") for name in inner) and "data.pkl" in inner:
        raise _error(
            path,
            "is a TorchScript archive",
            "In Python: torch.save(torch.jit.load({path!r}, 'cpu').state_dict(), 'net.pth')",
        )
    exported = ("serialized_exported_program.json", "archive_format")
    if any(name.rpartition("/")[2] in exported for name in names) or path.suffix == ".pt2":
        raise _error(
            path,
            "is an exported program (torch.export)",
            "In Python: torch.save(dict(torch.export.load({path!r}).state_dict), 'net.pth')",
        )
    if "data.pkl" in inner or any(name.endswith("data.pkl") for name in names):
        return
    if "model.weights.h5" in names:
        raise _error(path, "is a Keras model", _PYTORCH)
    if names and all(name.endswith(".npy") for name in names):
        raise _error(
            path,
            "is an archive of NumPy arrays",
            "In Python: torch.save({name: torch.from_numpy(array) for name, array in "
            "numpy.load({path!r}).items()}, 'net.pth')",
        )
    if "MAR-INF/MANIFEST.json" in names:
        remedy = "Unpack it: unzip {file}" + _inside(names)
        raise _error(path, "is a TorchServe archive", remedy)
    if names:
        raise _error(path, "is a zip archive", "Unpack it: unzip {file}" + _inside(names))


def _inside(names: Sequence[str]) -> str:
    """What to give after unpacking."""
    likely = [name for name in names if name.endswith(_WEIGHTS)]
    return f", and give {shlex.quote(likely[0])}" if likely else ""


def _error(path: Path, what: str, remedy: str) -> InputFileError:
    filled = remedy.replace("{file}", shlex.quote(str(path))).replace("{path!r}", repr(str(path)))
    return InputFileError(what, where=path, remedy=filled)
