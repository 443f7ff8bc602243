"""Training forms: weights as a training keeps them, brought to the form of inference or refused.

    fc.weight_orig, fc.weight_mask             pruning: their product is the weight, exactly
    conv1.activation_post_process.min_val      an observer's record, which computes nothing
    conv1.weight_fake_quant.scale              fake quantization: refused unless it is switched off
    fc.parametrizations.weight.original0       a reparametrisation: refused
    fc.weight_g, fc.weight_v                   weight normalisation: refused
    fc.lora_A.default.weight                   a LoRA adapter: refused
    fc.scale, fc.zero_point                    a layer that was converted to INT8: refused

What is refused computes something else than the weights alone, and only the code that made it knows
what; the error names the call that makes it plain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.errors import InputFileError, Note

if TYPE_CHECKING:
    from torch import Tensor

_ORIGINAL, _MASK = "_orig", "_mask"
_PARAMETRIZED = re.compile(r"(?P<layer>.*)\.parametrizations\.(?P<name>\w+)\.(original\d*|\d+\..*)")
_LORA = re.compile(r"(.*\.)?(lora_\w+|base_layer|modules_to_save)(\..*)?")
_SWITCH = "fake_quant_enabled"
_QUANTIZER = re.compile(r"(.*?)((weight|bias)_fake_quant|activation_post_process(_\d+)?)\.(.*)")
# What FakeQuantize has and an observer alone has not.
_FAKE = {_SWITCH, "scale", "zero_point"}


@dataclass(frozen=True)
class Plain:
    """The tensors in the form of inference, and notices for the user."""

    tensors: dict[str, Tensor]
    notices: tuple[str, ...] = ()


def plain(tensors: Mapping[str, Tensor], path: Path) -> Plain:
    """The tensors in the form of inference; raises `InputFileError` for a form that needs code."""
    found = dict(tensors)
    _check_adapters(found, path)
    _check_parametrizations(found, path)
    _check_converted(found, path)
    notices = (*_pruned(found, path), *_observers(found, path))
    return Plain(found, notices)


def _pruned(found: dict[str, Tensor], path: Path) -> tuple[str, ...]:
    """Apply the masks of `torch.nn.utils.prune`, whose weight is the product."""
    masked = [
        name.removesuffix(_MASK)
        for name in found
        if name.endswith(_MASK) and f"{name.removesuffix(_MASK)}{_ORIGINAL}" in found
    ]
    for name in masked:
        original, mask = found[f"{name}{_ORIGINAL}"], found[f"{name}{_MASK}"]
        if name in found or original.shape != mask.shape:
            raise InputFileError(
                f"{name}{_ORIGINAL} and {name}{_MASK} are not one pruned tensor",
                where=path,
                remedy="Call torch.nn.utils.prune.remove(layer, 'weight') for each pruned layer "
                "and save the state_dict().",
            )
        # In its place, so that the order stays that of the layers.
        names = {f"{name}{_ORIGINAL}": name}
        value = mask.to(original.dtype) * original
        kept = {
            names.get(each, each): value if each in names else tensor
            for each, tensor in found.items()
            if each != f"{name}{_MASK}"
        }
        found.clear()
        found.update(kept)
    if not masked:
        return ()
    said = f"{path} is pruned: {_counted(masked)} taken as weight_orig × weight_mask"
    return (Note(f"{said}, which is what prune.remove does"),)


def _observers(found: dict[str, Tensor], path: Path) -> tuple[str, ...]:
    """Leave out what observers recorded and fake quantizers that are switched off."""
    groups: dict[str, dict[str, str]] = {}
    for name in found:
        match = _QUANTIZER.fullmatch(name)
        if match:
            groups.setdefault(f"{match[1]}{match[2]}", {})[match[5]] = name
    for place, entries in groups.items():
        switch = entries.get(_SWITCH)
        off = switch is not None and not found[switch].any()
        if _FAKE & entries.keys() and not off:
            raise InputFileError(
                f"comes from quantization-aware training: {place} quantizes while the network "
                "computes, which its weights alone do not",
                where=path,
                remedy="To convert the FP32 network of these weights: torch.save({name: tensor for "
                "name, tensor in state.items() if 'fake_quant' not in name and "
                "'activation_post_process' not in name}, 'fp32.pth')",
            )
    left_out = [name for entries in groups.values() for name in entries.values()]
    for name in left_out:
        del found[name]
    if not left_out:
        return ()
    said = f"ignored in {path}, as records of quantization observers, which compute nothing"
    return (Note(f"{said}: {_counted(left_out)}"),)


def _check_parametrizations(found: Mapping[str, Tensor], path: Path) -> None:
    layers = {
        (match["layer"], match["name"])
        for name in found
        if (match := _PARAMETRIZED.fullmatch(name))
    }
    if layers:
        layer, name = min(layers)
        raise InputFileError(
            f"{_layers(len(layers))} parametrized, {layer} first: its {name} is computed from "
            f"{layer}.parametrizations.{name}",
            where=path,
            remedy="In the network call torch.nn.utils.parametrize.remove_parametrizations("
            f"layer, {name!r}) for each, and save its state_dict().",
        )
    for kind, parts, call in (
        ("weight-normalised", ("_g", "_v"), "remove_weight_norm(layer)"),
        ("spectrally normalised", ("_orig", "_u"), "remove_spectral_norm(layer)"),
    ):
        names = [
            name.removesuffix(parts[0])
            for name in found
            if name.endswith(f"weight{parts[0]}") and name[: -len(parts[0])] + parts[1] in found
        ]
        if names:
            raise InputFileError(
                f"{_layers(len(names))} {kind}, {names[0].rpartition('.')[0]} first: its weight is "
                f"computed from weight{parts[0]} and weight{parts[1]}",
                where=path,
                remedy=f"In the network call torch.nn.utils.{call} for each, and save its "
                "state_dict().",
            )


def _check_converted(found: Mapping[str, Tensor], path: Path) -> None:
    """Refuse layers of torch.ao.quantization, whose weights are integers or packed."""
    layers = [
        name.removesuffix(".zero_point")
        for name in found
        if name.endswith(".zero_point") and f"{name.removesuffix('zero_point')}scale" in found
    ]
    layers = [name for name in layers if not _QUANTIZER.fullmatch(f"{name}.")]
    if layers:
        raise InputFileError(
            f"{_layers(len(layers))} quantized already, {layers[0]} first: its weights are not "
            "those that were trained",
            where=path,
            remedy="Give the FP32 checkpoint from before that; --precision int8 quantizes it.",
        )


def _check_adapters(found: Mapping[str, Tensor], path: Path) -> None:
    adapters = [name for name in found if _LORA.fullmatch(name)]
    if not adapters:
        return
    alone = len(adapters) == len(found)
    what = "holds a LoRA adapter alone, without the network" if alone else "holds a LoRA adapter"
    raise InputFileError(
        f"{what}: {_counted(adapters)}",
        where=path,
        remedy="Merge the LoRA: network = peft_model.merge_and_unload(), then save "
        "network.state_dict().",
    )


def _layers(count: int) -> str:
    return "1 layer is" if count == 1 else f"{count} layers are"


def _counted(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
