"""The weights of a custom module (`--module`): its own, random ones, or those of a checkpoint.

Without `--weights` the network keeps the weights that its factory gives it. Every entry of the
module's state dict must come from a checkpoint (`checkpoints/states/matching.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.architectures import custom_modules, untrained
from resnet_serve.architectures.fitting import check_finite
from resnet_serve.checkpoints import metadata, preprocessing_files, sidecar_files
from resnet_serve.checkpoints.reading import AS_IT_IS, Reading, is_file, read
from resnet_serve.checkpoints.statements import Statements
from resnet_serve.checkpoints.states import initial_values, matching, tensor_kinds
from resnet_serve.download import Progress
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import Weights, classes, defaults, digest, stated_preprocessing
from resnet_serve.weights.stated_activation import of_files

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")

_TABLE = "torchvision's V1 table"


@dataclass(frozen=True)
class _Loaded:
    """A network with its weights loaded, and the source of the weights."""

    network: nn.Module
    source: str
    sha256: str
    trained: bool = True
    random: bool = False
    said: stated_preprocessing.Decided | None = None
    stored: metadata.Metadata | None = None
    described: sidecar_files.Sidecar | None = None
    statements: Statements = Statements()  # noqa: RUF009 - frozen
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
        found = _of_file(_made(factory, module), spec, reading, progress)
    elif spec is None:
        network = _made(factory, module)
        check_finite(network.state_dict(), module)
        signs = initial_values.examine(network.state_dict(), module)
        sha256, trained = digest(network.state_dict()), signs.untrained is None
        found = _Loaded(network, own(module), sha256, trained, notices=signs.said)
    elif option[0] == "random":
        with untrained.seeded(untrained.seed_of(option[2])):
            network = _made(factory, module)
        found = _Loaded(network, f"{spec} (untrained)", "", trained=False, random=True)
    else:
        raise UsageError(
            f"{spec!r} names weights of the family, not of {module}",
            remedy="Give --weights a checkpoint, or omit it for the module's own weights.",
        )
    said = _preprocessing(found, reading)
    if preprocessing is not None:
        said = stated_preprocessing.Decided(preprocessing)
    preprocessing = said.preprocessing
    described = custom_modules.describe(module, factory, found.network, preprocessing)
    if found.random:
        with untrained.seeded(0):
            untrained.estimate_statistics(found.network, (described.channels, *preprocessing.crop))
    stored = found.stored
    config = found.described
    named = classes.decide(
        described.classes,
        labels,
        Path(spec or module),
        own=stored.labels(described.classes) if stored else None,
        statements=found.statements,
        beside=config.labels if config else None,
        counted=reading.classifier,
    )
    activation, activation_from = of_files(
        (stored.activation(described.classes) if stored else None, f"the metadata of {spec}"),
        (config.activation if config else None, f"{sidecar_files.CONFIG_FILE} beside {spec}"),
    )
    return Weights(
        architecture=described,
        state=found.network.state_dict(),
        preprocessing=preprocessing,
        labels=named.labels,
        source=found.source,
        sha256=found.sha256 or digest(found.network.state_dict()),
        trained=found.trained,
        training=stored.training() if stored else {},
        activation=activation,
        activation_from=activation_from,
        preprocessing_from=said.source,
        notices=found.notices + said.notices + named.notices,
        assumptions=said.assumptions + named.assumptions,
        trusted_pickle=found.trusted_pickle,
    )


def _made(factory: Callable[[], nn.Module], module: str) -> nn.Module:
    """The network of the factory; raises `InputFileError` for tensors that are not plain."""
    network = custom_modules.make(factory, module)
    state: dict[str, object] = network.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise InputFileError(
            f"its state_dict() has entries that are no tensors: {', '.join(odd[:3])}",
            where=module,
            remedy="Return a network without get_extra_state().",
        )
    tensor_kinds.check(network.state_dict(), module)
    return network


def own(module: str) -> str:
    """The name of a module's own weights, as a source of weights."""
    return f"as {module} returns it"


def _of_file(network: nn.Module, spec: str, reading: Reading, progress: Progress | None) -> _Loaded:
    checkpoint = read(spec, reading, progress, wanted=_wanted(network))
    check_finite(checkpoint.tensors, checkpoint.path)
    # What the file may lack are counters of training alone.
    network.load_state_dict({**network.state_dict(), **checkpoint.tensors}, strict=True)
    loaded = network.state_dict()
    for name, tensor in checkpoint.tensors.items():
        if not torch.equal(loaded[name], tensor.to(loaded[name].dtype)):
            raise InputFileError(
                f"{type(network).__name__} changes {name} when it is loaded",
                where=checkpoint.path,
                remedy="Its load_state_dict() must take every tensor as it is in the file.",
            )
    stored = metadata.Metadata(checkpoint.path, checkpoint.metadata)
    signs = initial_values.examine(loaded if checkpoint.whole else {}, str(checkpoint.path))
    described = sidecar_files.read(
        checkpoint.path,
        overridden=reading.preprocessing is not None,
        transform=checkpoint.transform,
    )
    return _Loaded(
        network,
        checkpoint.source,
        checkpoint.sha256,
        trained=stored.trained() and signs.untrained is None,
        said=stated_preprocessing.decide(
            checkpoint,
            stored.preprocessing(),
            described,
            usual=Preprocessing(),
            table=_TABLE,
            overridden=reading.preprocessing is not None,
        ),
        stored=stored,
        described=described,
        statements=checkpoint.statements,
        notices=checkpoint.notices + signs.said,
        trusted_pickle=checkpoint.trusted_pickle,
    )


def _wanted(network: nn.Module) -> matching.Wanted:
    """The entries of the network that a file must hold."""
    tensors = network.state_dict()
    norms = (torch.nn.modules.batchnorm._NormBase,)
    counters = {
        f"{name}.num_batches_tracked".removeprefix(".")
        for name, module in network.named_modules()
        if isinstance(module, norms) and module.track_running_stats
    }
    by_place: dict[object, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            where = (tensor.data_ptr(), tensor.shape, tensor.stride())
            by_place.setdefault(where, []).append(name)
    tied = {
        name: tuple(other for other in names if other != name)
        for names in by_place.values()
        for name in names
        if len(names) > 1
    }
    return matching.Wanted(type(network).__name__, tensors, counters, tied)


def _preprocessing(found: _Loaded, reading: Reading) -> stated_preprocessing.Decided:
    said = found.said or stated_preprocessing.Decided(Preprocessing())
    if reading.preprocessing is not None:
        given = preprocessing_files.override(reading.preprocessing, said.preprocessing)
        notices = stated_preprocessing.contradicted(given, said.preprocessing, said.source)
        return replace(said, preprocessing=given, notices=notices, assumptions=())
    if found.said is not None:
        return said
    return replace(said, assumptions=(defaults.preprocessing_assumed(said.preprocessing, _TABLE),))
