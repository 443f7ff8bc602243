"""Custom modules: an image classifier of the user, `--module package.module:factory`.

    import ─► factory() ─► nn.Module ─► run once on a black image ─► its classes

The factory is the user's code, and is run. It returns a module from FP32 [N,C,H,W] to logits
[N,classes]; tracing, folding, precision and parity work on its graph.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional
from resnet_serve.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")

_FORM = "Give it as package.module:factory, or path/to/file.py:factory."
_SHAPE = (
    "If its images have another size or one channel, state it with --preprocessing, as "
    '{"resize": 32, "crop": [32, 32], "mean": [0.5], "std": [0.25]}: one mean and std for grey.'
)


@dataclass(frozen=True)
class CustomArchitecture:
    """A custom module's row: what passports and reports need, and the factory to build it.

    `spec` is the value of `--module`, `channels` are those of its images.
    """

    name: str
    spec: str
    classes: int
    parameters: int
    channels: int
    factory: Callable[[], nn.Module] = field(repr=False, compare=False)

    @property
    def summary(self) -> str:
        """One line about it."""
        return f"custom module {self.spec}"

    def build(self) -> nn.Module:
        """A new network in evaluation mode; raises `InputFileError` where the factory fails."""
        return make(self.factory, self.spec)


def name_of(spec: str) -> str:
    """The default name of `package.module:factory`: `factory`."""
    return spec.rpartition(":")[2].rpartition(".")[2]


def find_factory(spec: str) -> Callable[[], nn.Module]:
    """Import the factory (or module class) that `spec` names.

    The working directory is searched first, as with `python -m`. Raises `UsageError` for a spec
    that names nothing callable, and `InputFileError` for code that fails.
    """
    place, _, attribute = spec.rpartition(":")
    if not place or not all(part.isidentifier() for part in attribute.split(".")):
        raise UsageError(f"--module {spec!r} does not name a factory", remedy=_FORM)
    found: Any = _from_file(Path(place), spec) if place.endswith(".py") else _imported(place, spec)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"--module {spec}: {place} has no {attribute!r}", remedy=_FORM)
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(
            f"--module {spec}: {attribute} is a {type(found).__name__}, which cannot be called",
            remedy="Name a function without arguments that returns the network.",
        )
    factory: Callable[[], nn.Module] = found
    return factory


def make(factory: Callable[[], nn.Module], spec: str) -> nn.Module:
    """Call the factory: the network in evaluation mode, on the CPU, in FP32.

    `DataParallel` and `torch.compile` are taken off, as they do not change what it computes.
    Raises `InputFileError` where it fails or returns something else than a module.
    """
    try:
        network = factory()
    except Exception as error:  # the user's code may raise anything
        raise _failed(f"{spec} fails", error, spec) from error
    if isinstance(network, torch.jit.ScriptModule | torch.export.ExportedProgram):
        scripted = isinstance(network, torch.jit.ScriptModule)
        kind = "a TorchScript module" if scripted else "an ExportedProgram"
        raise InputFileError(
            f"returned {kind}, which has no Python code to trace",
            where=spec,
            remedy="Return the Python module that it was made from; its state_dict can be saved "
            "and given with --weights.",
        )
    if not isinstance(network, torch.nn.Module):
        raise InputFileError(
            f"returned a {type(network).__name__}, not a torch.nn.Module",
            where=spec,
            remedy="Return the network itself.",
        )
    network = _unwrapped(network)
    if any(torch.nn.parameter.is_lazy(each) for each in network.parameters()):
        raise InputFileError(
            "returned a network with lazy layers, which have no weights yet",
            where=spec,
            remedy="Call it once on a tensor of images in the factory.",
        )
    if any(each.is_meta for each in (*network.parameters(), *network.buffers())):
        raise InputFileError(
            "returned a network on the meta device, which has no weights",
            where=spec,
            remedy="Make it on the CPU, or call .to_empty(device='cpu') and load its weights.",
        )
    return network.eval().cpu().float()


def _unwrapped(network: nn.Module) -> nn.Module:
    """The module inside `DataParallel`, `DistributedDataParallel` and `torch.compile`."""
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while True:
        inner = network._modules.get("_orig_mod")
        if isinstance(network, wrappers):
            inner = network.module
        elif type(network).__name__ != "OptimizedModule":
            return network
        if not isinstance(inner, torch.nn.Module):
            return network
        network = inner


def describe(
    spec: str,
    factory: Callable[[], nn.Module],
    network: nn.Module,
    preprocessing: Preprocessing,
) -> CustomArchitecture:
    """The row of a network, which is run once on one black image of the preprocessing's size.

    Raises `InputFileError` unless it returns logits [1,classes].
    """
    size = (1, preprocessing.channels, *preprocessing.crop)
    try:
        with torch.inference_mode():
            logits = network(torch.zeros(size))
    except Exception as error:  # the user's code may raise anything
        raise _failed(f"fails for an image FP32 {list(size)}", error, spec, _SHAPE) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != 1:
        found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputFileError(
            f"returns {found} for one image; a classifier returns logits [1, classes]",
            where=spec,
            remedy="Wrap it in a module that returns the logits alone.",
        )
    return CustomArchitecture(
        name=name_of(spec),
        spec=spec,
        classes=logits.shape[1],
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        channels=preprocessing.channels,
        factory=factory,
    )


def _imported(place: str, spec: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(place)
    except Exception as error:  # a module's own code may raise anything
        raise _failed(f"{place} cannot be imported", error, spec) from error


def _from_file(path: Path, spec: str) -> Any:
    if not path.is_file():
        raise UsageError(f"--module {spec}: there is no file {path}", remedy=_FORM)
    described = importlib.util.spec_from_file_location(path.stem, path)
    if described is None or described.loader is None:
        raise UsageError(f"--module {spec}: {path} is not a Python file", remedy=_FORM)
    module = importlib.util.module_from_spec(described)
    # Dataclasses and pickles look a module up by its name.
    sys.modules.setdefault(path.stem, module)
    try:
        described.loader.exec_module(module)
    except Exception as error:  # a module's own code may raise anything
        raise _failed(f"{path} cannot be imported", error, spec) from error
    return module


def _failed(what: str, error: Exception, spec: str, remedy: str | None = None) -> InputFileError:
    message = next(iter(str(error).splitlines()), "")
    reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return InputFileError(f"{what} ({reason})", where=f"--module {spec}", remedy=remedy)
