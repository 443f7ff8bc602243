"""Which part of a checkpoint is the network.

A training saves its state under `state_dict`, `model`, …, often an averaged copy (EMA) under
`state_dict_ema`, `model_ema`, `ema` or in a Lightning callback, and sometimes two networks in one
state dict. One of them is taken, the averaged one only where it is asked for; where more than one
could be meant, the candidates are named and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.checkpoints import keys
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

SAVE_STATE = "Save the network's state_dict() and give that file."
NAMED = 10
_CONTAINERS = frozenset(
    (
        *("state_dict", "model_state_dict", "model_state", "weights", "params"),
        *("model", "network", "net", "module"),
    )
)
_AVERAGED = re.compile(r"ema|ema_\w+|\w+_ema|shadow|averaged_model|swa_model")
# Every residual network of the family has it, whatever its stem, block and classifier.
ANCHOR = "layer1.0.conv1.weight"


@dataclass(frozen=True)
class Part:
    """One network in a checkpoint: where it lies, its tensors by clean name, what is beside it."""

    place: str
    tensors: Mapping[str, Tensor]
    averaged: bool
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The network that was taken, and what its user should be told."""

    part: Part
    notices: tuple[str, ...]


def choose(loaded: object, path: Path, *, ema: bool = False) -> Choice:
    """The network in what was loaded from `path`; the averaged copy when `ema` asks for it.

    Raises `InputFileError` when there is none, or more than one.
    """
    parts = list(_parts(loaded, (), path))
    averaged = [part for part in parts if part.averaged]
    plain = [part for part in parts if not part.averaged]
    if not parts:
        raise InputFileError(
            "holds no state dict (a mapping of parameter names to tensors)",
            where=path,
            remedy=SAVE_STATE,
        )
    if ema and not averaged:
        raise InputFileError(
            "holds no averaged copy (EMA) of the network", where=path, remedy="Leave out --ema."
        )
    if not ema and not plain:
        raise InputFileError(
            f"holds only an averaged copy (EMA) of the network, in {_listed(averaged)}",
            where=path,
            remedy="Give --ema to take it.",
        )
    candidates = averaged if ema else plain
    if len(candidates) > 1:
        raise InputFileError(
            f"holds more than one network: {_listed(candidates)}",
            where=path,
            remedy="Save the state_dict() of the one you mean and give that file.",
        )
    part, notices = candidates[0], []
    if ema:
        notices.append(f"the averaged copy (EMA) in {part.place} was taken")
    elif averaged:
        notices.append(
            f"{path} holds an averaged copy (EMA) too, in {_listed(averaged)}; --ema takes it"
        )
    if part.beside:
        left = shortened(part.beside)
        notices.append(f"left out of {path}, being no part of the network: {left}")
    return Choice(part, tuple(notices))


def _parts(loaded: object, place: tuple[str, ...], path: Path) -> Iterator[Part]:
    """Every state dict in nested containers, depth first."""
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()  # only from a pickle that its user trusts
    if not isinstance(loaded, Mapping):
        return
    inner = [
        key
        for key, value in loaded.items()
        if isinstance(key, str)
        and (key in _CONTAINERS or _AVERAGED.fullmatch(key))
        and isinstance(value, Mapping | torch.nn.Module)
    ]
    for key in inner:
        yield from _parts(loaded[key], (*place, key), path)
    if not inner and _is_state(loaded):
        yield from _networks(loaded, place, path)
    callbacks = loaded.get("callbacks")
    if isinstance(callbacks, Mapping):
        for name, callback in callbacks.items():
            # Of a callback only averages are wanted, and its name may be a line of arguments.
            label = re.split(r"\W", str(name), maxsplit=1)[0] or "callback"
            for part in _parts(callback, (*place, "callbacks", label), path):
                if part.averaged:
                    yield part


def _is_state(loaded: Mapping[object, object]) -> bool:
    return bool(loaded) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    )


def _networks(state: Mapping[str, Tensor], place: tuple[str, ...], path: Path) -> Iterator[Part]:
    """The network in a state dict, or the several whose names begin differently."""
    state = {name: tensor.detach() for name, tensor in state.items()}
    roots = sorted(
        (
            name.removesuffix(ANCHOR)
            for name in state
            if name == ANCHOR or name.endswith(f".{ANCHOR}")
        ),
        key=len,
        reverse=True,
    )
    if len(roots) < 2:
        yield _part(keys.clean(state), place)
        return
    grouped: dict[str, dict[str, Tensor]] = {root: {} for root in roots}
    for name, tensor in state.items():
        root = next((root for root in roots if name.startswith(root)), None)
        if root is not None:
            grouped[root][name] = tensor
        elif not keys.is_beside(name):
            raise InputFileError(
                f"holds more than one network ({', '.join(sorted(roots))}) and {name} outside them",
                where=path,
                remedy=SAVE_STATE,
            )
    for root, tensors in sorted(grouped.items()):
        within = {name.removeprefix(root): tensor for name, tensor in tensors.items()}
        yield _part(keys.clean(within), (*place, *root.removesuffix(".").split(".")))


def _part(cleaned: keys.Cleaned[Tensor], place: tuple[str, ...]) -> Part:
    averaged = any(_AVERAGED.fullmatch(key) for key in place)
    averaged = averaged or any(_AVERAGED.fullmatch(key) for key in cleaned.prefix.split("."))
    counters = {"n_averaged", "num_updates", "decay"}
    beside = tuple(name for name in cleaned.beside if name.rpartition(".")[2] not in counters)
    return Part(".".join(filter(None, place)), cleaned.tensors, averaged, beside)


def shortened(names: tuple[str, ...] | list[str]) -> str:
    """At most ten names, and how many there are beyond."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _listed(parts: list[Part]) -> str:
    return shortened([part.place or "the names without a prefix" for part in parts])
