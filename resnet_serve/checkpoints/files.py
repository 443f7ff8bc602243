"""Read a checkpoint file without running code in it: safetensors, PyTorch's formats, shards.

`weights_only=True` is always tried first. A pickle that needs code is refused with the names of
what it would call; it is run only with `trust_pickle`, and `Contents` records that.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from resnet_serve import durable
from resnet_serve.checkpoints import pickled
from resnet_serve.checkpoints.pickles import contents
from resnet_serve.checkpoints.pickles.machine import PickleError
from resnet_serve.checkpoints.sources import other_formats
from resnet_serve.checkpoints.states import containers
from resnet_serve.checkpoints.states.arithmetic import PickledModule
from resnet_serve.checkpoints.states.containers import shortened
from resnet_serve.checkpoints.states.selection import SAVE_STATE
from resnet_serve.checkpoints.transforms.steps import Step
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import safetensors
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")
    safetensors = optional("safetensors", extra="convert")

INDEX_SUFFIX = ".index.json"
SHARDS = (".safetensors", ".bin")  # as transformers writes them
SUFFIXES = (".safetensors", ".pth", ".pt", ".tar", ".ckpt", ".bin")
# The names of model hubs; those that run no code come first.
IN_FOLDERS = (
    "model.safetensors",
    f"model.safetensors{INDEX_SUFFIX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX_SUFFIX}",
)


@dataclass(frozen=True)
class Contents:
    """The object in a file, a state dict or the containers around it, and the file's metadata.

    `trusted_pickle` says that pickled code was run. `placeholders` names the classes and functions
    of a pickle that were not looked up, so that only its tensors were read, `modules` the modules
    of networks in it, `transform` the transform of images.
    """

    loaded: object
    metadata: Mapping[str, str] = field(default_factory=dict)
    trusted_pickle: bool = False
    placeholders: tuple[str, ...] = ()
    modules: Mapping[str, PickledModule] = field(default_factory=dict)
    transform: Step | None = None


def located(path: Path) -> Path:
    """The checkpoint at `path`: the file itself, or the one in a folder of a model hub.

    Raises `InputFileError` where there is no such file, and for one that may not be read.
    """
    if path.is_dir():
        other_formats.check_folder(path)
        found = [path / name for name in IN_FOLDERS if (path / name).is_file()]
        if not found:
            raise InputFileError(
                "is a folder without a checkpoint",
                where=path,
                remedy=_in_folder(path),
            )
        path = found[0]
    if not path.is_file():
        raise InputFileError("no such checkpoint", where=path, remedy=_instead_of(path))
    try:
        path.open("rb").close()  # safetensors reports every error as "no such file"
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    return path


def _instead_of(path: Path) -> str:
    """The remedy for a path that leads nowhere, which may be a name on the hub."""
    named = len(path.parts) == 2 and path.parts[0] not in ("/", "~", "..")
    like_a_file = path.suffix in SUFFIXES or path.parent.exists()
    hub = "" if like_a_file or not named else f"On the Hugging Face Hub: --weights hf://{path}. "
    return (
        f"{hub}Give --weights imagenet, digits, fashion-mnist, random, a file, a folder or an "
        "address."
    )


def _in_folder(path: Path) -> str:
    """The remedy for a folder: the checkpoints in it by their suffix, if there are any."""
    found = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
    likely = f", such as {found[0]}" if found else ""
    return f"Give the file{likely}; in a folder, {', '.join(IN_FOLDERS)} are searched."


def read(path: Path, *, trust_pickle: bool = False) -> Contents:
    """Read a file of any of the formats; raises `InputFileError` for any other file."""
    if path.name.endswith(INDEX_SUFFIX):
        return _sharded(path, trust_pickle)
    # By its contents: files are renamed.
    other_formats.check(path)
    safe = path.suffix == ".safetensors" and not pickled.is_pickle(path)
    if safe or other_formats.is_safetensors(path):
        return Contents(*_safetensors(path))
    return _torch(path, trust_pickle)


def digest(path: Path) -> str:
    """The SHA-256 of a file; for an index, over its own and its shards' in the order of names.

    Raises `InputFileError` for an index that cannot be read or whose shards are missing.
    """
    if not path.name.endswith(INDEX_SUFFIX):
        return durable.sha256(path)
    shards = sorted(set(_weight_map(path).values()))
    parts = [durable.sha256(path), *(durable.sha256(path.with_name(name)) for name in shards)]
    return durable.sha256("\n".join(parts).encode())


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    device = str(torch.device("cpu"))  # says how to get torch, which safetensors would not
    try:
        with safetensors.safe_open(str(path), framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise InputFileError(f"not a complete safetensors file ({error})", where=path) from error


def _weight_map(path: Path) -> dict[str, str]:
    """Tensor name → file name, from an index whose shards are all in its folder."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        weight_map = dict(index["weight_map"])
        if not weight_map or not all(isinstance(name, str) for name in weight_map.values()):
            raise ValueError("its weight_map does not map names to files")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputFileError(f"not an index of shards ({error})", where=path) from error
    names = sorted(set(weight_map.values()))
    for name in names:
        # Checked for both kinds of paths: an index may come from another system.
        if not name == PurePosixPath(name).name == PureWindowsPath(name).name:
            raise InputFileError(
                f"names a shard outside its own folder: {name!r}",
                where=path,
                remedy="Shards must be in the folder of their index; download them again.",
            )
        if not name.endswith(SHARDS):
            raise InputFileError(
                f"names a shard that is not {' or '.join(SHARDS)}: {name!r}", where=path
            )
    missing = [name for name in names if not path.with_name(name).is_file()]
    if missing:
        raise InputFileError(
            f"{len(missing)} of {len(names)} shards are missing: {shortened(missing)}",
            where=path,
            remedy=f"Put them into {path.parent}.",
        )
    return weight_map


