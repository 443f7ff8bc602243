"""The weights of a custom module (`--module`): its own, random ones, or those of a checkpoint.

Without `--weights` the network keeps the weights that its factory gives it. A checkpoint must fit
strictly; wrappers' prefixes of its names (`module.`, `model.`) are removed as for the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.architectures import custom_modules, untrained
from resnet_serve.architectures.fitting import check_finite, disagreements, listed
from resnet_serve.checkpoints import keys, metadata, preprocessing_files, sidecar_files
from resnet_serve.checkpoints.reading import AS_IT_IS, Reading, is_file, read
from resnet_serve.datasets import check_label_count
from resnet_serve.download import Progress
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import Weights, class_names, digest

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class _Loaded:
    """A network with its weights loaded, and the source of the weights."""

    network: nn.Module
    source: str
    sha256: str
    trained: bool = True
    preprocessing: Preprocessing | None = None
    stored: metadata.Metadata | None = None
    notices: tuple[str, ...] = ()
    trusted_pickle: bool = False


def load(
    module: str,
    spec: str | None,
    *,
    labels: tuple[str, ...] | None = None,
    reading: Reading = AS_IT_IS,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
) -> Weights:
    """The network that `module` names, with the weights of `spec` or, for None, its own.

    `labels` name the classes. `preprocessing` is given where a passport has it already. Raises
    `UsageError` for a module that cannot be imported and for weights of the family, and
    `InputFileError` for a checkpoint that does not fit.
    """
    factory = custom_modules.find_factory(module)
    option = (spec or "").partition(":")
    if spec is not None and is_file(spec):
        found = _of_file(custom_modules.make(factory, module), spec, reading, progress)
    elif spec is None:
        network = custom_modules.make(factory, module)
        check_finite(network.state_dict(), module)
        found = _Loaded(network, own(module), digest(network.state_dict()))
    elif option[0] == "random":
        with untrained.seeded(untrained.seed_of(option[2])):
            network = custom_modules.make(factory, module)
        found = _Loaded(network, f"{spec} (untrained)", "", trained=False)
    else:
        raise UsageError(
            f"{spec!r} names weights of the family, not of {module}",
            remedy="Give --weights a checkpoint, or omit it for the module's own weights.",
        )
    notices = found.notices
    if preprocessing is None:
        preprocessing, notices = _preprocessing(found, reading, module)
    described = custom_modules.describe(module, factory, found.network, preprocessing)
    if not found.trained:
        with untrained.seeded(0):
            untrained.estimate_statistics(found.network, (described.channels, *preprocessing.crop))
    if labels is not None:
        check_label_count(labels, described.classes)
    stored = found.stored
    return Weights(
        architecture=described,
        state=found.network.state_dict(),
        preprocessing=preprocessing,
        labels=labels
        or (stored and stored.labels(described.classes))
        or class_names.default(described.classes),
        source=found.source,
        sha256=found.sha256 or digest(found.network.state_dict()),
        trained=found.trained,
        training=stored.training() if stored else {},
        notices=notices,
        trusted_pickle=found.trusted_pickle,
    )


def own(module: str) -> str:
    """The name of a module's own weights, as a source of weights."""
    return f"as {module} returns it"


def _of_file(network: nn.Module, spec: str, reading: Reading, progress: Progress | None) -> _Loaded:
    checkpoint = read(spec, reading, progress)
    # The network's own names are cleaned in the same way: they too may start with `model.`.
    wanted = keys.clean(network.state_dict())
    details = disagreements(checkpoint.tensors, wanted.tensors)
    if details:
        raise InputFileError(
            f"does not fit {type(network).__name__}: {listed(details)}",
            where=checkpoint.path,
            remedy="Give the checkpoint of this --module.",
        )
    check_finite(checkpoint.tensors, checkpoint.path)
    state: dict[str, Tensor] = dict(network.state_dict())
    state |= {f"{wanted.prefix}{name}": tensor for name, tensor in checkpoint.tensors.items()}
    network.load_state_dict(state, strict=True)
    stored = metadata.Metadata(checkpoint.path, checkpoint.metadata)
    described = sidecar_files.read(checkpoint.path, overridden=reading.preprocessing is not None)
    return _Loaded(
        network,
        checkpoint.source,
        checkpoint.sha256,
        stored.trained(),
        stored.preprocessing() or described.preprocessing,
        stored,
        checkpoint.notices,
        checkpoint.trusted_pickle,
    )


def _preprocessing(
    found: _Loaded, reading: Reading, module: str
) -> tuple[Preprocessing, tuple[str, ...]]:
    base, notices = found.preprocessing or Preprocessing(), found.notices
    if reading.preprocessing is not None:
        return preprocessing_files.override(reading.preprocessing, base), notices
    if found.preprocessing is None:
        height, width = base.crop
        notices += (
            f"the preprocessing of {module} is unknown: {height} × {width} pixels and ImageNet's "
            "mean and std are assumed; set it with --preprocessing FILE",
        )
    return base, notices
