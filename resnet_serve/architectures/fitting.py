"""Fitting: whether a state dict fits a network of the family, and which network it looks like."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from resnet_serve.architectures import ARCHITECTURES, Architecture, build
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional
from resnet_serve.preprocessing import CHANNELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")


OWN = "If it is a network of your own, give --module package.module:factory with its code."
MOST_KEYS = 10  # listed in an error
# Checkpoints from before PyTorch 0.4.1 have no batch counters, and evaluation does not need them.
_COUNTER = "num_batches_tracked"
_STATISTICS = (".running_mean", ".running_var")
_STAGES = ("layer1", "layer2", "layer3", "layer4")


def fitting(state: dict[str, Tensor], architecture: Architecture, path: Path) -> dict[str, Tensor]:
    """The state dict in the order of the architecture, which it must fit exactly.

    Raises `InputFileError` with the network that it looks like, and for values that are not finite.
    """
    wanted = _wanted(architecture)
    details = disagreements(state, wanted)
    if not details:
        check_finite(state, path)
        counter = torch.zeros((), dtype=torch.int64)
        return {name: state.get(name, counter) for name in wanted}
    _check_channels(state, path)
    _check_fractions(state, wanted, path)
    fits = candidates(state)
    remedy = f"Give --arch {fits[0].name}." if fits else _renamed(state, wanted) + OWN
    raise InputFileError(
        f"does not fit {described(architecture)}: {looks_like(state)} ({listed(details)})",
        where=path,
        remedy=remedy,
    )


def disagreements(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    counters: Collection[str] | None = None,
) -> list[str]:
    """Every missing, unexpected or different tensor, as text; empty where it fits.

    A tensor is different by its shape, or where one holds integers and the other fractions.
    `counters` may be missing, by default all of BatchNorm's name for them.
    """
    if counters is None:
        counters = {name for name in wanted if name.endswith(_COUNTER)}
    missing = [name for name in wanted if name not in state and name not in counters]
    extra = [name for name in state if name not in wanted]
    shared = [name for name in wanted if name in state]
    wrong = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in shared
        if state[name].shape != wanted[name].shape
    ]
    wrong += [
        f"{name} is {_dtype(state[name])}, not {_dtype(wanted[name])}"
        for name in shared
        if state[name].is_floating_point() != wanted[name].is_floating_point()
    ]
    return wrong + [f"{n} is missing" for n in missing] + [f"{n} is unexpected" for n in extra]


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def listed(details: Sequence[str]) -> str:
    """At most ten disagreements, and the number of the others."""
    more = f"; and {len(details) - MOST_KEYS} more" if len(details) > MOST_KEYS else ""
    return "; ".join(details[:MOST_KEYS]) + more


def inferred(state: Mapping[str, Tensor], path: Path) -> Architecture:
    """The row that a state dict fits by names and shapes, with its classes and channels.

    It is the first of `candidates`. Raises `InputFileError` where none fits.
    """
    found = candidates(state)
    if found:
        return found[0]
    _check_channels(state, path)
    nearest = next(_alike(state), None)
    if nearest is None:
        names = ", ".join(list(state)[:5])
        raise InputFileError(
            f"its architecture cannot be inferred: {looks_like(state)}: {names}, …",
            where=path,
            remedy=OWN,
        )
    wanted = _wanted(nearest)
    details = disagreements(state, wanted)
    raise InputFileError(
        f"its architecture cannot be inferred: {looks_like(state)}; of {described(nearest)}, the "
        f"nearest, {len(details)} differ: {listed(details)}",
        where=path,
        remedy=_renamed(state, wanted) + OWN,
    )


def _renamed(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The call that renames the only tensor whose name is not the network's; or nothing."""
    missing = [name for name in wanted if name not in state and not name.endswith(_COUNTER)]
    extra = [name for name in state if name not in wanted]
    if len(missing) != 1 or len(extra) != 1 or state[extra[0]].shape != wanted[missing[0]].shape:
        return ""
    return (
        f"If {extra[0]} is {missing[0]}: torch.save({{name.replace({extra[0]!r}, {missing[0]!r}): "
        "tensor for name, tensor in state.items()}, 'net.pth'). "
    )


