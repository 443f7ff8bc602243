"""State dicts: finds the network in what a training saved.

A training saves its state under `state_dict`, `model`, …, often an averaged copy (EMA) under
`state_dict_ema`, `model_ema`, `ema` or in a Lightning callback, and sometimes two networks in one
state dict. One of them is chosen, the averaged one only on request; where there are several, the
error names them, and nothing is guessed.
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
# Every residual network of the family has it, with any stem, block and classifier.
ANCHOR = "layer1.0.conv1.weight"


@dataclass(frozen=True)
class StateDict:
    """One network in a checkpoint: its place in the containers, and its tensors by clean name.

    `training_only` names the tensors of losses and metrics that were stored with it.
    """

    place: str
    tensors: Mapping[str, Tensor]
    averaged: bool
    training_only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The chosen network, and notices for the user."""

    network: StateDict
    notices: tuple[str, ...]


def choose(loaded: object, path: Path, *, ema: bool = False) -> Choice:
    """The network in the object loaded from `path`; with `ema`, its averaged copy.

    Raises `InputFileError` when there is none, or more than one.
    """
    found = list(_state_dicts(loaded, (), path))
    averaged = [each for each in found if each.averaged]
    plain = [each for each in found if not each.averaged]
    if not found:
        raise InputFileError(
            "contains no state dict (a mapping of parameter names to tensors)",
            where=path,
            remedy=SAVE_STATE,
        )
    if ema and not averaged:
        raise InputFileError(
            "contains no averaged copy (EMA) of the network", where=path, remedy="Omit --ema."
        )
    if not ema and not plain:
        raise InputFileError(
            f"contains only an averaged copy (EMA) of the network, in {_listed(averaged)}",
            where=path,
            remedy="Give --ema to use it.",
        )
    candidates = averaged if ema else plain
    if len(candidates) > 1:
        raise InputFileError(
            f"contains more than one network: {_listed(candidates)}",
            where=path,
            remedy="Save the state_dict() of the one you mean and give that file.",
        )
    network, notices = candidates[0], []
    if ema:
        notices.append(f"the averaged copy (EMA) in {network.place} is used")
    elif averaged:
        notices.append(
            f"{path} also contains an averaged copy (EMA), in {_listed(averaged)}; --ema uses it"
        )
    if network.training_only:
        names = shortened(network.training_only)
        notices.append(f"ignored in {path}, as not part of the network: {names}")
    return Choice(network, tuple(notices))


def _state_dicts(loaded: object, place: tuple[str, ...], path: Path) -> Iterator[StateDict]:
    """Every state dict in nested containers, depth first."""
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()  # only from a pickle that the user trusts
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
        yield from _state_dicts(loaded[key], (*place, key), path)
    if not inner and _is_state(loaded):
        yield from _networks(loaded, place, path)
    callbacks = loaded.get("callbacks")
    if isinstance(callbacks, Mapping):
        for name, callback in callbacks.items():
            # A callback matters for averages alone, and its name may be a line of arguments.
            label = re.split(r"\W", str(name), maxsplit=1)[0] or "callback"
            for found in _state_dicts(callback, (*place, "callbacks", label), path):
                if found.averaged:
                    yield found


def _is_state(loaded: Mapping[object, object]) -> bool:
    return bool(loaded) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    )


def _networks(
    state: Mapping[str, Tensor], place: tuple[str, ...], path: Path
) -> Iterator[StateDict]:
    """The network in a state dict, or several with different prefixes."""
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
        yield _state_dict(keys.clean(state), place)
        return
    grouped: dict[str, dict[str, Tensor]] = {root: {} for root in roots}
    for name, tensor in state.items():
        root = next((root for root in roots if name.startswith(root)), None)
        if root is not None:
            grouped[root][name] = tensor
        elif not keys.is_training_only(name):
            raise InputFileError(
                f"contains more than one network ({', '.join(sorted(roots))}), and {name}",
                where=path,
                remedy=SAVE_STATE,
            )
    for root, tensors in sorted(grouped.items()):
        within = {name.removeprefix(root): tensor for name, tensor in tensors.items()}
        yield _state_dict(keys.clean(within), (*place, *root.removesuffix(".").split(".")))


def _state_dict(cleaned: keys.Cleaned[Tensor], place: tuple[str, ...]) -> StateDict:
    averaged = any(_AVERAGED.fullmatch(key) for key in place)
    averaged = averaged or any(_AVERAGED.fullmatch(key) for key in cleaned.prefix.split("."))
    counters = {"n_averaged", "num_updates", "decay"}
    others = tuple(n for n in cleaned.training_only if n.rpartition(".")[2] not in counters)
    return StateDict(".".join(filter(None, place)), cleaned.tensors, averaged, others)


def shortened(names: tuple[str, ...] | list[str]) -> str:
    """At most ten names, and the number of the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _listed(networks: list[StateDict]) -> str:
    return shortened([each.place or "the names without a prefix" for each in networks])