def _sharded(path: Path, trust_pickle: bool) -> Contents:
    weight_map = _weight_map(path)
    tensors: dict[str, object] = {}
    metadata: dict[str, str] = {}
    trusted = False
    placeholders: set[str] = set()
    for name in sorted(set(weight_map.values())):
        shard = read(path.with_name(name), trust_pickle=trust_pickle)
        metadata |= shard.metadata
        trusted |= shard.trusted_pickle
        placeholders.update(shard.placeholders)
        if not isinstance(shard.loaded, Mapping):
            raise InputFileError(
                "is not a shard (a mapping of parameter names to tensors)",
                where=path.with_name(name),
            )
        for tensor_name, tensor in shard.loaded.items():
            if weight_map.get(tensor_name) != name:
                raise InputFileError(
                    f"contains {tensor_name}, which {path.name} does not expect there",
                    where=path.with_name(name),
                )
            tensors[tensor_name] = tensor
    absent = [name for name in weight_map if name not in tensors]
    if absent:
        raise InputFileError(f"its shards do not contain {shortened(absent)}", where=path)
    return Contents(tensors, metadata, trusted, tuple(sorted(placeholders)))


def _torch(path: Path, trust_pickle: bool) -> Contents:
    try:
        return Contents(_load(path, weights_only=True))
    except Exception as error:  # torch.load raises anything from KeyError to RuntimeError
        code = isinstance(error, pickle.UnpicklingError) and pickled.is_pickle(path)
        if code and not trust_pickle:
            return _tensors_of(path, error)
        if not code:
            raise _refused(path, error, code=code) from error
    try:
        loaded = _load(path, weights_only=False)
    except Exception as error:  # the pickle may run any program
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputFileError(
            f"its pickled code was run and failed ({reason})",
            where=path,
            remedy="Install the packages that saved it, or save the network's state_dict().",
        ) from error
    try:
        return Contents(loaded, trusted_pickle=True, modules=contents.recovered(path).modules)
    except (PickleError, InputFileError):
        return Contents(loaded, trusted_pickle=True)


def _tensors_of(path: Path, error: Exception) -> Contents:
    """The tensors of a pickle that needs code, which is not run."""
    try:
        found = contents.recovered(path)
    except PickleError:
        raise _refused(path, error, code=True) from error
    if not containers.found(found.loaded):
        raise _refused(path, error, code=True) from error
    return Contents(
        found.loaded,
        placeholders=found.placeholders,
        modules=found.modules,
        transform=found.transform,
    )


def needs_code(path: Path) -> bool:
    """Whether the tensors of a pickle can only be had by running its code."""
    if path.name.endswith(INDEX_SUFFIX) or not pickled.is_pickle(path):
        return False
    try:
        return bool(pickled.needed(path)) and not containers.found(contents.recovered(path).loaded)
    except PickleError:
        return True


def _load(path: Path, *, weights_only: bool) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # errors are raised, not warned of
        with path.open("rb") as file:  # torch would believe the suffix of a path
            return torch.load(file, map_location="cpu", weights_only=weights_only)


def _refused(path: Path, error: Exception, *, code: bool) -> InputFileError:
    """The error for a file that torch refuses; torch's own message recommends to run the code."""
    if code:
        needed = pickled.needed(path)
        what = f": it needs {shortened(needed)}" if needed else ""
        if needed and all(name.startswith("numpy.") for name in needed):
            return InputFileError(
                f"contains pickled NumPy arrays, which are not tensors{what}",
                where=path,
                remedy="If they are the weights, save them as tensors: torch.save({name: "
                "torch.from_numpy(array) for name, array in arrays.items()}, 'net.pth')",
            )
        return InputFileError(
            f"contains pickled code, which is not run{what}",
            where=path,
            remedy=f"{SAVE_STATE} Only if you trust its author to run programs as you, use "
            "--trust-pickle.",
        )
    reason = "it is not one, or it is truncated"
    if isinstance(error, RuntimeError) and "weights_only" not in str(error):
        reason = " ".join(str(error).partition(". ")[0].split())
    return InputFileError(
        f"cannot be read as a PyTorch checkpoint ({reason})", where=path, remedy=SAVE_STATE
    )
