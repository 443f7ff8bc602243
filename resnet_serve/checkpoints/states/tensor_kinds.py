"""Tensor kinds: tensors that are not plain arrays of real numbers, refused by name.

A sparse, quantized, nested or distributed tensor has the name and shape of the weight that it
stands for, but not its numbers in memory. Each kind has one call that makes it a plain tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

META = "a meta tensor, which has a shape and no values"
# How a distributed or wrapped tensor becomes a plain one, by the name of its class.
_CALLS = {"DTensor": ".full_tensor()", "ShardedTensor": ".full_tensor()"}


def kind(tensor: Tensor) -> tuple[str, str] | None:
    """What a tensor is that is not plain, and the call that makes it so; None for a plain one.

    The call is empty where there is none.
    """
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        name = type(tensor).__name__
        return f"a {name}", _CALLS.get(name, ".dequantize()" if "Quant" in name else "")
    if tensor.is_quantized:
        return f"quantized ({_name(tensor)})", ".dequantize()"
    if tensor.is_nested:
        return "a nested tensor", ""
    if tensor.is_meta:
        return META, ""
    if tensor.layout is not torch.strided:
        layout = str(tensor.layout).removeprefix("torch.").replace("_", " ")
        return f"a sparse tensor ({layout})", ".to_dense()"
    if tensor.is_complex():
        return f"complex ({_name(tensor)})", ".real"
    if tensor.is_floating_point() and tensor.element_size() < 2:
        return f"of eight bits ({_name(tensor)})", ".float()"
    return None


def check(tensors: Mapping[str, Tensor], where: object) -> None:
    """Raise `InputFileError` for the first tensor that is not plain, with how to make it so."""
    for name, tensor in tensors.items():
        found = kind(tensor)
        if found is None:
            continue
        what, call = found
        number = sum(kind(each) is not None for each in tensors.values())
        others = f", as are {number - 1} others of its kind or another" if number > 1 else ""
        raise InputFileError(
            f"{name} is {what}{others}: plain tensors of numbers are needed",
            where=where,
            remedy=_remedy(what, call),
        )


def _remedy(what: str, call: str) -> str:
    if what == META:
        return "Save the state_dict() of a network whose weights were loaded on the CPU or a GPU."
    if call == ".real":
        return "Only real weights can be converted: if the imaginary parts are zero, save .real."
    if call == ".float()":
        return (
            "Save its .float(), multiplied by its scale where the file has one: "
            "state[name] = state[name].float()"
        )
    if call:
        return f"Make it plain and save again: state[name] = state[name]{call}"
    return "Save a state_dict() of plain tensors: state[name] = torch.tensor(…) of its values."


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
