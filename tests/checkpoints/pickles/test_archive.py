"""Every file that torch reads gives the same tensors here, and damage is an error of ours."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.checkpoints.pickles import archive, contents
from resnet_serve.checkpoints.pickles.machine import PickleError

SHARED = torch.arange(24, dtype=torch.float32)
CONTENT = {
    "state_dict": {
        **{
            str(kind): torch.arange(6).to(kind).reshape(2, 3)
            for kind in (
                *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
                *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
                torch.complex64,
            )
        },
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "whole": SHARED,
        "part": SHARED[4:10:2],
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    },
    "epoch": 3,
    "nested": [{"a": (1, 2.5, "x", b"y", None, True)}, [3, 4], 2**70, -1],
}


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if (one.dtype, one.shape, one.stride()) != (other.dtype, other.shape, other.stride()):
            return False
        if one.element_size() == 1:  # eight-bit floats have no comparison of their own
            one, other = one.view(torch.uint8), other.view(torch.uint8)
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_tensors_are_those_that_torch_reads(
    tmp_path: Path, zipped: bool, protocol: int
) -> None:
    path = tmp_path / "net.pth"
    torch.save(CONTENT, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found = contents.recovered(path)
    assert equal(found.loaded, torch.load(path, weights_only=False))
    assert found.placeholders == ()


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16])
def test_the_newer_types_are_read_too(tmp_path: Path, kind: torch.dtype) -> None:
    content = {"a": torch.arange(6).to(kind).reshape(2, 3)}
    torch.save(content, tmp_path / "net.pth")
    found = contents.recovered(tmp_path / "net.pth")
    assert equal(found.loaded, content)
    assert found.placeholders == ()


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_of_tensors_is_read_too(tmp_path: Path, protocol: int) -> None:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2).half()}
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(state, protocol=protocol))
    assert equal(contents.recovered(tmp_path / "net.pkl").loaded, state)


@pytest.fixture(scope="module")
def written() -> tuple[bytes, bytes]:
    """A zip and a legacy file."""
    state = {"a.weight": torch.arange(12.0), "b": [1, "x"]}
    files = []
    for zipped in (True, False):
        data = io.BytesIO()
        torch.save(state, data, _use_new_zipfile_serialization=zipped)
        files.append(data.getvalue())
    return files[0], files[1]


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_damage_is_an_error_that_names_it(
    tmp_path: Path, written: tuple[bytes, bytes], place: int, value: int, cut: bool
) -> None:
    for content in written:
        damaged = bytearray(content)
        at = place % len(damaged)
        damaged[at] = value
        (tmp_path / "net.pth").write_bytes(damaged[:at] if cut else damaged)
        try:
            contents.recovered(tmp_path / "net.pth")
        except PickleError as error:
            assert str(error)


def test_a_tensor_cannot_reach_out_of_its_storage(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "net.pth").read_bytes()
    size = b"K\x03\x85q"  # the size (3,)
    assert content.count(size) == 1
    (tmp_path / "net.pth").write_bytes(content.replace(size, b"K\xff\x85q"))
    with pytest.raises(PickleError, match="larger than its storage"):
        contents.recovered(tmp_path / "net.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x80\x02.", b"\x80\x02N"])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(PickleError):
        archive.read(tmp_path / "net.pth")
