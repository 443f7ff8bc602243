"""Loading: from the value of `--weights` to a state dict that fits, its preprocessing and labels.

`imagenet[:v1|:v2]`, `digits`, `fashion-mnist`, `random[:seed]`, a file, or an address with its
SHA-256. `checkpoints/` reads the files. A state dict must fit strictly; the error for one that does
not names the network that it looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_serve import durable
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.architectures import Architecture, build, catalog, untrained
from resnet_serve.architectures.fitting import fitting
from resnet_serve.checkpoints import metadata, naming, preprocessing_files, sidecar_files
from resnet_serve.checkpoints.network import network_of
from resnet_serve.checkpoints.reading import AS_IT_IS, Reading, is_file, read
from resnet_serve.checkpoints.sidecar_files import CONFIG_FILE
from resnet_serve.checkpoints.states import classifier, initial_values
from resnet_serve.datasets import check_label_count
from resnet_serve.download import Progress, fetch, torch_hub_checkpoints
from resnet_serve.errors import InputFileError, Note, UsageError
from resnet_serve.optional import optional
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import (
    class_names,
    classes,
    defaults,
    stated_activation,
    stated_preprocessing,
)
from resnet_serve.weights.assumptions import Assumption, Subject

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from resnet_serve.architectures.custom_modules import CustomArchitecture
else:
    torch = optional("torch", extra="convert")


@dataclass(frozen=True)
class Weights:
    """A state dict that loads strictly into `architecture`, and what belongs to it.

    `labels` are the class names in the order of the logits. `source` and `sha256` identify the
    file, or the state dict where there is none. `training` is the stored record of the training.
    `notices` are sentences for the user on how it was read, `assumptions` what no file said.
    `activation_from` is the file or option that states the activation, None until it is decided,
    `preprocessing_from` the file or field that states the preprocessing, None where none does.
    """

    architecture: Architecture | CustomArchitecture
    state: Mapping[str, Tensor]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    source: str
    sha256: str
    trained: bool
    training: Mapping[str, Any]
    activation: Activation = SOFTMAX
    activation_from: str | None = None
    preprocessing_from: str | None = None
    notices: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    trusted_pickle: bool = False

    def network(self) -> nn.Module:
        """The PyTorch reference with these weights: FP32, evaluation mode, no gradients."""
        network = build(self.architecture)
        network.load_state_dict(dict(self.state), strict=True)
        return network.requires_grad_(False)

    def without_classes(self) -> Weights:
        """The same for outputs that rank no classes: nothing is assumed of classes then."""
        of_classes = (Subject.LABELS, Subject.ACTIVATION)
        kept = tuple(each for each in self.assumptions if each.subject not in of_classes)
        return replace(self, assumptions=kept)


def load(
    spec: str,
    architecture: Architecture | None,
    *,
    labels: tuple[str, ...] | None = None,
    reading: Reading = AS_IT_IS,
    progress: Progress | None = None,
) -> Weights:
    """Load the weights that `--weights` names.

    Without an architecture it is inferred from a file's names and shapes. `labels` name the
    classes of a checkpoint's classifier; a random network gets as many classes as there are
    labels. Raises `UsageError`, `InputFileError` for a file that does not fit, and `HostError` for
    a download that fails.
    """
    reading.check(spec, inferring=architecture is None)
    kind, _, option = spec.partition(":")
    if architecture is None or is_file(spec):
        loaded = _file(spec, architecture, labels, reading, progress)
    elif kind == "imagenet":
        loaded = _imagenet(architecture, option or None, labels, progress)
    elif kind == "random":
        loaded = _random(architecture, option, labels)
    else:
        loaded = _shipped(spec, architecture, labels)
    if reading.preprocessing is not None:
        said = loaded.preprocessing
        own = preprocessing_files.override(reading.preprocessing, said)
        notices = stated_preprocessing.contradicted(own, said, loaded.preprocessing_from)
        loaded = replace(loaded, preprocessing=own, notices=loaded.notices + notices)
    needed, given = loaded.architecture.channels, loaded.preprocessing.channels
    if needed != given:
        raise InputFileError(
            f"the network needs images of {_planes(needed)}, its preprocessing gives "
            f"{_planes(given)}",
            where=reading.preprocessing or loaded.source,
            remedy="Give --preprocessing FILE with as many numbers in mean and std.",
        )
    return loaded


def _planes(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def default_spec(architecture: Architecture) -> str:
    """The default of `--weights` for an architecture; raises `UsageError` where there is none."""
    if architecture.family == "ImageNet":
        return "imagenet"
    if architecture.name == "resnet20":
        return "digits"
    raise UsageError(
        f"there are no default weights for {architecture.name}",
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
        state=fitting(dict(read(str(path)).tensors), architecture, path),
        preprocessing=row.preprocessing,
        labels=labels or class_names.built_in("imagenet1k"),
        source=f"imagenet:{row.version}",
        sha256=durable.sha256(path),
        trained=True,
        training=row.record,
        activation_from=f"torchvision's {row}",
    )


def _shipped(name: str, architecture: Architecture, labels: tuple[str, ...] | None) -> Weights:
    """The network of `SHIPPED` that is part of this package."""
    file_name = f"{name}-{architecture.name}.safetensors"
    with resources.as_file(resources.files("resnet_serve") / "checkpoints" / file_name) as path:
        if not path.is_file():
            raise UsageError(
                f"there is no {name} checkpoint of {architecture.name}",
                remedy="There is one of resnet20; "
                f"examples/train_{name.replace('-', '_')}.py trains it.",
            )
        loaded = _file(str(path), architecture, labels)
        return replace(loaded, source=name, activation_from=f"the training of {name}")


def _random(architecture: Architecture, option: str, labels: tuple[str, ...] | None) -> Weights:
    seed = untrained.seed_of(option)
    architecture = architecture.with_classes(len(labels)) if labels else architecture
    size = architecture.image_size
    with untrained.seeded(seed):
        network = build(architecture)
        untrained.scale_residuals(network)
        untrained.estimate_statistics(network, (architecture.channels, size, size))
    state = network.state_dict()
    return Weights(
        architecture=architecture,
        state=state,
        preprocessing=defaults.preprocessing(architecture),
        labels=labels or class_names.default(architecture.classes),
        source=f"random:{seed} (untrained)",
        sha256=digest(state),
        trained=False,
        training={},
    )


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the bytes of all tensors in their order, for weights that are not in a file."""
    return durable.sha256(b"".join(t.contiguous().numpy().tobytes() for t in state.values()))


