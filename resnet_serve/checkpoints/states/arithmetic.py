"""Arithmetic: what a pickled network computes between its tensors, against a network of the family.

    layer4.0.conv2   stride (1, 1)     resnet50 has (2, 2)
    bn1              eps 0.001         resnet50 has 1e-05
    layer1.0.relu    SiLU              resnet50 has ReLU

A state dict does not show strides, dilations, epsilons, activations and pools; a pickle of the
whole network does, in the attributes of its modules. Code in `forward` is not seen: `unseen` names
the classes whose code is not torch's, torchvision's, timm's or ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet_serve.architectures import Architecture, build
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
else:
    torch = optional("torch", extra="convert")

ATTRIBUTES = (
    *("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    *("eps", "ceil_mode", "count_include_pad", "output_size"),
)
_ANCHOR = "layer1.0.conv1"
_KINDS = ("torch.nn.modules.activation.", "torch.nn.modules.pooling.")
_KNOWN = (
    *("torch.nn.", "torchvision.models.resnet.", "torchvision.ops.misc.", "timm.models.resnet."),
    *("timm.layers.", "timm.models.layers.", "resnet_serve.architectures."),
)
# Classes of other packages that change what a residual network computes, and hold no weights.
_OTHER_ARITHMETIC = re.compile(r"blur|anti_?alias|gem(pool)?$|attn|attention|cbam|squeeze", re.I)
_LAYERS = ("Conv2d", "BatchNorm2d", "Linear")
# What computes the same wherever it stands in a network of the family.
_ANYWHERE = ("ReLU", "AdaptiveAvgPool2d", "Identity")
# And what computes the same in place of another: over the whole map, as the first ResNets had it,
_POOLED = ("AvgPool2d", "AdaptiveAvgPool2d")
# and with the same eps.
_NORMS = (("SyncBatchNorm", "BatchNorm2d"), ("FrozenBatchNorm2d", "BatchNorm2d"))


@dataclass(frozen=True)
class PickledModule:
    """A module of a pickled network: the name of its class, and those of its `ATTRIBUTES`."""

    kind: str
    attributes: Mapping[str, object]


def conflicts(modules: Mapping[str, PickledModule], architecture: Architecture) -> tuple[str, ...]:
    """Where a pickled network computes something else than the architecture, as texts.

    Empty where there is no pickled network, and where its names are another library's.
    """
    inside = _network(modules)
    if not inside:
        return ()
    with torch.device("meta"):
        ours = dict(build(architecture).named_modules())
    return tuple(
        text
        for name, module in inside.items()
        for text in _of_module(name, module, ours.get(name), architecture.name)
    )


def unseen(modules: Mapping[str, PickledModule]) -> tuple[str, ...]:
    """The names of the classes in a pickled network whose `forward` is code of its own."""
    kinds = {each.kind for each in _network(modules).values() if not each.kind.startswith(_KNOWN)}
    return tuple(sorted({kind.rpartition(".")[2] for kind in kinds}))


def pickled(modules: Mapping[str, PickledModule]) -> bool:
    """Whether there are the modules of a network, with names that are known here."""
    return bool(_network(modules))


def _network(modules: Mapping[str, PickledModule]) -> dict[str, PickledModule]:
    """The modules of the network by the names that they have in it."""
    root = next((name[: -len(_ANCHOR)] for name in modules if _ends(name, _ANCHOR)), None)
    if root is None:
        return {}
    # The network itself has the name of its place, without the last dot.
    found = {name: each for name, each in modules.items() if f"{name}.".startswith(root)}
    return {name[len(root) :]: each for name, each in found.items()}


def _of_module(name: str, module: PickledModule, own: Any, row: str) -> Iterator[str]:
    kind = module.kind.rpartition(".")[2]
    expected = type(own).__name__
    if own is None and _OTHER_ARITHMETIC.search(kind):
        yield f"{name} is {kind}, which {row} does not have"
        return
    if kind != expected and (kind, expected) not in _NORMS:
        decides = module.kind.startswith(_KINDS) or expected in _LAYERS
        if decides and kind not in _ANYWHERE and (kind, expected) != _POOLED:
            yield f"{name} is {kind}" + ("" if own is None else f", {row} has {expected}")
        return
    for attribute, value in module.attributes.items():
        mine = getattr(own, attribute, None)
        if mine is not None and _pair(value) != _pair(mine):
            yield f"{name} has {attribute} {value}, {row} has {mine}"


def _pair(value: object) -> object:
    """3 and (3, 3) are the same."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value,)
    return pair * 2 if len(pair) == 1 else pair


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")
