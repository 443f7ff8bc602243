"""State dicts: finds the network in what a training saved.

A training saves its state under `state_dict`, `model`, `student`, …, often an averaged copy (EMA)
under `state_dict_ema`, `model_ema`, `ema` or in a Lightning callback, and sometimes two networks in
one state dict. One of them is chosen, the averaged one only on request, one of several only by its
key; the error names them, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.checkpoints import keys
from resnet_serve.checkpoints.states.containers import Saved, found, is_averaged, shortened
from resnet_serve.checkpoints.states.selection import choosing, listed, none_in, one_of
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

_CONTAINERS = frozenset(
    (
        *("state_dict", "model_state_dict", "model_state", "weights", "params"),
        *("model", "network", "net", "module"),
    )
)
# What is counted of an average.
_COUNTERS = frozenset(("n_averaged", "num_updates", "decay"))
# Every residual network of the family has it, with any stem, block and classifier.
ANCHOR = "layer1.0.conv1.weight"
# The same in the names of other libraries (`naming`).
_ANCHORS = (
    ANCHOR,
    "stages.0.blocks.0.conv1.weight",
    "embedder.embedder.convolution.weight",
    "conv2_x.0.residual_function.0.weight",
)


@dataclass(frozen=True)
class StateDict:
    """One network in a checkpoint: its place in the containers, and its tensors by clean name.

    `training_only` are the tensors of losses and metrics that were stored with it, `others` the
    names of entries that are no tensors, and `outside` those of tensors that belong to none of the
    networks that were stored together.
    """

    place: str
    tensors: Mapping[str, Tensor]
    averaged: bool
    training_only: Mapping[str, Tensor] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The chosen network, and notices for the user."""

    network: StateDict
    notices: tuple[str, ...]


def choose(loaded: object, path: Path, *, ema: bool = False, key: str | None = None) -> Choice:
    """The network of the family in the object loaded from `path`.

    With `ema` it is the averaged copy, with `key` the one in that place. Raises `InputFileError`
    when there is none, or more than one.
    """
    saved = found(loaded)
    likely = saved if key is not None else _likely(saved)
    networks = [network for each in likely for network in _networks(each)]
    if not networks:
        raise none_in(path, loaded)
    network, notices = one_of(networks, path, ema=ema, key=key)
    if network.outside and key is None:
        raise InputFileError(
            f"contains more than one network ({listed(networks)}), and "
            f"{shortened(network.outside)}",
            where=path,
            remedy=f"{choosing(networks)}. If they are parts of one network, give --module with "
            "its code.",
        )
    unlikely = (
        ".".join(each.place)
        for each in saved
        if each not in likely and not _COUNTERS.issuperset(each.tensors)
    )
    beside = (*network.training_only, *network.others, *network.outside, *unlikely)
    if beside:
        notices += (f"ignored in {path}, as not part of the network: {shortened(beside)}",)
    _check_beside(network, path)
    return Choice(network, notices)


def _likely(saved: list[Saved]) -> list[Saved]:
    """Those that can be the network: by the name of the container, or by its own names."""
    usual = [
        each
        for each in saved
        if all(name in _CONTAINERS or is_averaged((name,)) for name in each.place)
        or "callbacks" in each.place
        or any(name.endswith(_ANCHORS) for name in each.tensors)
    ]
    # Of a container around the network, the tensors at its side are not another network.
    networks = [each for each in usual if any(n.endswith(_ANCHORS) for n in each.tensors)]
    return networks or usual or saved


def _networks(saved: Saved) -> Iterator[StateDict]:
    """The network in a state dict, or several with different prefixes."""
    roots = sorted(
        (
            name.removesuffix(ANCHOR)
            for name in saved.tensors
            if name == ANCHOR or name.endswith(f".{ANCHOR}")
        ),
        key=len,
        reverse=True,
    )
    if len(roots) < 2:
        yield _state_dict(keys.clean(saved.tensors), saved, saved.place)
        return
    grouped: dict[str, dict[str, Tensor]] = {root: {} for root in roots}
    outside: list[str] = []
    for name, tensor in saved.tensors.items():
        root = next((root for root in roots if name.startswith(root)), None)
        if root is not None:
            grouped[root][name] = tensor
        elif not keys.is_training_only(name):
            outside.append(name)
    for root, tensors in sorted(grouped.items()):
        within = {name.removeprefix(root): tensor for name, tensor in tensors.items()}
        place = (*saved.place, *filter(None, root.removesuffix(".").split(".")))
        yield _state_dict(keys.clean(within), saved, place, tuple(outside))


def _state_dict(
    cleaned: keys.Cleaned[Tensor],
    saved: Saved,
    place: tuple[str, ...],
    outside: tuple[str, ...] = (),
) -> StateDict:
    averaged = is_averaged((*place, *cleaned.prefix.split(".")))
    others = {
        name: tensor
        for name, tensor in cleaned.training_only.items()
        if name.rpartition(".")[2] not in _COUNTERS
    }
    named = ".".join(filter(None, place))
    return StateDict(named, cleaned.tensors, averaged, others, saved.others, outside)


def _check_beside(network: StateDict, path: Path) -> None:
    """Refuse to leave out a layer that may come after the classifier, as that of ArcFace."""
    last = network.tensors.get("fc.weight")
    for name, tensor in network.training_only.items():
        if last is None or not (tensor.ndim == 2 and tensor.is_floating_point()):
            continue
        if tensor.shape[1] == last.shape[0]:
            raise InputFileError(
                f"{name} {list(tensor.shape)} may be a layer after fc {list(last.shape)}, by its "
                "shape",
                where=path,
                remedy="If it is one, give --module with the code of the network; if not, save "
                "the network's state_dict() without it.",
            )
