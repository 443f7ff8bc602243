"""Tensors that are not plain: refused by name, and the call in the remedy makes them plain."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_serve.checkpoints.reading import read
from resnet_serve.checkpoints.states.tensor_kinds import check
from resnet_serve.errors import InputFileError

WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])


class Masked(torch.Tensor):
    """A tensor subclass, as libraries define them."""


def quantized(scheme: torch.qscheme, kind: torch.dtype) -> Tensor:
    if scheme == torch.per_channel_affine:
        zeros = torch.zeros(2, dtype=torch.int64)
        return torch.quantize_per_channel(WEIGHT, torch.full((2,), 0.5), zeros, 0, kind)
    return torch.quantize_per_tensor(WEIGHT, 0.5, 0, kind)


# Each kind, what the error calls it, and the call that makes it plain.
CALLABLE: dict[str, tuple[Callable[[], Tensor], str]] = {
    "sparse coo": (WEIGHT.to_sparse, "a sparse tensor (sparse coo)"),
    "sparse csr": (WEIGHT.to_sparse_csr, "a sparse tensor (sparse csr)"),
    "sparse csc": (WEIGHT.to_sparse_csc, "a sparse tensor (sparse csc)"),
    "sparse bsr": (lambda: WEIGHT.to_sparse_bsr((1, 1)), "a sparse tensor (sparse bsr)"),
    "qint8": (lambda: quantized(torch.per_tensor_affine, torch.qint8), "quantized (qint8)"),
    "quint8": (lambda: quantized(torch.per_tensor_affine, torch.quint8), "quantized (quint8)"),
    "qint32": (lambda: quantized(torch.per_tensor_affine, torch.qint32), "quantized (qint32)"),
    "per channel": (
        lambda: quantized(torch.per_channel_affine, torch.qint8),
        "quantized (qint8)",
    ),
    "complex": (lambda: torch.complex(WEIGHT, WEIGHT * 0), "complex (complex64)"),
    "float8": (lambda: WEIGHT.to(torch.float8_e4m3fn), "of eight bits (float8_e4m3fn)"),
    "float8_e5m2": (lambda: WEIGHT.to(torch.float8_e5m2), "of eight bits (float8_e5m2)"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CALLABLE)
def test_the_call_of_the_remedy_makes_it_plain(tmp_path: Path, name: str) -> None:
    make, what = CALLABLE[name]
    state = {"conv1.weight": WEIGHT, "fc.weight": make()}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(InputFileError) as caught:
        read(str(tmp_path / "net.pth"))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/net.pth: fc.weight is {what}: ")
    call = re.search(r"\.(to_dense|dequantize|real|float)\b(\(\))?", text)
    assert call is not None
    found = getattr(state["fc.weight"], call[1])
    state["fc.weight"] = found() if call[2] else found
    torch.save(state, tmp_path / "net.pth")
    assert torch.equal(read(str(tmp_path / "net.pth")).tensors["fc.weight"], WEIGHT)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("tensor", "what", "remedy"),
    [
        (torch.zeros(2, device="meta"), "a meta tensor", "loaded on the CPU"),
        (
            torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]),
            "a nested tensor",
            "plain tensors",
        ),
        (torch.ones(2).as_subclass(Masked), "a Masked", "plain tensors"),
    ],
    ids=["meta", "nested", "subclass"],
)
def test_what_no_call_makes_plain_is_named(tensor: Tensor, what: str, remedy: str) -> None:
    with pytest.raises(InputFileError) as caught:
        check({"fc.weight": tensor, "fc.bias": tensor}, "net.pth")
    assert f"fc.weight is {what}" in str(caught.value)
    assert "1 other" in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool]
)
def test_numbers_of_every_common_type_are_plain(kind: torch.dtype) -> None:
    check({"a": torch.ones(2).to(kind), "b": torch.nn.Parameter(torch.ones(2))}, "net.pth")
    check({"transposed": torch.ones(2, 3).T, "empty": torch.ones(0)}, "net.pth")
