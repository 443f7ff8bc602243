"""Kernel times are kept per TensorRT and GPU, used again, and replaced where they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_convert.tensorrt import timing_cache
from resnet_convert.tensorrt.timing_cache import TimingCache
from resnet_serve import durable
from resnet_serve.cuda import Gpu
from resnet_serve.errors import HostError

GPU = Gpu("NVIDIA H100 80GB HBM3", "9.0", "580.1", 80.0)


class Times:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return self.data


class Config:
    """The part of IBuilderConfig that the cache uses; `accepted` are the caches it accepts."""

    def __init__(self, *accepted: bytes, returns: bytes | None = None) -> None:
        self.accepted, self.returns = accepted, returns

    def create_timing_cache(self, data: bytes) -> Times:
        return Times(data)

    def set_timing_cache(self, cache: Times, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return cache.data in self.accepted

    def get_timing_cache(self) -> Times | None:
        return None if self.returns is None else Times(self.returns)


@pytest.fixture
def cache(tmp_path: Path) -> TimingCache:
    return TimingCache.of(GPU, "11.4.0", tmp_path)


def test_a_file_is_of_one_tensorrt_and_one_gpu(
    cache: TimingCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.path == tmp_path / "tensorrt-11.4.0-NVIDIA-H100-80GB-HBM3-sm9-0.cache"
    monkeypatch.setattr(timing_cache, "user_cache", lambda: tmp_path / "of the user")
    assert TimingCache.of(GPU, "11.4.0", None).path.parent == tmp_path / "of the user" / "timing"


def test_the_first_build_starts_empty_and_its_times_are_kept(cache: TimingCache) -> None:
    config: Any = Config(b"", returns=b"times")
    assert cache.load_into(config) == (False, ())
    assert cache.save_from(config) == durable.sha256(b"times")
    assert cache.path.read_bytes() == b"times"
    assert cache.load_into(Config(b"", b"times")) == (True, ())  # type: ignore[arg-type]


def test_refused_times_are_replaced_with_a_note(cache: TimingCache) -> None:
    durable.write(cache.path, b"of another TensorRT")
    reused, (note,) = cache.load_into(Config(b""))  # type: ignore[arg-type]
    assert not reused
    assert "refused the timing cache" in note
    assert str(cache.path) in note


def test_a_tensorrt_without_timing_caches_is_refused(cache: TimingCache) -> None:
    with pytest.raises(HostError, match="accepts no timing cache"):
        cache.load_into(Config())  # type: ignore[arg-type]
    with pytest.raises(HostError, match="returned no timing cache"):
        cache.save_from(Config())  # type: ignore[arg-type]
