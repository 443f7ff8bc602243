"""Checkpoints: from what the user names to a state dict that fits, its preprocessing and labels.

`imagenet[:v1|:v2]`, `digits`, `random[:seed]`, or a file (`.safetensors`, `.pt`, `.pth`).
Files load with safetensors or `torch.load(weights_only=True)`, strictly; what does not fit is
answered with what the file looks like. Of a training checkpoint the network is taken out, and
`source` names the part.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_serve import catalog, checkpoint_metadata, durable
from resnet_serve.architectures import Architecture, build
from resnet_serve.architectures.fitting import fitting
from resnet_serve.datasets import check_label_count
from resnet_serve.download import Progress, fetch, torch_hub_checkpoints
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional
from resnet_serve.preprocessing import Preprocessing

if TYPE_CHECKING:
    import safetensors
    import torch
    from torch import Tensor, nn
else:
    torch = optional("torch", extra="convert")
    safetensors = optional("safetensors", extra="convert")

SETTLING_PASSES = 4
SETTLING_BATCH = 8
# Where training scripts keep the network; the averaged one only where there is no other.
_WRAPPERS = ("state_dict", "model", "state_dict_ema", "model_ema", "ema")


@dataclass(frozen=True)
class Weights:
    """A state dict that loads strictly into `architecture`, and all that belongs to it."""

    architecture: Architecture
    state: Mapping[str, Tensor]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    source: str
    sha256: str
    trained: bool
    training: Mapping[str, Any]

    def network(self) -> nn.Module:
        """The PyTorch reference: FP32, evaluation mode, no gradients."""
        network = build(self.architecture)
        network.load_state_dict(dict(self.state), strict=True)
        return network.requires_grad_(False)


def load(
    spec: str,
    architecture: Architecture,
    *,
    labels: tuple[str, ...] | None = None,
    progress: Progress | None = None,
) -> Weights:
    """Resolve `--weights`. `labels` fixes the number of classes of a fine-tuned head."""
    kind, _, option = spec.partition(":")
    if kind == "imagenet":
        return _imagenet(architecture, option or None, labels, progress)
    if spec == "digits":
        return _digits(architecture, labels)
    if kind == "random":
        return _random(architecture, option, labels)
    return _file(Path(spec), architecture, labels)


def default_spec(architecture: Architecture) -> str:
    """What `--weights` means when it is not given."""
    if architecture.family == "ImageNet":
        return "imagenet"
    if architecture.name == "resnet20":
        return "digits"
    raise UsageError(
        f"there are no weights to fall back on for {architecture.name}",
        remedy="Give --weights a file, or 'random' for an untrained network.",
    )


def _imagenet(
    architecture: Architecture,
    version: str | None,
    labels: tuple[str, ...] | None,
    progress: Progress | None,
) -> Weights:
    row = catalog.published(architecture.name, version)
    if labels:
        check_label_count(labels, architecture.classes)
    path = fetch(
        row.url,
        torch_hub_checkpoints() / row.file_name,
        sha256_prefix=row.sha256_prefix,
        size_mib=row.size_mib,
        progress=progress,
    )
    return Weights(
        architecture=architecture,
        state=fitting(read_state(path), architecture, path),
        preprocessing=row.preprocessing,
        labels=labels or catalog.imagenet_labels(),
        source=f"imagenet:{row.version}",
        sha256=durable.sha256(path),
        trained=True,
        training={"published_top1": row.top1, "published_top5": row.top5, "url": row.url},
    )


def _digits(architecture: Architecture, labels: tuple[str, ...] | None) -> Weights:
    name = f"digits-{architecture.name}.safetensors"
    with resources.as_file(resources.files("resnet_serve") / "checkpoints" / name) as path:
        if not path.is_file():
            raise UsageError(
                f"there is no digits checkpoint of {architecture.name}",
                remedy="There is one of resnet20; examples/train_digits.py trains it.",
            )
        return replace(_file(path, architecture, labels), source="digits")


def _random(architecture: Architecture, option: str, labels: tuple[str, ...] | None) -> Weights:
    """An untrained network whose BatchNorm statistics have seen a few batches of smooth noise.

    Without that, activations would not have the ranges that INT8 calibration meets in practice.
    """
    if (option and not option.isdecimal()) or len(option) > 18:
        raise UsageError(f"the seed in 'random:{option}' must be a whole number of 0 to 18 digits")
    seed = int(option or 0)
    architecture = architecture.with_classes(len(labels)) if labels else architecture
    size = architecture.image_size
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = build(architecture).train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # cumulative average over the passes
        for _ in range(SETTLING_PASSES):
            noise = torch.randn(SETTLING_BATCH, 3, max(1, size // 8), max(1, size // 8))
            network(torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear"))
    state = network.eval().state_dict()
    digest = durable.sha256(b"".join(t.contiguous().numpy().tobytes() for t in state.values()))
    return Weights(
        architecture=architecture,
        state=state,
        preprocessing=_usual_preprocessing(architecture),
        labels=labels or _usual_labels(architecture),
        source=f"random:{seed} (untrained)",
        sha256=digest,
        trained=False,
        training={},
    )


def _file(path: Path, architecture: Architecture, labels: tuple[str, ...] | None) -> Weights:
    if not path.is_file():
        raise InputFileError(
            "is a folder, not a checkpoint" if path.is_dir() else "no such checkpoint",
            where=path,
            remedy="--weights takes imagenet, digits, random or a file.",
        )
    state, part, metadata = _read(path)
    record = checkpoint_metadata.Found(path, metadata)
    labels = labels or record.labels()
    architecture = architecture.with_classes(len(labels)) if labels else architecture
    return Weights(
        architecture=architecture,
        state=fitting(state, architecture, path),
        preprocessing=record.preprocessing() or _usual_preprocessing(architecture),
        labels=labels or _usual_labels(architecture),
        source=f"{path} ({part})" if part else str(path),
        sha256=durable.sha256(path),
        trained=record.trained(),
        training=record.training(),
    )


def _usual_labels(architecture: Architecture) -> tuple[str, ...]:
    if architecture.classes == 1000:
        return catalog.imagenet_labels()
    return tuple(f"class {index}" for index in range(architecture.classes))


def _usual_preprocessing(architecture: Architecture) -> Preprocessing:
    if architecture.family == "ImageNet":
        return Preprocessing()
    side = architecture.image_size
    return Preprocessing(resize=side, crop=(side, side), resize_mode="exact")


def save(path: Path, weights: Weights) -> None:
    """Write a safetensors checkpoint that carries its preprocessing, labels and training record."""
    from safetensors.torch import save as serialize

    metadata = checkpoint_metadata.written(
        architecture=weights.architecture.name,
        preprocessing=weights.preprocessing,
        labels=weights.labels,
        trained=weights.trained,
        training=weights.training,
    )
    tensors = {name: tensor.contiguous() for name, tensor in weights.state.items()}
    durable.write(path, serialize(tensors, metadata))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file; never runs code from it."""
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Tensor], str, dict[str, str]]:
    """The tensors, the part of the checkpoint they were taken from, the metadata."""
    try:
        path.open("rb").close()  # safetensors calls every refusal "no such file"
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    if path.suffix == ".safetensors":
        try:
            with safetensors.safe_open(str(path), framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, "", dict(file.metadata() or {})
        except (OSError, safetensors.SafetensorError) as error:
            raise InputFileError(f"not a whole safetensors file ({error})", where=path) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # asides; what matters is raised
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises anything from KeyError to RuntimeError
        raise _unloadable(path, error) from error
    state, part = _unwrapped(loaded)
    if not state or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise InputFileError(
            "holds no state dict (a mapping of parameter names to tensors)",
            where=path,
            remedy=_SAVE_STATE,
        )
    return {name: tensor.detach() for name, tensor in state.items()}, part, {}


_SAVE_STATE = "Save the network's state_dict() and give that file."


def _unloadable(path: Path, error: Exception) -> InputFileError:
    """torch's own words advise to load with code execution; ours do not."""
    if isinstance(error, pickle.UnpicklingError) and _is_pickle(path):
        return InputFileError(
            "holds pickled code, which is never run", where=path, remedy=_SAVE_STATE
        )
    reason = "it is none, or it is cut short"
    if "TorchScript" in str(error):
        reason = "it is a TorchScript archive"
    elif isinstance(error, RuntimeError) and "weights_only" not in str(error):
        reason = " ".join(str(error).partition(". ")[0].split())
    return InputFileError(
        f"cannot be read as a PyTorch checkpoint ({reason})", where=path, remedy=_SAVE_STATE
    )


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return zipfile.is_zipfile(path) or file.read(1) == pickle.PROTO


def _unwrapped(loaded: object) -> tuple[dict[str, Tensor], str]:
    """The state dict in what `torch.load` returned, and the keys that lead to it.

    The prefix `module.` of `DataParallel` and of averaged models is taken off.
    """
    keys = []
    while isinstance(loaded, dict):
        key = next((key for key in _WRAPPERS if isinstance(loaded.get(key), dict)), None)
        if key is None:
            break
        keys.append(key)
        loaded = loaded[key]
    if not isinstance(loaded, dict):
        return {}, ""
    state = {name: value for name, value in loaded.items() if name != "n_averaged"}
    if all(isinstance(name, str) and name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state, ".".join(keys)