def _file(
    spec: str,
    architecture: Architecture | None,
    labels: tuple[str, ...] | None,
    reading: Reading = AS_IT_IS,
    progress: Progress | None = None,
) -> Weights:
    found = naming.of_family(read(spec, reading, progress), classifies=reading.classifier)
    signs = initial_values.examine(found.tensors if found.whole else {}, str(found.path))
    found = classifier.completed(found, needed=reading.classifier)
    overridden = reading.preprocessing is not None
    described = sidecar_files.read(found.path, overridden=overridden, transform=found.transform)
    published = catalog.recognised(found.sha256) if found.whole else None
    identified = network_of(found, described, architecture)
    architecture = identified.architecture
    notices = found.notices + identified.notices + signs.said
    assumptions = defaults.network_assumed(architecture.name, identified.twins)
    state = fitting(dict(found.tensors), architecture, found.path)
    if not identified.recorded and published is None:
        assumptions += (defaults.arithmetic_assumed(identified),)
    stored = metadata.Metadata(found.path, found.metadata)
    activation, activation_from = stated_activation.of_files(
        (stored.activation(architecture.classes), f"the metadata of {found.path}"),
        (described.activation, f"{CONFIG_FILE} beside {found.path}"),
    )
    usual, table = defaults.preprocessing(architecture), defaults.table_of(architecture)
    said = stated_preprocessing.decide(
        found, stored.preprocessing(), described, usual=usual, table=table, overridden=overridden
    )
    preprocessing, training = None if said is None else said.preprocessing, stored.training()
    if said is not None:
        notices += said.notices
        assumptions += said.assumptions
    if published is not None and activation_from is None:
        activation_from = f"torchvision's {published}"
    if published is not None and preprocessing is None:
        preprocessing, training = published.preprocessing, published.record
        if not overridden:
            said_of = f"{found.path} is torchvision's {published}, whose preprocessing is used"
            notices += (Note(said_of),)
    if preprocessing is None:
        preprocessing = usual
        if not overridden:
            assumptions += (defaults.preprocessing_assumed(preprocessing, table),)
    named = classes.decide(
        architecture.classes,
        labels,
        found.path,
        own=stored.labels(architecture.classes),
        statements=found.statements,
        beside=described.labels,
        counted=reading.classifier,
    )
    if published is None:
        assumptions += named.assumptions
    return Weights(
        architecture=architecture,
        state=state,
        preprocessing=preprocessing,
        preprocessing_from=None if said is None else said.source,
        labels=named.labels,
        source=found.source,
        sha256=found.sha256,
        trained=stored.trained() and signs.untrained is None,
        training=training,
        activation=activation,
        activation_from=activation_from,
        notices=notices + named.notices,
        assumptions=assumptions,
        trusted_pickle=found.trusted_pickle,
    )


def save(path: Path, weights: Weights) -> None:
    """Write a safetensors checkpoint with its preprocessing, labels and training record."""
    from safetensors.torch import save as serialize

    described = metadata.written(
        architecture=weights.architecture.name,
        preprocessing=weights.preprocessing,
        labels=weights.labels,
        trained=weights.trained,
        training=weights.training,
        activation=None if weights.activation_from is None else weights.activation,
    )
    tensors = {name: tensor.contiguous() for name, tensor in weights.state.items()}
    durable.write(path, serialize(tensors, described))