def _check_fractions(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Refuse integers in the place of weights: another program's quantization."""
    for name, tensor in state.items():
        weight = name in wanted and wanted[name].is_floating_point()
        if weight and not tensor.is_floating_point():
            raise InputFileError(
                f"{name} holds integers ({_dtype(tensor)}), not the values of a weight",
                where=path,
                remedy="Dequantize it as the program that wrote it does, with its scale, and save "
                "again: state[name] = state[name].float() * scale",
            )


def _check_channels(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a first convolution for images that no file holds."""
    channels = _channels(state)
    if channels and channels not in CHANNELS:
        kinds = " or ".join(str(number) for number in sorted(CHANNELS))
        raise InputFileError(
            f"its first convolution takes images of {channels} channels; images here have {kinds}",
            where=path,
            remedy="Give --module with a network of 3 channels that makes the others of them, as "
            "torch.cat([x, x.mean(1, keepdim=True)], 1) makes a fourth.",
        )


def candidates(state: Mapping[str, Tensor]) -> tuple[Architecture, ...]:
    """Every row that fits by names and shapes, in the order of the table: torchvision's first.

    Several fit where only the arithmetic differs: resnet50 (v1.5) and resnet50v1, or resnet20 and
    plain20.
    """
    shapes = {name: t.shape for name, t in state.items() if not name.endswith(_COUNTER)}
    parameters = sum(shape.numel() for n, shape in shapes.items() if not n.endswith(_STATISTICS))
    rows = _alike(state)
    # Comparing parameter counts is fast; building a network is not, even on the meta device.
    return tuple(r for r in rows if r.parameters == parameters and _shapes(r) == shapes)


def _alike(state: Mapping[str, Tensor]) -> Iterator[Architecture]:
    """The rows with as many blocks of the same kind per stage, and the file's own ends."""
    classes, channels = _size(state, "fc.weight", 0), _channels(state)
    if not classes or channels not in CHANNELS:
        return
    depths = tuple(depth for depth in map(len, _blocks(state)) if depth)
    block = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    for row in ARCHITECTURES.values():
        if (row.block, row.depths) == (block, depths):
            yield row.with_classes(classes).with_channels(channels)


def looks_like(state: Mapping[str, Tensor]) -> str:
    """The network of the family that fits a state dict by names and shapes, as text."""
    found = candidates(state)
    if not found:
        return f"this is not a network of the family ({len(state)} tensors)"
    others = ", ".join(row.name for row in found[1:])
    return f"this is a {described(found[0])}" + (f" (or {others})" if others else "")


def described(architecture: Architecture) -> str:
    """`resnet34 with 100 classes`, and the channels of its images unless they are three."""
    channels = architecture.channels
    images = f" and {channels}-channel images" if channels != 3 else ""
    classes = "class" if architecture.classes == 1 else "classes"
    return f"{architecture.name} with {architecture.classes} {classes}{images}"


@lru_cache(128)
def _wanted(architecture: Architecture) -> Mapping[str, Tensor]:
    """The state dict of a network, of tensors without values."""
    with torch.device("meta"):
        return MappingProxyType(build(architecture).state_dict())


def _shapes(architecture: Architecture) -> dict[str, torch.Size]:
    state = _wanted(architecture)
    return {name: t.shape for name, t in state.items() if not name.endswith(_COUNTER)}


def _blocks(names: Iterable[str]) -> tuple[set[str], ...]:
    """The block numbers of the four stages."""
    found: tuple[set[str], ...] = (set(), set(), set(), set())
    for name in names:
        stage, _, rest = name.partition(".")
        if stage in _STAGES:
            found[_STAGES.index(stage)].add(rest.partition(".")[0])
    return found


def _channels(state: Mapping[str, Tensor]) -> int:
    return _size(state, "conv1.weight", 1) or _size(state, "conv1.0.weight", 1)


def _size(state: Mapping[str, Tensor], name: str, dimension: int) -> int:
    """One dimension of a layer's weight; 0 where there is no such layer or dimension."""
    shape = state[name].shape if name in state else ()
    return shape[dimension] if len(shape) > dimension else 0


def check_finite(state: Mapping[str, Tensor], path: Path | str) -> None:
    """Raise `InputFileError` with the name of the first tensor that has a NaN or an infinity."""
    for name, tensor in state.items():
        if torch.isfinite(tensor).all():
            continue
        # FP16 has no numbers above 65504: larger ones, often variances, became infinite.
        if tensor.dtype == torch.float16 and not tensor.isnan().any():
            raise InputFileError(
                f"{name} contains infinities: FP16 overflowed when it was saved (its largest "
                "number is 65504)",
                where=path,
                remedy="Save the FP32 weights, before .half().",
            )
        raise InputFileError(
            f"{name} contains values that are not finite (NaN or infinity)",
            where=path,
            remedy="The training has diverged; use an earlier checkpoint.",
        )
