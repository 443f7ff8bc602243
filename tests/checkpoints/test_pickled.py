"""What a pickle wants, by name, from its bytes alone."""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_serve.checkpoints.pickled import needed


class Trap:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_globals_are_named_and_nothing_is_run(
    tmp_path: Path, zipped: bool, protocol: int
) -> None:
    content = {
        "w": torch.zeros(2),
        "args": argparse.Namespace(a=1, b=argparse.Namespace()),
        "trap": Trap(tmp_path / "sprung"),
    }
    torch.save(
        content,
        tmp_path / "net.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    assert set(needed(tmp_path / "net.pth")) >= {"argparse.Namespace"}
    assert any(name.endswith(".exec") for name in needed(tmp_path / "net.pth"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_every_type_want_nothing(tmp_path: Path, zipped: bool) -> None:
    types = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
    content = OrderedDict({str(kind): torch.zeros(2).to(kind) for kind in types})
    content["parameter"] = torch.nn.Parameter(torch.zeros(2))
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    assert needed(tmp_path / "net.pth") == ()


def test_numpy_scalars_are_named(tmp_path: Path) -> None:
    torch.save({"best": np.float64(0.9)}, tmp_path / "net.pth")
    assert any("scalar" in name for name in needed(tmp_path / "net.pth"))


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x02", b"PK\x03\x04", b"\x80\x04\x95" * 9])
def test_damage_is_no_reason_to_fail(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    assert needed(tmp_path / "net.pth") == ()


def test_a_stranger_s_name_cannot_rewrite_the_screen(tmp_path: Path) -> None:
    name = "evil\x1b[2J" + "x" * 500
    (tmp_path / "net.pth").write_bytes(b"\x80\x02c" + f"os\n{name}\n".encode() + pickle.STOP)
    (found,) = needed(tmp_path / "net.pth")
    assert found.startswith("os.evil?[2Jxxx")
    assert len(found) <= 81
