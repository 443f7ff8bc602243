"""Containers: every mapping with tensors in the nested objects that a training saved.

    {"epoch": 3, "model": {"state_dict": {…}}, "models": [{…}, {…}], "callbacks": {"EMA": {…}}}

Containers are mappings, lists and modules; the states of optimizers and schedulers are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

NAMED = 10
_DEEPEST = 8
_MOST_CONTAINERS = 10_000
_AVERAGED = re.compile(r"ema|ema_\w+|\w+_ema|shadow|averaged_model|swa_model")
# What a training keeps for itself; the state of an optimizer has the names of the network.
_NO_NETWORK = re.compile(r"opt|optim\w*|\w*optimizer\w*|\w*sched\w*|\w*scaler\w*|amp|rng\w*|loops")


@dataclass(frozen=True)
class Saved:
    """A mapping with tensors in what was saved: its place in the containers, and its entries.

    `others` names what is neither a tensor nor a container, such as an epoch.
    """

    place: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether a container is named as that of an averaged copy."""
        return is_averaged(self.place)


def found(loaded: object) -> list[Saved]:
    """Every mapping with tensors in nested containers, depth first."""
    return list(_found(loaded, (), set(), iter(range(_MOST_CONTAINERS))))


def _found(
    loaded: object, place: tuple[str, ...], above: set[int], budget: Iterator[int]
) -> Iterator[Saved]:
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()  # only from a pickle that the user trusts
    if isinstance(loaded, list | tuple):
        loaded = {str(number): each for number, each in enumerate(loaded)}
        if not all(isinstance(each, Mapping | torch.nn.Module) for each in loaded.values()):
            return
    if not isinstance(loaded, Mapping) or id(loaded) in above or len(place) > _DEEPEST:
        return
    if next(budget, None) is None:  # a file may refer to one container from any number of places
        return
    above = above | {id(loaded)}
    named = {name: value for name, value in loaded.items() if isinstance(name, str)}
    inner: list[Saved] = []
    for key, value in named.items():
        if key == "callbacks" and isinstance(value, Mapping):
            inner += _in_callbacks(value, place, above, budget)
        elif not _NO_NETWORK.fullmatch(key):
            inner += _found(value, (*place, key), above, budget)
    yield from inner
    tensors = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    # A tensor beside containers may be an accuracy; the entries of a module have dots.
    if tensors and (not inner or any("." in name for name in tensors)):
        held = {each.place[len(place)] for each in inner}
        others = [n for n in named if n not in tensors and n not in held and n != "callbacks"]
        yield Saved(place, tensors, tuple(others))


def _in_callbacks(
    callbacks: Mapping[object, object],
    place: tuple[str, ...],
    above: set[int],
    budget: Iterator[int],
) -> Iterator[Saved]:
    """The averages that callbacks keep; the name of one may be a line of arguments."""
    for name, callback in callbacks.items():
        label = re.split(r"\W", str(name), maxsplit=1)[0] or "callback"
        for each in _found(callback, (*place, "callbacks", label), above, budget):
            if each.averaged:
                yield each


def is_averaged(place: Sequence[str]) -> bool:
    """Whether one of the names is that of an averaged copy."""
    return any(_AVERAGED.fullmatch(name) for name in place)


def shortened(names: Sequence[str]) -> str:
    """At most ten names, and the number of the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
