"""Contents: what a pickled checkpoint holds, as mappings of tensors, without running its code.

    {"model": ResNet(…), "args": Namespace(…)}  ─►  {"model": {"conv1.weight": …}, "args": {…}}

The placeholder of a pickled `torch.nn.Module` has `_parameters`, `_buffers` and `_modules` in its
state: they give the state dict with the names that `state_dict()` gives. Other placeholders are
containers of what they were given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.checkpoints import pickled
from resnet_serve.checkpoints.pickles import archive
from resnet_serve.checkpoints.pickles.machine import PickleError, Placeholder
from resnet_serve.checkpoints.pickles.rebuilt import NOT_PLAIN, View
from resnet_serve.checkpoints.states.arithmetic import ATTRIBUTES, PickledModule
from resnet_serve.checkpoints.transforms import recorded
from resnet_serve.checkpoints.transforms.steps import Step
from resnet_serve.errors import InputFileError

if TYPE_CHECKING:
    from torch import Tensor

_DEEPEST = 60
_MOST_OBJECTS = 1_000_000
_MODULE = ("_parameters", "_buffers", "_modules")
# What no training saves, and what a file that attacks its reader calls.
_ATTACK = re.compile(
    r"(os|posix|nt|subprocess|sys|runpy|shutil|socket|importlib|pty|ctypes|webbrowser|_?pickle"
    r"|marshal|torch\.hub|torch\.load|torch\.serialization\.load)(\..*)?"
    r"|(builtins|__builtin__)\.(exec|eval|execfile|compile|__import__|open|apply|input|breakpoint"
    r"|globals|vars|setattr|delattr)|_?io\.(open|open_code|FileIO)"
)


@dataclass(frozen=True)
class Recovered:
    """The object of a file as mappings of tensors, and the names of what was not run.

    `modules` are those of pickled networks, by the keys and attributes that lead to them,
    `transform` that of the images.
    """

    loaded: object
    placeholders: tuple[str, ...]
    modules: Mapping[str, PickledModule]
    transform: Step | None = None


def recovered(path: Path) -> Recovered:
    """What a pickled file holds; raises `PickleError` where it cannot be read as data.

    A file that names a function with which programs are started or files are written is not read.
    Raises `InputFileError` for a tensor that is not plain.
    """
    found = archive.read(path)
    names = sorted({name for name in found.globals if not pickled.is_harmless(name)})
    attacks = [name for name in names if _ATTACK.fullmatch(name)]
    if attacks:
        raise PickleError(f"it calls {attacks[0]}")
    contents = _Contents(path)
    loaded = contents.of(found.loaded, ())
    shown = tuple(pickled.printable(name) for name in names)
    return Recovered(loaded, shown, contents.modules, recorded.find(found.loaded))


class _Contents:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._objects = iter(range(_MOST_OBJECTS))
        self._tensors: dict[int, Tensor] = {}
        self.modules: dict[str, PickledModule] = {}

    def of(self, value: object, place: tuple[str, ...]) -> object:
        """A value without placeholders and views; `place` are the keys that lead to it."""
        if next(self._objects, None) is None or len(place) > _DEEPEST:
            raise PickleError("it refers to its own objects too often")
        if isinstance(value, View):
            return self._tensor(value)
        if isinstance(value, Placeholder):
            return self._of_placeholder(value, place)
        if isinstance(value, Mapping):
            return {key: self.of(each, (*place, str(key))) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each, (*place, str(n))) for n, each in enumerate(value)]
        return value

    def _tensor(self, view: View) -> Tensor:
        if id(view) not in self._tensors:
            self._tensors[id(view)] = view.tensor()
        return self._tensors[id(view)]

    def _of_placeholder(self, value: Placeholder, place: tuple[str, ...]) -> object:
        if value.name in NOT_PLAIN:
            what, call = NOT_PLAIN[value.name]
            calling = f" Make it plain and save again: state[name] = state[name]{call}"
            raise InputFileError(
                f"{'.'.join(place)} is {what}: plain tensors of numbers are needed",
                where=self._path,
                remedy="Save a state_dict() of plain tensors." + (calling if call else ""),
            )
        state = _state_of(value)
        if all(isinstance(state.get(part), Mapping) for part in _MODULE):
            return dict(self._entries(value.name, state, (), place))
        entries = {key: each for key, each in value.entries.items() if isinstance(key, str)}
        own = {key: each for key, each in state.items() if isinstance(key, str)}
        inside = self.of({**own, **entries}, place)
        return inside if inside or not value.items else self.of(value.items, place)

    def _entries(
        self,
        kind: str,
        state: Mapping[object, object],
        prefix: tuple[str, ...],
        place: tuple[str, ...],
    ) -> Iterator[tuple[str, object]]:
        """The entries of a module's state dict, its own before those of its modules."""
        attributes = {name: state[name] for name in ATTRIBUTES if name in state}
        self.modules[".".join((*place, *prefix))] = PickledModule(kind, attributes)
        hidden = state.get("_non_persistent_buffers_set")
        for part in ("_parameters", "_buffers"):
            for name, value in _mapping(state[part]).items():
                persistent = part == "_parameters" or not (
                    isinstance(hidden, set | frozenset | tuple) and name in hidden
                )
                if value is not None and persistent:
                    named = ".".join((*prefix, str(name)))
                    yield named, self.of(value, (*place, named))
        for name, module in _mapping(state["_modules"]).items():
            if not isinstance(module, Placeholder):
                continue
            inner = _state_of(module)
            if len(prefix) > _DEEPEST or next(self._objects, None) is None:
                raise PickleError("it refers to its own objects too often")
            if not all(isinstance(inner.get(part), Mapping) for part in _MODULE):
                raise PickleError(f"its module {'.'.join((*prefix, str(name)))} is no module")
            yield from self._entries(module.name, inner, (*prefix, str(name)), place)


def _state_of(value: Placeholder) -> Mapping[object, object]:
    """The attributes that a pickle gives an object; slots come after them in a pair."""
    state = value.state
    if isinstance(state, tuple) and len(state) == 2:
        return {**_mapping(state[0]), **_mapping(state[1])}
    if state is None and value.arguments:  # a mapping that it is made of
        state = value.arguments[0]
    return _mapping(state)


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}
